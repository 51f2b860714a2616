"""Ups before a suite, the stored downs after it, also when it failed; on a database that mintdb did not make."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

import mintdb
from mintdb.address import parse_url
from mintdb.play import EvolutionsMixin, Options
from mintdb.schemas.errors import PathMissingError
from mintdb.schemas.evolutions.errors import (
    BadEvolutionsTable,
    EngineWithoutEvolutions,
    EvolutionFailed,
    EvolutionsBusy,
    EvolutionsTableRefused,
    EvolutionsUnreachable,
    EvolutionUndone,
    InconsistentDatabase,
    NothingToResolve,
    SubstitutionError,
)
from mintdb.settings import ProtectedServer
from tests.evolutions.conftest import Query, Write

Tables = Callable[[], list[str]]
STORED = "select id, state, last_problem from play_evolutions order by id"


def test_ups_before_and_downs_after_and_the_record_stays_empty(
    two: Path, url: str, query: Query, tables: Tables
) -> None:
    with mintdb.evolutions(two, url=url) as database:
        assert parse_url(url) == database
        assert tables() == ["a", "b"]
        assert query(STORED) == [(1, "applied", ""), (2, "applied", "")]
    assert tables() == []
    assert query(STORED) == []


def test_downs_follow_a_failure_too_and_do_not_hide_it(two: Path, url: str, tables: Tables) -> None:
    with pytest.raises(ZeroDivisionError), mintdb.evolutions(two, url=url):
        _ = 1 / 0
    assert tables() == []


def test_the_downs_that_were_stored_are_run_not_those_in_the_files(
    write: Write, url: str, query: Query, tables: Tables
) -> None:
    folder = write(n1=("create table a (id int);", "drop table a;"))
    with mintdb.evolutions(folder, url=url):
        write(n1=("create table a (id int);", "select 1/0;"))
    assert tables() == []


def test_a_failure_of_the_downs_is_logged_and_the_next_suite_is_stopped(
    write: Write, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write(n1=("create table a (id int);", "drop table nothing;"))
    with pytest.raises(ZeroDivisionError), mintdb.evolutions(folder, url=url, strict=True):
        _ = 1 / 0
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert 'relation "nothing" does not exist' in caplog.text.replace("table", "relation")
    with pytest.raises(InconsistentDatabase, match="evolution 1 is applying_down"), mintdb.evolutions(folder, url=url):
        pass


def test_where_the_suite_passed_strict_raises_what_the_downs_met(
    write: Write, url: str, make_url: Callable[[], str]
) -> None:
    folder = write(n1=("create table a (id int);", "drop table nothing;"))
    with mintdb.evolutions(folder, url=make_url()):
        pass
    with pytest.raises(EvolutionFailed), mintdb.evolutions(folder, url=url, strict=True):
        pass


def test_what_differs_is_undone_from_the_first_difference_on_and_done_anew(
    write: Write, url: str, query: Query, tables: Tables
) -> None:
    log = "create table if not exists log (id serial primary key, said text);"
    folder = write(
        n1=(f"{log} insert into log (said) values ('up1');", "select 1;"),
        n2=("insert into log (said) values ('up2');", "insert into log (said) values ('down2');"),
        n3=("insert into log (said) values ('up3');", "insert into log (said) values ('down3');"),
    )
    options = Options()
    with options.evolving("default", parse_url(url)) as evolving:
        files = read(folder)
        assert [str(step.direction) for step in evolving.apply(files)] == ["up", "up", "up"]
        assert evolving.apply(files) == []
        write(n2=("insert into log (said) values ('new2');", "insert into log (said) values ('newdown2');"))
        evolving.apply(read(folder))
        said = [row[0] for row in query("select said from log order by id")]
        assert said == ["up1", "up2", "up3", "down3", "down2", "new2", "up3"]
        (folder / "3.sql").unlink()
        assert [(str(step.direction), step.revision) for step in evolving.plan(read(folder))] == [("down", 3)]
        for file in folder.iterdir():
            file.unlink()
        assert evolving.apply(read(folder)) == []


def read(folder: Path) -> list:
    from mintdb.schemas.evolutions.files import Folder

    return list(Folder(folder.absolute(), Path.cwd()).read(setting=str(folder)))


def test_a_refused_statement_leaves_the_database_inconsistent_until_it_is_resolved(
    write: Write, url: str, query: Query, tables: Tables
) -> None:
    folder = write(
        n1=("create table b1 (id int);", "drop table b1;"),
        n2=("create table b2 (id int);\ninsert into no_such_table values (1);", "drop table b2;"),
    )
    with pytest.raises(EvolutionFailed) as caught, mintdb.evolutions(folder, url=url):
        pass
    shown = parse_url(url).redacted
    assert (
        str(caught.value)
        == f"""\
Database 'default' is in an inconsistent state!
  conf/evolutions/default/2.sql:3 failed: relation "no_such_table" does not exist
  in the ups of evolution 2, which is applying_up now; SQLSTATE 42P01
  | insert into no_such_table values (1)
  1. finish by hand what it began;  then  mintdb evolutions resolve 2 --url {shown}
  2. or begin anew, where mintdb made the database:  mintdb evolutions clean --drop --url {shown}"""
    )
    problem = 'ERROR: relation "no_such_table" does not exist [ERROR:0, SQLSTATE:42P01]'
    assert query(STORED) == [(1, "applied", ""), (2, "applying_up", problem)]
    with pytest.raises(InconsistentDatabase) as again, mintdb.evolutions(folder, url=url):
        pass
    assert (
        str(again.value)
        == f"""\
Database 'default' is in an inconsistent state!
  An evolution has not been applied properly. Please check the problem and resolve it manually before marking it as \
resolved.
  evolution 2 is applying_up: {problem}
  1. finish by hand what it began;  then  mintdb evolutions resolve 2 --url {shown}
  2. or begin anew, where mintdb made the database:  mintdb evolutions clean --drop --url {shown}"""
    )
    with Options().evolving("default", parse_url(url)) as evolving:
        assert evolving.resolve(2) == "applying_up"
        with pytest.raises(NothingToResolve) as nothing:
            evolving.resolve(2)
        assert (
            str(nothing.value)
            == f"""\
evolution 2 of database 'default' is not half way: there is nothing to resolve
  1. see what is to be done:  mintdb evolutions plan --url {shown}"""
        )
        assert tables() == ["b1", "b2"]
        evolving.undo_all()
    assert tables() == []


def test_without_autocommit_all_is_rolled_back(write: Write, url: str, query: Query, tables: Tables) -> None:
    folder = write(n1=("create table a (id int);", "drop table a;"), n2=("create table b (id int); select 1/0;", ""))
    with pytest.raises(EvolutionUndone) as caught, mintdb.evolutions(folder, url=url, autocommit=False):
        pass
    assert (
        str(caught.value)
        == """\
evolutions of database 'default' were rolled back
  conf/evolutions/default/2.sql:2 failed: division by zero
  in the ups of evolution 2, SQLSTATE 22012
  | select 1/0"""
    )
    assert tables() == []
    assert query(STORED) == []


def test_values_are_substituted_when_run_and_stored_as_written(write: Write, url: str, query: Query) -> None:
    folder = write(n1=("create table $evolutions{{{name}}} as select '!$evolutions{{{name}}}' as x;", "drop table t;"))
    with mintdb.evolutions(folder, url=url, substitutions={"name": "t"}):
        assert query("select x from t") == [("$evolutions{{{name}}}",)]
        assert "$evolutions{{{name}}} as select '!$" in str(query("select apply_script from play_evolutions"))
    with pytest.raises(SubstitutionError), mintdb.evolutions(folder, url=url):
        pass
    assert query(STORED) == []


def test_the_table_may_have_another_name_and_schema(two: Path, url: str, query: Query) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("create schema audit")
    with mintdb.evolutions(two, url=url, table="done", schema="audit"):
        assert query("select count(*) from audit.done") == [(2,)]
    with pytest.raises(BadEvolutionsTable) as caught, mintdb.evolutions(two, url=url, table="a; drop table b"):
        pass
    assert (
        str(caught.value)
        == """\
'a; drop table b' cannot name the table of evolutions
  1. write letters, digits and underscores, as Play's configuration has them"""
    )


def test_a_forgotten_transaction_does_not_stop_the_downs(
    two: Path, url: str, tables: Tables, caplog: pytest.LogCaptureFixture
) -> None:
    forgotten = psycopg.connect(url, application_name="the app")
    with mintdb.evolutions(two, url=url):
        forgotten.execute("select * from a")
    assert tables() == []
    assert f"backend {forgotten.info.backend_pid} (the app), which last ran select * from a" in caplog.text
    forgotten.close()


@pytest.fixture(params=["postgresql", "sqlite", "mysql"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The URL of a database on each engine, and who is said to hold its evolutions."""
    if request.param == "postgresql":
        yield request.getfixturevalue("url"), f"mintdb evolutions (process {os.getpid()}), backend "
    elif request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/shop.db", f"whoever has locked {tempfile.gettempdir()}/mintdb-evolutions-"
    elif shutil.which("mariadbd") is None:
        pytest.skip("MariaDB is not installed")
    else:
        request.getfixturevalue("server_home")
        with mintdb.open(engine="mysql") as mint:  # not leased to this test: somebody else's, by its URL
            mint.open()
            yield mint.reserve().url, "connection "


def test_two_suites_on_one_database_wait_for_each_other(two: Path, anywhere: tuple[str, str]) -> None:
    url, holder = anywhere
    order: list[str] = []
    inside, go_on = threading.Event(), threading.Event()

    def first() -> None:
        with mintdb.evolutions(two, url=url):
            inside.set()
            go_on.wait(60)
            order.append("first ends")

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait(60)
    with pytest.raises(EvolutionsBusy) as caught, mintdb.evolutions(two, url=url, lock_timeout=0.1):
        pass
    assert caught.value.holder.startswith(holder)
    assert (
        str(caught.value)
        == f"""\
the evolutions of database {parse_url(url).database!r} are in the hands of another process
  {caught.value.holder}; waited 0.1 s
  1. give each run, and each worker, a database of its own: mintdb does, where no url is given
  2. or wait longer:  lock_timeout=…"""
    )
    go_on.set()
    with mintdb.evolutions(two, url=url):
        order.append("second begins")
    thread.join()
    assert order == ["first ends", "second begins"]


def test_a_killed_suite_leaves_a_state_that_is_named_and_can_be_resolved(
    write: Write, url: str, query: Query, tables: Tables
) -> None:
    folder = write(n1=("create table a (id int); select pg_sleep(600);", "drop table a;"))
    script = f"import mintdb\nwith mintdb.evolutions({str(folder)!r}, url={url!r}): pass"
    suite = subprocess.Popen([sys.executable, "-c", script])
    waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'"
    while query(waiting) == [(0,)]:
        assert suite.poll() is None
        time.sleep(0.02)
    suite.send_signal(signal.SIGKILL)
    suite.wait()
    query("select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'")
    with pytest.raises(InconsistentDatabase, match="evolution 1 is applying_up: nothing was written down"):
        mintdb.evolutions(folder, url=url).__enter__()
    with Options().evolving("default", parse_url(url)) as evolving:
        evolving.resolve(1)
    with mintdb.evolutions(folder, url=url):
        assert tables() == ["a"]
    assert tables() == []


def test_a_unittest_class_has_them_around_it(two: Path, url: str, tables: Tables) -> None:
    seen = []

    class Tests(EvolutionsMixin, unittest.TestCase):
        evolutions = two
        evolutions_options = {"url": url}  # noqa: RUF012  # as a user writes it

        @classmethod
        def setUpClass(cls) -> None:
            super().setUpClass()
            seen.append(tables())

        def test_a(self) -> None:
            seen.append(self.evolved.database)
            self.fail("on purpose")

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Tests).run(result)
    assert len(result.failures) == 1
    assert seen == [["a", "b"], parse_url(url).database]
    assert tables() == []


def test_without_a_url_it_is_the_leased_database_or_a_clone_for_the_block(two: Path, server_home: Path) -> None:
    with mintdb.open() as mint, mint.lease() as lease, mintdb.evolutions(two) as database:
        assert database == lease.address
        assert lease.connect().execute("select id from a").fetchall() == [(1,)]
    with mintdb.evolutions(two) as database, psycopg.connect(database.url) as connection:
        assert connection.execute("select id from a").fetchall() == [(1,)]
        connection.close()
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(database.url)


def test_sqlite_has_them_too(two: Path, write: Write, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shop.db"

    def names() -> list[str]:
        with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
            return [row[0] for row in connection.execute("select name from sqlite_master where type = 'table'")]

    with mintdb.evolutions(two, url=url):
        assert names() == ["play_evolutions", "a", "b"]
    assert names() == ["play_evolutions"]
    write(n2=("create table b (id int);\ninsert into no_such_table values (1);", ""))
    with pytest.raises(EvolutionUndone), mintdb.evolutions(two, url=url, autocommit=False):
        pass
    assert names() == ["play_evolutions"]
    with pytest.raises(EvolutionFailed, match=r"2\.sql:3 failed: no such table: no_such_table"):
        mintdb.evolutions(two, url=url).__enter__()
    with pytest.raises(InconsistentDatabase, match="SQLSTATE:SQLITE_ERROR"):
        mintdb.evolutions(two, url=url).__enter__()


@pytest.mark.skipif(shutil.which("mariadbd") is None, reason="MariaDB is not installed")
def test_mariadb_has_them_too(two: Path, write: Write, server_home: Path) -> None:
    with mintdb.open(engine="mysql") as mint, mint.lease() as lease:

        def names() -> list[str]:
            with lease.connect().cursor() as cursor:
                cursor.execute("show tables")
                return [row[0] for row in cursor.fetchall()]

        with mintdb.evolutions(two):
            assert names() == ["a", "b", "play_evolutions"]
        assert names() == ["play_evolutions"]
        write(n2=("-- nothing yet\n;\ninsert into no_such_table values (1);", ""))
        with pytest.raises(EvolutionFailed, match=r"2\.sql:4 failed: Table .*no_such_table' doesn't exist"):
            mintdb.evolutions(two).__enter__()


def test_a_relative_path_begins_at_the_settings(
    two: Path, url: str, tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("mintdb.toml").write_text("")
    (tmp_path / "deeper").mkdir()
    monkeypatch.chdir(tmp_path / "deeper")
    with mintdb.evolutions("conf/evolutions/default", url=url):
        assert tables() == ["a", "b"]


def test_a_login_that_may_not_make_the_table_is_told(two: Path, url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("create role evolver login password 'x'")
    address = replace(parse_url(url), user="evolver", password="x")
    with pytest.raises(EvolutionsTableRefused) as caught, mintdb.evolutions(two, url=address.url):
        pass
    assert (
        str(caught.value)
        == """\
the table of evolutions, play_evolutions, cannot be used: permission denied for schema public
  SQLSTATE 42501
  1. may this login make and write tables there?
  2. does the application apply its evolutions at the same moment?"""
    )


def test_a_protected_server_is_refused(two: Path, url: str) -> None:
    Path("mintdb.toml").write_text(
        f'[environments.production]\nprotected = true\n[environments.production.databases.default]\nurl = "{url}"\n'
    )
    with pytest.raises(ProtectedServer), mintdb.evolutions(two, url=url):
        pass


def test_what_cannot_be_reached_or_run_or_found_is_said(two: Path, url: str) -> None:
    with pytest.raises(EvolutionsUnreachable) as caught, mintdb.evolutions(two, url=f"{url}x"):
        pass
    assert str(caught.value).splitlines()[0] == f"cannot connect to {parse_url(url + 'x').redacted}"
    assert caught.value.reason.endswith("does not exist")
    with pytest.raises(EngineWithoutEvolutions) as other, mintdb.evolutions(two, url="snowflake://user@account/db"):
        pass
    assert str(other.value) == "evolutions cannot be run on snowflake; they can on postgresql, sqlite, mysql"
    with pytest.raises(PathMissingError), mintdb.evolutions("nowhere", url=url):
        pass
