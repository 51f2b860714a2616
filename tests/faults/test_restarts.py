"""A server that restarts while tests run, and is back at once, fails nobody but who was connected."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from benchmarks.private_server import PrivateServer, embedded_bin, private_server

from tests.faults.conftest import Start
from tests.frameworks.suites import TIMEOUT, Suite
from tests.waiting import wait_for

AWAY = 1.0  # seconds; a container's restart takes two or three
APP = """
import os
import sqlalchemy as sa

engine = sa.create_engine(os.environ["SQLALCHEMY_URL"])

def add(owner):
    with engine.begin() as connection:
        connection.execute(sa.text("insert into account (owner) values (:owner)"), {"owner": owner})
        return connection.scalar(sa.text("select count(*) from account"))
"""
CONFTEST = """
import pytest
import shop
from mintdb.engines.postgresql import maintenance

maintenance.RESTART = 60.0  # a busy machine may take longer than a user's server does

@pytest.fixture(scope="session", autouse=True)
def cashier():
    shop.add("cashier")
"""
TESTS = """
import contextlib
import os
import pathlib
import signal
import time
import psycopg
import shop

kept = []

def test_before():
    assert shop.add("ann") == 2

def {name}():
    assert shop.add("ann") == 2
    kept.append(psycopg.connect(os.environ["DATABASE_URL"]))
    {restart}

def test_the_next():
    assert shop.add("ann") == 2

def test_the_one_after_that():
    assert shop.add("ann") == 2

def test_leaks():
    kept.append(psycopg.connect(os.environ["DATABASE_URL"]))
"""
CRASH = """os.kill(kept[0].info.backend_pid, signal.SIGKILL)
    with contextlib.suppress(psycopg.OperationalError):
        kept[0].execute("select 1")  # until it is really gone"""
STOP = """pathlib.Path("here").touch()
    while not pathlib.Path("stopped").exists(): time.sleep(0.02)"""
SWAPPED = "mintdb: swapped 1 x because the server was restarted, or ended mintdb's own session\n"


@pytest.fixture
def server() -> Iterator[PrivateServer]:
    programs = embedded_bin()
    assert programs is not None
    with private_server(programs) as server:
        yield server


def suite_of(project: Suite, restart: str) -> Suite:
    tests = TESTS.replace("{restart}", restart).replace("{name}", "test_it_restarts")
    return project.write(shop=APP, conftest=CONFTEST, test_restart=tests)


def told_what_it_should_be(output: str) -> bool:
    return SWAPPED in output and output.count("LEAK  ") == output.count("LEAK  test_restart.py::test_leaks") == 1


def test_a_suite_goes_on_after_an_embedded_server_has_lost_a_backend(project: Suite) -> None:
    ran = suite_of(project, CRASH).run()
    assert ran.outcomes == {"passed": 5}, ran.output
    assert told_what_it_should_be(ran.output), ran.output


def test_a_suite_goes_on_after_an_external_server_was_restarted(
    project: Suite, server: PrivateServer, start: Start
) -> None:
    suite_of(project, STOP)
    running = start(project, "--mintdb-url", f"postgresql://postgres@127.0.0.1:{server.port}/postgres")
    wait_for((project.folder / "here").exists, "the test before")
    server.stop()
    (project.folder / "stopped").touch()
    time.sleep(AWAY)
    server.start()
    output, _ = running.communicate(timeout=TIMEOUT)
    assert " 5 passed in " in output, output
    assert told_what_it_should_be(output), output
