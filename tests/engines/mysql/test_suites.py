"""A user's suite on MariaDB and MySQL, run as the user would: every driver is seen, and wide fixtures have marks."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.engines import django_app
from tests.engines.mysql.mariadb import require_mariadb, require_mysql
from tests.frameworks.suites import Suite

SETTINGS = """
[tool.mintdb.databases.default]
engine = "mysql"
schema = "sql:schema.sql"
export = { DATABASE_URL = "mysql+pymysql", "MYSQL*" = "libpq" }
"""
ORDERS = """
[tool.mintdb.databases.orders]
engine = "mysql"
schema = "django"
export = "ORDERS_URL"
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

class TestSession:
    @pytest.fixture(scope="class", params=["pymysql", "MySQLdb"])
    def wide(self, request):
        driver = pytest.importorskip(request.param)
        cursors = pytest.importorskip(f"{request.param}.cursors")
        more = {"ssl_disabled": True} if driver is pymysql else {}
        connection = driver.connect(**params(), cursorclass=cursors.DictCursor, **more)
        with connection.cursor() as cursor:
            cursor.execute("set session sql_mode = 'ANSI_QUOTES', max_statement_time = 7.5")
            cursor.execute("set @realm = 'it''s', @kept = 1.5")
            cursor.execute(f"select get_lock('{self.OURS} fixture', 0)")
        yield connection
        connection.close()

    @pytest.fixture(scope="class")
    def pooled(self):
        engine = sa.create_engine(os.environ["DATABASE_URL"])
        sa.event.listen(engine, "connect", lambda connection, _: connection.query("set session time_zone = '+09:00'"))
        yield engine
        engine.dispose()

    OURS = os.environ["MYSQL_DATABASE"]  # a lock is the whole server's: another worker may have it
    LOOKS = (
        "select @@sql_mode m, @@max_statement_time s, @@time_zone z, @@sql_log_bin b, @realm r, @kept k, @mine n,"
        f" is_used_lock('{OURS} fixture') = connection_id() l, is_used_lock('{OURS} test') o, database() d"
    )

    @pytest.mark.parametrize("attempt", range(2))
    def test_a_raw_connection_is_as_the_fixture_left_it(self, wide, attempt):
        with wide.cursor() as cursor:
            cursor.execute(self.LOOKS)
            looks = list(cursor.fetchone().values())
            assert looks == ["ANSI_QUOTES", 7.5, "+00:00", 1, "it's", 1.5, None, 1, None, self.OURS]
            cursor.execute("set session sql_mode = 'NO_BACKSLASH_ESCAPES', time_zone = '+01:00', sql_log_bin = 0")
            cursor.execute("set max_statement_time = 0, @realm = 'other', @kept = 2, @mine = 'x'")
            cursor.execute(f"select get_lock('{self.OURS} test', 0)")
            cursor.execute("use mysql")

    @pytest.mark.parametrize("attempt", range(2))
    def test_a_pools_connection_is_as_its_connect_event_left_it(self, pooled, attempt):
        with pooled.connect() as connection:
            mode, seconds, zone, _, _, _, mine, _, lock, _ = connection.execute(sa.text(self.LOOKS)).one()
            assert (seconds, zone, mine, lock) == (0, "+09:00", None, None)
            assert mode != "" and connection.scalar(sa.text("show tables like 'scratch'")) is None
            connection.execute(sa.text("set session sql_mode = '', time_zone = '+01:00', max_statement_time = 9"))
            connection.execute(sa.text("set @mine = 'x'"))
            connection.execute(sa.text("create temporary table scratch (id int)"))
            connection.execute(sa.text(f"select get_lock('{self.OURS} test', 0)"))
            connection.commit()
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
    has_mysqlclient = find_spec("MySQLdb") is not None
    assert ran.outcomes == ({"passed": 14} if has_mysqlclient else {"passed": 11, "skipped": 3}), ran.output
    tests = ["pymysql", "asyncmy"] + ["mysqlclient"] * has_mysqlclient
    for name in tests:
        told = ran.output.partition(f"LEAK  test_drivers.py::test_{name} left 1 connection open")[2]
        assert "idle in transaction" in told.splitlines()[1], ran.output
        assert "opened   test_drivers.py:" in told.splitlines()[2], ran.output
    assert "ABANDONED  test_drivers.py::test_abandoned never closed 1 connection" in ran.output
    assert "test_closed" not in ran.output.partition("LEAK")[2]


def test_workers_of_one_run_share_a_server_and_no_database_and_so_does_django(suite: Suite) -> None:
    # Where there is no mysqlclient, Django is given PyMySQL under that name, and so are the tests of drivers.
    suite.environment["DJANGO_SETTINGS_MODULE"] = "web"
    suite.write(**{"pyproject.toml": SETTINGS + ORDERS}, **django_app.files("mysql"))
    ran = suite.run("-q", "-n", "2", "-W", "ignore")
    assert ran.outcomes == {"passed": 16}, ran.output


FLASK = """
import os
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"]
db = SQLAlchemy(app)

class Account(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    owner = db.Column(db.String(40), unique=True)

@app.post("/<owner>")
def create(owner):
    db.session.add(account := Account(owner=owner))
    db.session.commit()
    return {"id": account.id}
"""
FLASK_TESTS = """
import pytest
from web_app import app

@pytest.mark.parametrize("attempt", range(2))
def test_a_request_commits(attempt):
    assert app.test_client().post("/Eve").json == {"id": 2}
    assert app.test_client().post("/Ann").status_code == 500
"""


def test_drivers_flask_and_django_on_mysql(tmp_path: Path, server_home: Path) -> None:
    environment = {"MINTDB_BINARIES": require_mysql(), "DJANGO_SETTINGS_MODULE": "web"}
    files = {"pyproject.toml": SETTINGS + ORDERS, "schema.sql": SCHEMA, "test_drivers": TESTS, "test_later": LATER}
    suite = Suite(tmp_path, environment).write(**files, **django_app.files("mysql"))
    ran = suite.write(web_app=FLASK, test_flask=FLASK_TESTS).run("-q", "-rs", "-W", "ignore", "-k", "not TestSession")
    assert ran.outcomes == {"passed": 12}, ran.output
    assert "mysql MySQL 9." in ran.output
    told = ran.output.partition("LEAK  test_drivers.py::test_asyncmy left 1 connection open")[2].splitlines()
    assert "idle in transaction" in told[1], ran.output
    assert "opened   test_drivers.py:" in told[2], ran.output
    assert "last ran insert into account" in told[3], ran.output


AIOMYSQL = """
import asyncio, gc, os
import aiomysql, pytest, pytest_asyncio

held = []

async def connect():
    return await aiomysql.connect(**params())

def params():
    names = {"host": "HOST", "user": "USER", "password": "PASSWORD", "db": "DATABASE"}
    return {key: os.environ[f"MYSQL_{name}"] for key, name in names.items()} | {"port": int(os.environ["MYSQL_PORT"])}

async def add(connection):
    async with connection.cursor() as cursor:
        await cursor.execute("insert into account (owner) values ('new')")
        return cursor.lastrowid

@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def pool():
    async with aiomysql.create_pool(minsize=2, autocommit=True, **params()) as pool:
        yield pool

@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("attempt", range(3))
async def test_a_kept_pool_replaces_what_a_swap_ended(pool, attempt):
    async with pool.acquire() as connection:
        assert await add(connection) == 2
        async with connection.cursor() as cursor:
            await cursor.execute("alter table account add column age int")

def test_on_a_loop_that_is_dead():
    async def work():
        held.append(await connect())
        await add(held[-1])

    asyncio.run(work())

def test_what_it_left_warns_nobody():
    held.clear()
    gc.collect()

@pytest.mark.asyncio
async def test_closed():
    connection = await connect()
    await add(connection)
    await connection.ensure_closed()
"""


def test_aiomysql_is_seen_and_what_is_ended_warns_nobody(tmp_path: Path, server_home: Path) -> None:
    require_mariadb()
    suite = Suite(tmp_path).write(**{"pyproject.toml": SETTINGS, "schema.sql": SCHEMA, "test_aiomysql": AIOMYSQL})
    asyncio = "-p", "asyncio", "-o", "asyncio_default_fixture_loop_scope=function"
    ran = suite.run("-q", *asyncio, "-W", "error")
    assert ran.outcomes == {"passed": 6}, ran.output
    assert ran.output.count("LEAK") == 1, ran.output
    told = ran.output.partition("LEAK  test_aiomysql.py::test_on_a_loop_that_is_dead left 1 connection open")[2]
    assert "opened   test_aiomysql.py:8 in connect" in told.splitlines()[2], ran.output
    assert "async with aiomysql.connect(…) as conn: …" in told.splitlines()[3], ran.output
