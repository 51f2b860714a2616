"""A connection that nobody closed delays nothing, fails nothing, and is named."""

from __future__ import annotations

import os
import re
import signal

import psycopg
import pytest

import mintdb
from tests.frameworks.suites import Suite

OPENINGS = {
    "idle": "connection.execute('select 1'); connection.commit()",
    "idle in transaction": "connection.execute(\"insert into account (owner) values ('x')\")",
    "active": "threading.Thread(target=sleep, args=(connection,), daemon=True).start(); until_active()",
}
TEST = """
import contextlib, os, threading
import freezegun, psycopg, pytest

kept = []

@pytest.fixture(scope="module", autouse=True)
def stopped():
    with freezegun.freeze_time("2001-01-01"):  # in the teardown of each test, too
        yield

def sleep(connection):
    with contextlib.suppress(psycopg.Error):
        connection.execute("select pg_sleep(600)")

def test_leaves_a_connection():
    connection = psycopg.connect(os.environ["DATABASE_URL"])
    kept.append(connection)
    {opening}

def until_active():
    at_work = "select 1 from pg_stat_activity where query = 'select pg_sleep(600)' and state = 'active'"
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        while not connection.execute(at_work).fetchone():
            pass

def test_next(mintdb):
    with mintdb.connect() as connection:
        assert connection.execute("select count(*) from account").fetchone() == (0,)
"""


@pytest.mark.parametrize("state", OPENINGS)
def test_a_leaked_connection_of_this_process_is_named_and_changes_no_exit_code(suite: Suite, state: str) -> None:
    suite.environment["MINTDB_SETTLE"] = "0.3"
    suite.write(test_leak=TEST.replace("{opening}", OPENINGS[state]))
    ran = suite.run()  # nobody waits for the statement's end; how long it takes is measured in benchmarks/teardown.py
    assert ran.code == 0, ran.output
    assert "LEAK  test_leak.py::test_leaves_a_connection left 1 connection open" in ran.output
    assert re.search(rf"backend \d+, {state}", ran.output), ran.output
    assert "test_leak.py:17 in test_leaves_a_connection" in ran.output


EXPECTED_TO_FAIL = """
import os
import psycopg
import pytest

kept = []

@pytest.mark.xfail
def test_expected_to_fail():
    kept.append(psycopg.connect(os.environ["DATABASE_URL"]))
    assert False
"""


@pytest.mark.parametrize("policy", ["warn", "error", "ignore"])
def test_the_policy_decides_what_a_leak_means(suite: Suite, policy: str) -> None:
    suite.write(test_leak=TEST.replace("{opening}", OPENINGS["idle"]), test_xfail=EXPECTED_TO_FAIL)
    ran = suite.run("--mintdb-leaks", policy)
    assert ", 1 xfailed" in ran.output
    expected = {"passed": 2, "error": 2} if policy == "error" else {"passed": 2}
    assert ran.outcomes == expected, ran.output
    assert ("LEAK" in ran.output) is (policy != "ignore")
    if policy == "error":
        assert "ERROR at teardown of test_leaves_a_connection" in ran.output
        assert "LEAK  test_xfail.py::test_expected_to_fail left 1 connection open" in ran.output


def test_another_process_that_stays_connected_is_named_at_the_end(suite: Suite) -> None:
    suite.write(
        worker="""
            import os, sys, time
            import psycopg

            connection = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
            connection.execute("select 'at work'")
            print("ready", flush=True)
            time.sleep(600)
        """,
        test_worker="""
            import subprocess, sys

            def test_starts_a_worker():
                worker = subprocess.Popen([sys.executable, "worker.py"], stdout=subprocess.PIPE, text=True)
                assert worker.stdout.readline() == "ready\\n"
                with open("worker.pid", "w") as file:
                    file.write(str(worker.pid))
                worker.stdout.close()
                worker.returncode = 0  # whoever starts a daemon does not wait for it
        """,
    )
    ran = suite.run()
    assert ran.outcomes == {"passed": 1}, ran.output
    pid = (suite.folder / "worker.pid").read_text()
    assert f"process {pid}" in ran.output
    assert "worker.py" in ran.output
    assert "at work" in ran.output
    os.kill(int(pid), signal.SIGTERM)  # nobody waited for it


def test_nothing_is_left_in_the_server(suite: Suite) -> None:
    suite.write(test_leak=TEST.replace("{opening}", OPENINGS["idle in transaction"]))
    suite.write(test_name="import pathlib\n\ndef test_name(mintdb): pathlib.Path('name').write_text(mintdb.url)\n")
    assert suite.run().code == 0
    name = (suite.folder / "name").read_text().rpartition("/")[2]
    with mintdb.open(suite.folder) as mint, mint.lease() as db, db.connect() as connection:
        databases = {row[0] for row in connection.execute("select datname from pg_database")}
        assert name not in databases
        assert db.address.database in databases


def test_a_kept_database_of_a_failed_test_can_be_opened(suite: Suite) -> None:
    suite.write(
        test_fails="""
            import pytest

            def test_fails(mintdb):
                with mintdb.connect() as connection:
                    connection.execute("insert into account (owner) values ('evidence')")
                assert False

            def test_passes(mintdb):
                with mintdb.connect() as connection:
                    assert connection.execute("select count(*) from account").fetchone() == (0,)

            @pytest.mark.mintdb(isolation="clone")
            def test_fails_on_a_clone(mintdb, mintdb_lease):
                for lease in (mintdb, mintdb_lease()):
                    with lease.connect() as connection:
                        connection.execute("insert into account (owner) values ('evidence')")
                assert False
        """
    )
    ran = suite.run("--mintdb-keep")
    assert ran.outcomes == {"passed": 1, "failed": 2}
    kept = re.findall(r"kept the database of test_fails.py::(\w+):  psql '([^']+)'", ran.output)
    assert [test for test, _ in kept] == ["test_fails", *["test_fails_on_a_clone"] * 2], ran.output
    assert "2 swapped, 1 on a clone of its own;" in ran.output  # what is kept is not put back, but replaced
    for _, url in kept:
        with psycopg.connect(url) as connection:
            assert connection.execute("select owner from account").fetchall() == [("evidence",)]


def test_a_database_that_mintdb_did_not_make_is_told(suite: Suite) -> None:
    suite.write(
        conftest="""
            import os
            # as load_dotenv(override=True) does it, after the export
            os.environ["DATABASE_URL"] = os.environ["DATABASE_URL"].rpartition("/")[0] + "/postgres"
        """,
        test_elsewhere="""
            import os
            import psycopg

            def test_elsewhere():
                with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
                    connection.execute("select 1")
        """,
    )
    ran = suite.run()
    assert ran.outcomes == {"passed": 1}, ran.output
    assert re.search(ELSEWHERE, ran.output), ran.output


ELSEWHERE = r"""
mintdb: the tests also connected to database 'postgres' on 127\.0\.0\.1:\d+, which mintdb did not make, nor puts back
  opened   test_elsewhere\.py:6 in test_elsewhere, in test_elsewhere\.py::test_elsewhere
  1\. if that is not meant: read the URL from the variable that `export` names, when mintdb has set it
     \(a module loaded with -p is too early for it, and a \.env file may override it\)
"""


def test_what_belongs_to_no_database_is_told_and_stays(suite: Suite) -> None:
    suite.write(
        test_roles="""
            import os

            def test_makes_a_role(mintdb):
                with mintdb.connect() as connection:
                    connection.execute(f"create role r{os.getpid()}")

            def test_drops_it(mintdb):
                with mintdb.connect() as connection:
                    connection.execute(f"drop role r{os.getpid()}")

            def test_makes_a_database(mintdb):
                with mintdb.connect(autocommit=True) as connection:
                    connection.execute("create database of_nobody")

            def test_drops_that(mintdb):
                with mintdb.connect(autocommit=True) as connection:
                    connection.execute("drop database of_nobody")
                    connection.execute("create database for_a_moment")
                    connection.execute("drop database for_a_moment")
        """,
    )
    ran = suite.run()
    assert ran.outcomes == {"passed": 4}, ran.output
    assert "roles were changed while test_roles.py::test_makes_a_role ran" in ran.output
    assert (
        "database of_nobody was created while test_roles.py::test_makes_a_database ran, by it or by somebody else on"
        " the server: what lies outside of the test's own database stays as it is"
    ) in ran.output.replace("\n  ", " "), ran.output
    assert "for_a_moment" not in ran.output
    assert ran.output.count("of_nobody") == 1


def test_a_snapshot_that_lets_tables_grow_is_told(suite: Suite) -> None:
    suite.write(
        test_horizon="""
            import os
            import psycopg
            import pytest

            @pytest.fixture(scope="module")
            def reader():
                with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
                    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                    connection.execute("select count(*) from account")
                    yield connection

            @pytest.mark.parametrize("n", range(30))
            def test_writes(reader, mintdb, n):
                with mintdb.connect() as connection:
                    rows = "insert into account (owner) select repeat('x', 500) || n from generate_series(1, 200) n"
                    connection.execute(rows)
        """,
    )
    ran = suite.run()
    assert ran.outcomes == {"passed": 30}, ran.output
    line = r"\(opened test_horizon\.py:8 in reader\)"
    told = rf"backend \d+ {line} keeps an old snapshot: tables that tests change grow meanwhile"
    assert re.search(told, ran.output.replace("\n  ", " ")), ran.output


def test_a_leak_of_the_last_test_does_not_hinder_a_wide_fixtures_clean_up(suite: Suite) -> None:
    suite.write(
        test_scope="""
            import os
            import psycopg
            import pytest

            kept = []

            @pytest.fixture(scope="module")
            def seed():
                yield
                with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
                    connection.execute("truncate account, entry")

            def test_leaks(seed):
                kept.append(psycopg.connect(os.environ["DATABASE_URL"]))
                kept[0].execute("insert into account (owner) values ('x')")
        """,
        test_then="""
            def test_then(mintdb):
                with mintdb.connect() as connection:
                    assert connection.execute("select count(*) from account").fetchone() == (0,)
        """,
    )
    ran = suite.run()
    assert ran.outcomes == {"passed": 2}, ran.output
    assert "LEAK  test_scope.py::test_leaks left 1 connection open" in ran.output


def test_a_connection_that_a_swap_had_to_end_is_named_with_its_line(suite: Suite) -> None:
    suite.write(
        test_wide="""
            import os, psycopg, pytest

            @pytest.fixture(scope="session")
            def wide():
                connection = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
                yield connection
                connection.close()

            def test_it(wide):
                wide.execute("create table extra (id int)")
        """
    )
    ran = suite.run()
    ended = next(line for line in ran.output.splitlines() if "had to end" in line)
    assert "test_wide.py::test_it had to end backend" in ended
    assert ended.endswith("opened test_wide.py:6 in wide"), ended  # what mintdb itself asked last is not shown
    assert "such a connection reconnects if a pool holds it; or let that test have a clone" in ran.output
