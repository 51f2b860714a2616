"""Suites that exhaust a server with 20 connections today pass on it, and it is told who made so many pools."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from private_server import running
from tests.frameworks.suites import Suite

from mintdb.connections.budget import budget_of
from mintdb.connections.errors import TooManyProcesses
from mintdb.contract import Server

FACTORY = """
import os
from sqlalchemy import create_engine, text

APPS = []  # as long as anything refers to an application, its pool keeps a connection

class App:
    def __init__(self):
        self.engine = create_engine(os.environ["DATABASE_URL"].replace("postgresql:", "postgresql+psycopg2:"))
        APPS.append(self)

    def ask(self):
        with self.engine.connect() as connection:
            return connection.scalar(text("select 1"))
"""
TESTS = """
import unittest
import app

class Many(unittest.TestCase):
    def setUp(self):
        self.app = app.App()

for number in range(25):
    setattr(Many, f"test_{number:02}", lambda self: self.assertEqual(self.app.ask(), 1))
"""
MODULES = """
import os
from sqlalchemy import create_engine, text

URL = os.environ["SQLALCHEMY_URL"]
{engines}
engines = [{names}]

def test_each():
    for engine in engines:
        with engine.connect() as connection:
            assert connection.scalar(text("select 1")) == 1
"""


@pytest.fixture(scope="module")
def small_url() -> Iterator[str]:
    with running(max_connections=20) as port:
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"


@pytest.fixture
def suite(tmp_path: Path, server_home: Path, small_url: str) -> Suite:
    folder = tmp_path / "project"
    folder.mkdir()
    return Suite(folder, {"MINTDB_URL": small_url})


def test_an_engine_for_each_test_passes_and_its_line_is_named(suite: Suite) -> None:
    suite.write(app=FACTORY, test_many=TESTS)
    ran = suite.run_under_mintdb("-m", "unittest", "-q", "test_many")
    assert ran.code == 0, ran.output
    assert "Ran 25 tests" in ran.output
    assert "pool     app.py:9 in __init__, SQLAlchemy engine" in ran.output


def test_26_engines_pass_with_one_setting_and_each_is_listed(suite: Suite) -> None:
    names = [f"engine{number}" for number in range(26)]
    engines = "\n".join(f"{name} = create_engine(URL)" for name in names)
    suite.environment["MINTDB_KEEP_IDLE"] = "false"
    settings = '[databases.default]\nexport = { SQLALCHEMY_URL = "postgresql+psycopg" }\n'
    suite.write(**{"mintdb.toml": settings}, test_modules=MODULES.format(engines=engines, names=", ".join(names)))
    ran = suite.run("-q")
    assert ran.outcomes == {"passed": 1}, ran.output
    assert "SPRAWL  26 pools of one process lead to" in ran.output
    places = [line for line in ran.output.splitlines() if "in <module>, SQLAlchemy engine" in line]
    assert len(places) == 26


def test_workers_share_what_the_server_allows(suite: Suite) -> None:
    """20 less 3 for superusers less 3 for mintdb in each of 3 workers: 8, so 2 for each."""
    suite.write(
        **{"mintdb.toml": '[databases.default]\nexport = "DATABASE_URL"\n'},
        test_shared="""
            import os
            import psycopg
            import pytest

            @pytest.mark.parametrize("number", range(3))
            def test_two_at_once_and_no_more(number, monkeypatch):
                from mintdb.connections import gate
                monkeypatch.setattr(gate.keeper, "timeout", 0.1)
                url = os.environ["DATABASE_URL"]
                with psycopg.connect(url), psycopg.connect(url):
                    with pytest.raises(Exception, match="2 connections are open and 2 are allowed"):
                        psycopg.connect(url)
        """,
    )
    ran = suite.run("-q", "-n", "3")
    assert ran.outcomes == {"passed": 3}, ran.output


@pytest.mark.skipif("MINTDB_SOAK" not in os.environ, reason="six workers that cannot start: half a minute")
def test_more_workers_than_the_server_can_bear_are_told_how_many_it_can(suite: Suite) -> None:
    suite.write(
        **{"mintdb.toml": '[databases.default]\nexport = "DATABASE_URL"\n'},
        test_any="import pytest\n@pytest.mark.parametrize('n', range(6))\ndef test_any(n): pass\n",
    )
    ran = suite.run("-q", "-n", "6")
    assert ran.code != 0
    assert "the server allows 17 connections, too few for 6 workers" in ran.output


def test_the_share_of_a_process_and_what_is_said_where_there_is_none() -> None:
    server = cast(Server, SimpleNamespace(connections_allowed=14, own_connections=3))
    assert [budget_of(server, processes) for processes in (1, 2, 3, 4)] == [14, 5, 2, 1]
    with pytest.raises(TooManyProcesses) as raised:
        budget_of(server, 6)
    assert (
        str(raised.value)
        == """\
the server allows 17 connections, too few for 6 workers: mintdb itself needs 3 for each of them
  1. run fewer:  -n 4
  2. or let the server allow more:  max_connections in postgresql.conf
  3. or use an embedded server: leave the url out"""
    )
