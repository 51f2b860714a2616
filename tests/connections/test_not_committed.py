"""What a test did not commit on a connection that outlives it is told and rolled back; the connection goes on."""

from __future__ import annotations

import re
from pathlib import Path

from tests.frameworks.suites import new_suite

FORGETFUL = """
import asyncio
import os
import sqlite3

import asyncpg
import psycopg
import psycopg2
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import scoped_session, sessionmaker

CONNECTIONS = {
    "psycopg": psycopg.connect(os.environ["DATABASE_URL"]),
    "psycopg2": psycopg2.connect(os.environ["DATABASE_URL"]),
    "by hand": psycopg2.connect(os.environ["DATABASE_URL"]),
    "sqlite3": sqlite3.connect(os.environ["FILE"]),
}


CONNECTIONS["by hand"].autocommit = True

class Lazy:
    connection = None

    def cursor(self):
        self.connection = self.connection or psycopg.connect(os.environ["DATABASE_URL"])
        return self.connection.cursor()

CONNECTIONS["lazy"] = Lazy()

class Scoped:
    engine = sa.create_engine(os.environ["DATABASE_URL"].replace("://", "+psycopg://"))
    session = scoped_session(sessionmaker(engine))

    def cursor(self):
        return self

    def execute(self, statement):
        self.found = self.session.execute(sa.text(statement))

    def fetchone(self):
        return self.found.fetchone()

CONNECTIONS["scoped"] = Scoped()

class OnALoop:
    def __init__(self, connect, begin):
        self.connect, self.begin, self.loop, self.connection = connect, begin, asyncio.new_event_loop(), None

    def cursor(self):
        return self

    def execute(self, statement):
        self.found = self.loop.run_until_complete(self.run(statement))

    async def run(self, statement):
        if self.connection is None or (self.begin == "block" and self.connection.is_closed()):
            self.connection = await self.connect(os.environ["DATABASE_URL"])
        if self.begin == "by hand" and not statement.startswith("insert"):
            await self.connection.execute("begin")
        if self.begin == "block" and not statement.startswith("insert"):
            await self.connection.transaction().start()
        if self.begin:
            return await self.connection.fetchrow(statement)
        cursor = await self.connection.execute(statement)
        return await cursor.fetchone() if cursor.description else None

    def fetchone(self):
        return tuple(self.found)

CONNECTIONS["asyncpg"] = OnALoop(asyncpg.connect, "by hand")
CONNECTIONS["asyncpg's block"] = OnALoop(asyncpg.connect, "block")
CONNECTIONS["psycopg, async"] = OnALoop(psycopg.AsyncConnection.connect, None)


@pytest.mark.parametrize("again", "ab")
@pytest.mark.parametrize("driver", CONNECTIONS)
def test_commits_nothing(driver, again):
    cursor = CONNECTIONS[driver].cursor()
    if driver == "by hand":
        cursor.execute("begin")
    cursor.execute("select count(*) from currency where code = 'GBP'")
    assert cursor.fetchone() == (0,)
    cursor.execute("insert into currency values ('GBP')")
"""
TOLD = """\
LEAK  test_forgetful.py::test_commits_nothing[psycopg2-a] left 1 connection in a transaction
  backend N, idle in transaction for N s on mint_N_main
  opened   test_forgetful.py:15 in <module>
  last ran insert into currency values ('GBP')
  1. commit what was begun, or take it back:  conn.commit() or conn.rollback()
  likewise 1 more test: test_forgetful.py::test_commits_nothing[psycopg2-b]
"""
ENDED = """\
LEAK  test_forgetful.py::test_commits_nothing[asyncpg's block-a] left 1 connection in a transaction
  backend N, idle in transaction for N s on mint_N_main
  opened   test_forgetful.py:59 in run, task "Task-N"
  last ran insert into currency values ('GBP')
  ended    nobody could roll it back from outside
  1. end the transaction where it was begun:  async with conn.transaction(): …
  likewise 1 more test: test_forgetful.py::test_commits_nothing[asyncpg's block-b]
"""


def test_a_connection_of_the_whole_run_loses_what_a_test_did_not_commit_and_goes_on(
    server_home: Path, tmp_path: Path
) -> None:
    suite = new_suite(tmp_path / "suite").write(test_forgetful=FORGETFUL)
    settings = suite.folder / "pyproject.toml"
    lite = '[tool.mintdb.databases.lite]\nengine = "sqlite"\nschema = "sql:lite.sql"\nexport = { FILE = "path" }\n'
    settings.write_text(settings.read_text() + lite)
    suite.write(**{"lite.sql": "create table currency (code text);"})
    ran = suite.run()
    assert ran.outcomes == {"passed": 18}, ran.output
    assert ran.output.count("in a transaction\n") == 8
    assert ran.output.count("likewise 1 more test:") == 7
    assert ran.output.count("likewise 3 more tests: test_forgetful.py::test_commits_nothing[asyncpg-b]") == 1
    output = re.sub(r"mint_\w+_main", "mint_N_main", ran.output)
    output = re.sub(r"(?<=backend )\d+|\d+\.\d(?= s)|(?<=Task-)\d+", "N", output)
    assert TOLD in output
    # asyncpg counts on a transaction that it has begun itself: it is the only one that has to connect again.
    assert ENDED in output
    assert output.count("  ended  ") == 1
