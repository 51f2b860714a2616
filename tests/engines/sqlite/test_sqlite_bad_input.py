"""What a user may get wrong with SQLite, and the whole text of what is said about it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from textwrap import dedent

import pytest
from tests.engines.sqlite.conftest import content

import mintdb
from mintdb.engines.sqlite.clone import SqliteClone
from mintdb.engines.sqlite.errors import FixedFileForWorkers, LockTimeout
from mintdb.errors import MintdbError
from mintdb.mint import Mint
from mintdb.settings import load

pytestmark = pytest.mark.usefixtures("server_home")


def said(folder: Path, **settings: str) -> str:
    """What opening says, with the folder's own name left out."""
    with pytest.raises(MintdbError) as caught, mintdb.open(folder, engine="sqlite", **settings) as mint:
        mint.lease().release()
    return str(caught.value).replace(f"{folder}/", "")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 40 KB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40k", "none", folder]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only who may mount can have a small disk")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_statement_that_fails_is_shown_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "schema.sql").write_text("create table a (x);\n\n-- the next\ninsert into b\nvalues (';');")
    assert said(tmp_path, schema="sql:schema.sql") == dedent("""\
        schema.sql:4 failed: no such table: b
          SQLITE_ERROR
          | insert into b
          | values (';');""")


def test_a_trigger_is_one_statement_and_a_dot_command_is_refused(tmp_path: Path) -> None:
    trigger = "create table a (x);\ncreate trigger t after insert on a begin delete from a; select ';'; end;\n"
    (tmp_path / "schema.sql").write_text(trigger)
    with mintdb.open(tmp_path, engine="sqlite", schema="sql:schema.sql") as mint, mint.lease() as lease:
        assert [row[1] for row in content(lease.url_for("path"))["schema"]] == ["a", "t"]
    (tmp_path / "schema.sql").write_text(f"{trigger}.import x y\n")
    assert said(tmp_path, schema="sql:schema.sql") == dedent("""\
        schema.sql:3 has the sqlite3 shell's command .import, which SQLite does not know
          1. put its effect into SQL; a folder's files run in order, so .read is not needed""")


def test_a_transaction_that_a_source_leaves_open_is_never_sealed(tmp_path: Path) -> None:
    (tmp_path / "schema.sql").write_text("create table a (x);\nbegin;\ninsert into a values (1);")
    assert said(tmp_path, schema="sql:schema.sql").startswith("schema.sql:2 begins a transaction")
    (tmp_path / "filling.py").write_text(
        "import sqlite3\nkept = []\ndef fill(url):\n    kept.append(sqlite3.connect(url.removeprefix('sqlite:///')))\n"
        "    kept[0].execute('create table a (x)')\n    kept[0].execute('insert into a values (1)')\n"
    )
    text = said(tmp_path, schema="python:filling:fill")
    assert text.startswith("the schema source has left a transaction open on ")
    assert text.endswith(
        "  what it wrote there would be lost\n  1. commit, and close the connection, at the end of the schema source"
    )


def test_a_file_that_mintdb_did_not_make_is_never_touched(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        connection.execute("create table precious (x)")
    before = (tmp_path / "shop.db").read_bytes()
    assert said(tmp_path, name="shop.db") == dedent("""\
        shop.db exists, and mintdb did not make it
          mintdb never touches a database that it did not make
          1. give the test database another name
          2. or remove the file yourself, if nobody needs it""")
    assert (tmp_path / "shop.db").read_bytes() == before
    assert said(tmp_path, url=f"sqlite:///{tmp_path}/shop.db") == dedent("""\
        shop.db is not a folder: a SQLite url says where mintdb may put its own files
          mintdb never writes to a database that it did not make
          1. take `url` out: the files then go to tmpfs
          2. to begin with what the file holds:  schema = "dump:shop.db"
          3. to give the tests a file of that name:  name = "shop.db\"""")


def test_a_fixed_name_is_one_runs_at_a_time_and_gone_afterwards(tmp_path: Path) -> None:
    settings = {"engine": "sqlite", "name": "shop.db"}
    with mintdb.open(tmp_path, **settings) as mint, mint.lease() as lease:
        assert lease.url_for("path") == str(tmp_path / "shop.db")
        assert said(tmp_path, name="shop.db", name_timeout="0.1") == dedent("""\
            database name 'shop.db' is taken by another run
              waited     0.1 s for it to end
              1. let the other run end, or end it
              2. or take `name` out of the settings: each run then has a name of its own""")
    assert list(tmp_path.glob("shop.db*")) == []


def test_a_dump_may_be_a_file_with_a_wal_and_may_not_be_damaged_or_a_folder(tmp_path: Path) -> None:
    source = sqlite3.connect(tmp_path / "shop.db", isolation_level=None)
    source.executescript("pragma journal_mode = wal; create table a (x); insert into a values (1), (2)")
    source.execute("begin immediate")  # whoever writes to it meanwhile is in nobody's way
    source.execute("insert into a values (3)")
    with mintdb.open(tmp_path, engine="sqlite", schema="dump:shop.db") as mint, mint.lease() as lease:
        assert content(lease.url_for("path"))["a"] == [(1, 1), (2, 2)]
    source.close()
    whole = (tmp_path / "shop.db").read_bytes()
    (tmp_path / "bad.db").write_bytes(whole[:4096] + b"\x07" * (len(whole) - 4096))
    text = said(tmp_path, schema="dump:bad.db")
    assert text.startswith("schema source 'dump:bad.db' is a SQLite file that cannot be used: ")
    assert text.endswith("  looked at bad.db\n  1. what can be saved of it:  sqlite3 bad.db .recover > saved.sql")
    (tmp_path / "folder").mkdir()
    assert said(tmp_path, schema="dump:folder").startswith("schema source 'dump:folder' is no dump")


def test_a_full_disk_is_said_with_a_way_out(tmp_path: Path, small_disk: Path) -> None:
    (tmp_path / "schema.sql").write_text("create table a (x); insert into a values (zeroblob(60000));")
    text = said(tmp_path, url=f"sqlite:///{small_disk}", schema="sql:schema.sql")
    assert "full" in text, text
    (tmp_path / "schema.sql").write_text("create table a (x); insert into a values (zeroblob(16000));")
    text = said(tmp_path, url=f"sqlite:///{small_disk}", schema="sql:schema.sql")
    first, *rest = text.splitlines()
    assert first.startswith(f"mintdb cannot write {small_disk.name}/mintdb-sqlite/"), text
    assert rest == [
        "  database or disk is full",
        "  1. make room or mend its permissions",
        '  2. or name another folder:  url = "sqlite:////path/to/a/folder"',
    ]


def test_a_folder_that_nobody_may_write_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "schema.sql").write_text("create table a (x);")
    assert said(tmp_path, schema="sql:schema.sql", url="sqlite:////proc") == dedent("""\
        mintdb cannot write /proc/mintdb-sqlite
          No such file or directory
          1. make room or mend its permissions
          2. or name another folder:  url = "sqlite:////path/to/a/folder\"""")


def test_a_url_of_another_engine_is_told_without_its_password(tmp_path: Path) -> None:
    assert said(tmp_path, url="postgresql://ann:secret@db/shop") == dedent("""\
        postgresql://ann:***@db/shop is a postgresql URL, but the engine is sqlite
          given in   call
          1. write  engine = "postgresql"  beside the url, or leave the engine out: the URL says it
          2. or mend the URL""")


def test_a_fixed_file_for_several_workers(tmp_path: Path) -> None:
    settings = load(tmp_path, call={"engine": "sqlite", "name": "shop.db"}, environ={})
    with pytest.raises(FixedFileForWorkers) as caught:
        Mint(settings, worker="gw1").reserve()
    assert str(caught.value) == dedent(f"""\
        worker gw1 cannot have the fixed file {tmp_path}/shop.db: all workers would share one database
          1. run without -n
          2. or take `name` out of the settings: each worker then has a file of its own""")


def test_a_lock_that_another_run_holds_too_long(tmp_path: Path) -> None:
    with mintdb.open(tmp_path, engine="sqlite") as one, mintdb.open(tmp_path, engine="sqlite") as other:
        ours, theirs = (mint.open().server for mint in (one, other))
        with theirs.lock("template apples", timeout=1), pytest.raises(LockTimeout) as caught:
            ours.lock("template apples", timeout=0.1).__enter__()
    assert str(caught.value) == dedent("""\
        waited 0.1 s for template apples
          1. see what that process is doing
          2. or end it: its lock is free at once""")


def test_a_server_that_stays_is_another_engines(tmp_path: Path) -> None:
    (tmp_path / "mintdb.toml").write_text('[databases.default]\nengine = "sqlite"\n')
    command = [sys.executable, "-m", "mintdb.cli", "up"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert (ran.returncode, ran.stderr) == (
        3,
        "mintdb: mintdb up is for PostgreSQL, and the engine here is sqlite\n"
        "  1. a database that stays for as long as a command, a shell for one:  mintdb run -- bash\n",
    )


def test_a_test_that_removes_or_destroys_the_file_finds_it_whole_the_next_time(tmp_path: Path) -> None:
    (tmp_path / "schema.sql").write_text("create table a (x); insert into a values (1);")
    with mintdb.open(tmp_path, engine="sqlite", schema="sql:schema.sql") as mint:
        path = Path(mint.reserve().database)
        for harm in (path.unlink, lambda: path.write_bytes(b"not a database" * 1000)):
            with mint.lease() as lease:
                harm()
            assert lease.restored
            assert lease.restored.way == "swap"
            with mint.lease() as lease, closing(lease.connect()) as connection:
                assert connection.execute("select x from a").fetchall() == [(1,)]


def test_who_opens_the_file_while_it_is_swapped_meets_the_old_one_or_the_new(tmp_path: Path) -> None:
    (tmp_path / "schema.sql").write_text("create table a (x); insert into a values (1);")
    done = threading.Event()
    with mintdb.open(tmp_path, engine="sqlite", schema="sql:schema.sql") as mint, ThreadPoolExecutor(1) as thread:
        clone = mint.open().pool.home
        assert isinstance(clone, SqliteClone)
        path = clone.address.database

        def read() -> set[object]:
            found: set[object] = set()
            while not done.is_set():
                try:
                    with closing(sqlite3.connect(path)) as reader:
                        found |= set(reader.execute("select x from a"))
                except sqlite3.OperationalError as error:
                    found.add(str(error))
            return found

        reading = thread.submit(read)
        try:
            for _ in range(200):
                clone._swap()
        finally:
            done.set()
        assert reading.result() == {(1,)}


def test_the_doctor_tries_a_file_out(tmp_path: Path) -> None:
    (tmp_path / "mintdb.toml").write_text('[databases.default]\nengine = "sqlite"\nschema = "sql:missing.sql"\n')
    command = [sys.executable, "-m", "mintdb.cli", "doctor"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith(f"ok    sqlite     {sqlite3.sqlite_version}, databases are made at sqlite:////")
