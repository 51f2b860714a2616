"""Who leaves a connection open is told on databases, too, that mintdb did not make; and nothing happens to these."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest
from tests.frameworks.suites import QUIET, Suite

from mintdb.report.files import read

APP = """
import os
import psycopg
from sqlalchemy import create_engine, text

URL = os.environ["SHOP_URL"]
kept = []
engine = None

def leave_open():
    kept.append(psycopg.connect(URL))
    kept[-1].execute("select 1")

def abandon():
    psycopg.connect(URL).execute("select 1")

def ask_lazily():
    global engine
    engine = engine or create_engine(URL.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        return connection.scalar(text("select count(*) from fruit"))

def own_database(name):
    with psycopg.connect(URL, autocommit=True) as admin:
        admin.execute(f'create database "{name}"')
    return URL.rpartition("/")[0] + "/" + name

def drop(name):
    with psycopg.connect(URL, autocommit=True) as admin:
        admin.execute(f'drop database "{name}" with (force)')
"""
TESTS = """
import gc
import psycopg
import pytest
import app

def test_clean():
    with psycopg.connect(app.URL) as connection:
        connection.execute("insert into fruit values ('pear')")

@pytest.mark.parametrize("attempt", range(2))
def test_a_lazy_engine_is_for_the_whole_run(attempt):
    assert app.ask_lazily() >= 1

def test_rows_are_shared_and_kept():
    assert app.ask_lazily() == 1

@pytest.mark.parametrize("number", range(6))
def test_leaks(number):
    app.leave_open()

@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_abandons():
    app.abandon()
    gc.collect()

@pytest.fixture
def own(request):
    name = request.node.name
    yield app.own_database(name)
    app.drop(name)

@pytest.mark.parametrize("number", range(12))
def test_with_a_database_of_its_own(own, number):
    connection = psycopg.connect(own)
    connection.execute("create table t (id int)")
    if number == 7:
        app.kept.append(connection)
    else:
        connection.close()
"""


PROCESSES = """
import subprocess
import sys
import threading
import time
import psycopg
import pytest
import app

def start():
    child = subprocess.Popen([sys.executable, "child.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "open\\n"
    return child

@pytest.fixture(scope="session", autouse=True)
def children():
    started = [start()]
    yield started
    for child in started:
        child.communicate()

def states():
    with psycopg.connect(app.URL) as connection:
        states = connection.execute(
            "select coalesce(state, 'starting') from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
        return sorted(state for (state,) in states)

def test_a_wider_fixtures_process():
    assert states() == ["idle in transaction"]

def test_leaves(children):
    children.append(start())

    def sleep():
        with pytest.raises(psycopg.OperationalError):
            app.kept[-1].execute("select pg_sleep(50)")

    thread = threading.Thread(target=lambda: (app.leave_open(), sleep()), name="worker")
    thread.start()
    while "active" not in states():
        time.sleep(0.01)

def test_what_is_left():
    deadline = time.monotonic() + 60
    while states() != ["idle in transaction"] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert states() == ["idle in transaction"]
"""


@pytest.fixture
def suite(tmp_path: Path, dsn: str, server_home: Path) -> Suite:
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute("drop database if exists shop with (force)")
        admin.execute("create database shop")
    shop = dsn.rpartition("/")[0] + "/shop"
    with psycopg.connect(shop) as connection:
        connection.execute("create table fruit (name text)")
    folder = tmp_path / "project"
    folder.mkdir()
    return Suite(folder, {"SHOP_URL": shop}).write(app=APP)


def watched(suite: Suite, *argv: str) -> tuple[int, str]:
    ran = suite.run_under_mintdb(*argv, options=["--watch", "--report", "run.json"])
    return ran.code, ran.output


def test_pytest_with_nothing_configured(suite: Suite, dsn: str) -> None:
    suite.write(test_shop=TESTS)
    code, output = watched(suite, "-m", "pytest", *QUIET, "-q")
    assert code == 0, output
    assert "23 passed" in output, output
    assert output.count("mintdb: watched 23 tests, which opened 45 connections") == 1
    reports = {(found["kind"], found["test"], found["place"]) for found in read(suite.folder / "run.json").findings}
    assert reports == {
        ("leak", "test_shop.py::test_leaks[5]", "app.py:11 in leave_open"),  # the list grows: it is no pool
        ("abandoned", "test_shop.py::test_abandons", "app.py:15 in abandon"),
        (
            "leak",
            "test_shop.py::test_with_a_database_of_its_own[7]",
            "test_shop.py:35 in test_with_a_database_of_its_own",
        ),
    }
    told = r"idle in transaction for \d+\.\d s on shop\n  opened   app.py:11 in leave_open\n  last ran select 1\n"
    assert re.search(told, output)
    with psycopg.connect(suite.environment["SHOP_URL"]) as connection:
        assert connection.execute("select name from fruit").fetchall() == [("pear",)]  # nothing was put back
    with psycopg.connect(dsn) as connection:
        names = {name for (name,) in connection.execute("select datname from pg_database")}
    assert not any(name.startswith("mint") for name in names)


def test_isolation_none_in_the_settings_and_leaks_error_fail_the_guilty_test(suite: Suite) -> None:
    suite.write(
        **{"mintdb.toml": 'isolation = "none"\nleaks = "error"\nterminate = "own"\n'},
        test_shop="""
            import psycopg
            import pytest
            import app

            @pytest.mark.parametrize("number", range(6))
            def test_leaks(number):
                app.leave_open()

            def test_it_was_ended():
                app.kept[0].execute("select 1")
                with pytest.raises(psycopg.OperationalError):
                    app.kept[5].execute("select 1")
        """,
    )
    ran = suite.run("-q")
    assert ran.outcomes == {"passed": 7, "error": 1}, ran.output
    assert "ERROR at teardown of test_leaks[5]" in ran.output
    assert "LEAK  test_shop.py::test_leaks[5] left 1 connection open" in ran.output


def test_terminate_database_ends_busy_backends_and_what_the_tests_own_processes_left(suite: Suite) -> None:
    suite.write(
        **{"mintdb.toml": 'isolation = "none"\nterminate = "database"\n', "test_shop": PROCESSES},
        child="import app, sys; app.leave_open(); print('open', flush=True); sys.stdin.read()",
    )
    ran = suite.run("-q")
    assert ran.outcomes == {"passed": 3}, ran.output
    assert "FOREIGN  1 connection of other processes on the database of test_shop.py::test_leaves" in ran.output
    assert re.search(r"process  \d+, \S+python\S* child.py", ran.output), ran.output
    assert "last ran select pg_sleep(50)" in ran.output
    assert 'app.py:11 in leave_open, thread "worker"' in ran.output


def test_unittest_and_what_it_leaves_alone(suite: Suite) -> None:
    suite.write(
        test_unit="""
            import unittest
            import app
            import psycopg

            class Shop(unittest.TestCase):
                def test_a_leaks(self):
                    self.kept = psycopg.connect(app.URL)
                    self.kept.execute("select 1")
                    app.kept.append(self.kept)

                def test_b_it_was_not_ended(self):
                    assert app.kept[0].execute("select 2").fetchone() == (2,)
        """
    )
    code, output = watched(suite, "-m", "unittest", "-q", "test_unit")
    assert code == 0, output
    assert output.count("LEAK  ") == 1
    assert "LEAK  test_unit.Shop.test_a_leaks left 1 connection open" in output
    assert "test_unit.py:8 in test_a_leaks" in output


def test_a_program_that_is_no_test(suite: Suite) -> None:
    keeping = "import psycopg\nlasting = psycopg.connect(app.URL)\n"
    suite.write(program=f"import app\n{keeping}app.leave_open()\nprint(app.ask_lazily())\n")
    code, output = watched(suite, "program.py")
    assert code == 0, output
    assert output.startswith("0\n")
    assert "LEAK  program.py left 1 connection open" in output
    assert re.search(r"^mintdb: open to the program's end, .*: 1 x program.py:3 in <module>$", output, re.MULTILINE)
    assert "mintdb: watched 1 program, which opened " in output
    assert "app.py:11 in leave_open" in output
    code, output = watched(suite, "-c", "print('nothing to say')")
    no_report = "mintdb: no report is written: no test has ended that mintdb knows of\n"
    assert (code, output) == (0, f"nothing to say\n{no_report}")
