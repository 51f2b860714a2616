"""A run killed with SIGKILL, at whatever moment, leaves nothing that the keeper or the next run does not clear up."""

from __future__ import annotations

import os
import random
import subprocess
import time

import pytest

from mintdb.engines.places import find_places
from tests.conftest import LINGER
from tests.faults import watching
from tests.faults.conftest import Start
from tests.frameworks.suites import Suite
from tests.waiting import wait_for

PLAIN = """
import app

def test_first():
    assert app.add() == 1

def test_second():
    assert app.add() == 1
"""
MOMENTS = {
    "collecting": {"test_it": "import app\napp.mark_and_wait('here')\ndef test_it(): app.add()\n"},
    "building the template": {
        "test_it": PLAIN,
        "schema": """
            import app, psycopg

            def create(url):
                with psycopg.connect(url, autocommit=True) as connection:
                    connection.execute("create table account (id serial primary key, owner text)")
                    app.mark_and_wait("here")
        """,
        "pyproject.toml": """
            [tool.mintdb.databases.default]
            schema = "python:schema:create"
            export = "DATABASE_URL"
        """,
    },
    "in a test": {"test_it": "import app\n\ndef test_it():\n    app.add()\n    app.mark_and_wait('here')\n"},
    "in a fixture with a mark": {
        "test_it": """
            import app, pytest

            @pytest.fixture(scope="session")
            def seeded():
                with app.connect() as connection:
                    connection.execute("alter table account add column extra int; create table more (n int)")

            def test_it(seeded):
                app.mark_and_wait("here")
        """,
    },
    "waiting for a session to settle": {
        "test_it": """
            import threading
            import app

            def sleep():
                app.connect().execute("select pg_sleep(60)")

            def test_it():
                threading.Thread(target=sleep, daemon=True).start()
                app.mark("here")
        """,
    },
    "after a swap": {
        "test_it": """
            import app

            def test_changes_the_schema():
                app.connect().execute("drop table entry")

            def test_it():
                app.mark_and_wait("here")
        """,
    },
    "at the end": {
        "test_it": PLAIN,
        "conftest": """
            import app, pytest

            @pytest.hookimpl(trylast=True)
            def pytest_sessionfinish():
                app.mark_and_wait("here")
        """,
    },
}


def kill_at_mark(suite: Suite, process: subprocess.Popen[str]) -> None:
    mark = suite.folder / "here"
    wait_for(mark.exists, "the moment")
    watching.kill(process.pid)
    process.communicate()
    mark.unlink()


@pytest.mark.parametrize("moment", MOMENTS)
def test_what_a_killed_run_leaves_is_cleared_up_and_no_process_survives(
    project: Suite, start: Start, moment: str
) -> None:
    project.environment["MINTDB_SETTLE"] = "30" if "settle" in moment else "0.3"
    project.write(**MOMENTS[moment])
    kill_at_mark(project, start(project))
    if watching.state():
        wait_for(lambda: not watching.leftovers(), "an end of the killed run's databases")
    assert not watching.half_made()
    watching.server_stops(linger=LINGER)


@pytest.mark.parametrize("moment", ["building the template", "after a swap"])
def test_the_next_run_starts_at_once_and_is_not_misled(project: Suite, start: Start, moment: str) -> None:
    project.environment["MINTDB_LINGER"] = "20"
    project.write(**MOMENTS[moment])
    kill_at_mark(project, start(project))
    (project.folder / "app.py").write_text(
        (project.folder / "app.py").read_text() + "\ndef mark_and_wait(name): pass\n"
    )
    project.write(test_it=PLAIN)
    ran = project.run()
    assert ran.outcomes == {"passed": 2}, ran.output
    assert not [name for name in watching.databases() if name.endswith("_building")]


def keeper_has_begun() -> bool:
    return bool([*find_places().live.rglob("keeper.log")])


def test_a_run_killed_while_its_server_starts_leaves_no_server_for_good(project: Suite, start: Start) -> None:
    """The keeper has nobody left to report to, and keeps the server all the same: until nobody has come."""
    process = start(project.write(test_it=PLAIN))
    wait_for(keeper_has_begun, "a keeper")  # where this machine is slow the server runs by now: that has to end as well
    watching.kill(process.pid)
    wait_for(watching.state, "the server")
    watching.server_stops(linger=LINGER)


def test_the_next_run_waits_for_the_server_that_a_killed_run_was_starting(project: Suite, start: Start) -> None:
    process = start(project.write(test_it=PLAIN))
    wait_for(keeper_has_begun, "a keeper")
    watching.kill(process.pid)
    ran = project.run()
    assert ran.outcomes == {"passed": 2}, ran.output
    watching.server_stops(linger=LINGER)


def test_killed_workers_and_controller_leave_nothing(project: Suite, start: Start) -> None:
    project.write(test_it="import app\n\ndef test_it():\n    app.add()\n    app.mark_and_wait('here')\n")
    kill_at_mark(project, start(project, "-n", "2"))
    wait_for(lambda: not watching.leftovers(), "an end of the killed run's databases")
    watching.server_stops(linger=LINGER)


SEEDS = range(40) if os.environ.get("MINTDB_SOAK") else range(1)


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_at_a_random_moment(project: Suite, start: Start, seed: int) -> None:
    """Three runs in one home, each killed while it starts, builds, tests or ends; then one that is not."""
    rng = random.Random(seed)
    project.write(
        test_it="""
            import app, pytest

            @pytest.mark.parametrize("n", range(30))
            def test_it(n):
                assert app.add() == 1
                if n % 3 == 0:
                    with app.connect() as connection:
                        connection.execute("create table extra (n int)")
        """
    )
    for _ in range(3):
        process = start(project)
        time.sleep(rng.uniform(0.2, 4))  # a moment of nobody's choosing: there is no condition to wait for
        watching.kill(process.pid)
        process.communicate()
    ran = project.run()
    assert ran.outcomes == {"passed": 30}, ran.output
    wait_for(lambda: watching.state() is None or not watching.leftovers(), "an end of the killed runs' databases")
    watching.server_stops(linger=LINGER)
    assert not watching.half_made()
