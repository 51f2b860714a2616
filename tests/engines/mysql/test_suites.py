"""A user's suite on MariaDB, run as the user would: every driver is seen, and wide fixtures have marks."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.engines.mysql.mariadb import require_mariadb
from tests.frameworks.suites import Suite

SETTINGS = """
[tool.mintdb.databases.default]
engine = "mysql"
schema = "sql:schema.sql"
export = { DATABASE_URL = "mysql+pymysql", "MYSQL*" = "libpq" }
"""
SCHEMA = """
create table account (id int auto_increment primary key, owner varchar(40) not null unique);
insert into account (owner) values ('Ann');
"""
TESTS = """
import asyncio, os
import pymysql, pytest
import sqlalchemy as sa

held = []
NEW = "insert into account (owner) values ('new')"

def params(**more):
    names = {"host": "HOST", "user": "USER", "password": "PASSWORD", "database": "DATABASE"}
    given = {key: os.environ[f"MYSQL_{name}"] for key, name in names.items()}
    return {**given, "port": int(os.environ["MYSQL_PORT"]), **more}

@pytest.fixture(scope="module")
def seeded():
    with pymysql.connect(**params(), ssl_disabled=True, autocommit=True) as connection:
        connection.cursor().execute("insert into account (owner) values ('seed')")

def test_pymysql():
    connection = pymysql.connect(**params(), ssl_disabled=True)
    held.append(connection)
    cursor = connection.cursor()
    cursor.execute(NEW)
    assert cursor.lastrowid == 2

def test_mysqlclient():
    connection = pytest.importorskip("MySQLdb").connect(**params())
    held.append(connection)
    cursor = connection.cursor()
    cursor.execute(NEW)
    assert cursor.lastrowid == 2

def test_asyncmy():
    import asyncmy

    async def work():
        connection = await asyncmy.connect(**params())
        held.append(connection)
        async with connection.cursor() as cursor:
            await cursor.execute(NEW)
            assert cursor.lastrowid == 2

    asyncio.run(work())

def test_abandoned():
    pymysql.connect(**params(), ssl_disabled=True).begin()

def test_closed():
    with pymysql.connect(**params(), ssl_disabled=True) as connection:
        connection.ping()
    engine = sa.create_engine(os.environ["DATABASE_URL"])
    with engine.begin() as connection:
        assert connection.execute(sa.text(NEW)).lastrowid == 2
    engine.dispose()

class TestWide:
    @pytest.mark.parametrize("attempt", range(2))
    def test_a_mark(self, seeded, attempt):
        with pymysql.connect(**params(), ssl_disabled=True, autocommit=True) as connection:
            cursor = connection.cursor()
            cursor.execute(NEW)
            assert cursor.lastrowid == 3
            cursor.execute("select owner from account order by id")
            assert [owner for owner, in cursor.fetchall()] == ["Ann", "seed", "new"]
"""
LATER = """
import os, pymysql
from test_drivers import params

def test_what_the_fixture_wrote_has_gone_with_it():
    with pymysql.connect(**params(), ssl_disabled=True) as connection:
        cursor = connection.cursor()
        cursor.execute("select owner from account")
        assert cursor.fetchall() == (("Ann",),)
"""


@pytest.fixture
def suite(tmp_path: Path, server_home: Path) -> Suite:
    require_mariadb()
    files = {"pyproject.toml": SETTINGS, "schema.sql": SCHEMA, "test_drivers": TESTS, "test_later": LATER}
    return Suite(tmp_path).write(**files)


def test_every_driver_is_seen_and_fixtures_have_marks(suite: Suite) -> None:
    ran = suite.run("-q", "-rs", "-W", "ignore")
    assert ran.code == 0, ran.output
    assert ran.outcomes["passed"] >= 7, ran.output
    tests = ["pymysql", "asyncmy"] + ["mysqlclient"] * ("could not import 'MySQLdb'" not in ran.output)
    for name in tests:
        told = ran.output.partition(f"LEAK  test_drivers.py::test_{name} left 1 connection open")[2]
        assert "idle in transaction" in told.splitlines()[1], ran.output
        assert "opened   test_drivers.py:" in told.splitlines()[2], ran.output
    assert "ABANDONED  test_drivers.py::test_abandoned never closed 1 connection" in ran.output
    assert "test_closed" not in ran.output.partition("LEAK")[2]


def test_workers_of_one_run_share_a_server_and_no_database(suite: Suite) -> None:
    ran = suite.run("-q", "-n", "2", "-W", "ignore")
    assert ran.code == 0, ran.output
