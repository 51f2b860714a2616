"""Plain drivers, their pools, SQLModel and peewee: nothing is registered, wrapped or replaced for any of them."""

from __future__ import annotations

from tests.frameworks.suites import ASYNC_SETTINGS, Suite

APPS = """
    import os

    import asyncpg
    import peewee
    import psycopg
    import psycopg2
    import sqlmodel
    from playhouse.db_url import connect
    from psycopg_pool import AsyncConnectionPool, ConnectionPool

    URL = os.environ["DATABASE_URL"]
    INSERT = "insert into account (owner) values ({}) returning id"


    def with_psycopg(owner):
        with psycopg.connect(URL) as connection:
            return connection.execute(INSERT.format("%s"), [owner]).fetchone()[0]


    def with_psycopg2(owner):
        connection = psycopg2.connect(URL)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(INSERT.format("%s"), [owner])
                return cursor.fetchone()[0]
        finally:
            connection.close()


    pool = ConnectionPool(URL, min_size=1, max_size=3, open=False)


    def with_a_pool(owner):
        pool.open()  # again is harmless
        with pool.connection() as connection:
            return connection.execute(INSERT.format("%s"), [owner]).fetchone()[0]


    database = connect(URL)


    class PeeweeAccount(peewee.Model):
        owner = peewee.TextField()

        class Meta:
            database = database
            table_name = "account"


    def with_peewee(owner):
        with database:
            return PeeweeAccount.create(owner=owner).id


    class Account(sqlmodel.SQLModel, table=True):
        id: int | None = sqlmodel.Field(default=None, primary_key=True)
        owner: str
        balance: int = 0


    engine = sqlmodel.create_engine(os.environ["SQLALCHEMY_URL"])


    def with_sqlmodel(owner):
        with sqlmodel.Session(engine) as session:
            session.add(account := Account(owner=owner))
            session.commit()
            return account.id


    async def with_asyncpg(owner):
        connection = await asyncpg.connect(URL)
        try:
            return await connection.fetchval(INSERT.format("$1"), owner)
        finally:
            await connection.close()


    async def with_an_asyncpg_pool(owner):
        async with asyncpg.create_pool(URL, min_size=1, max_size=2) as pool:
            return await pool.fetchval(INSERT.format("$1"), owner)


    async def with_an_asynchronous_pool(owner):
        async with AsyncConnectionPool(URL, min_size=1, max_size=2, open=False) as pool:
            async with pool.connection() as connection:
                return (await (await connection.execute(INSERT.format("%s"), [owner])).fetchone())[0]
"""
TESTS = """
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    import apps
    import pytest

    blocking = [apps.with_psycopg, apps.with_psycopg2, apps.with_a_pool, apps.with_peewee, apps.with_sqlmodel]
    asynchronous = [apps.with_asyncpg, apps.with_an_asyncpg_pool, apps.with_an_asynchronous_pool]
    twice = pytest.mark.parametrize("attempt", range(2))


    @pytest.fixture(scope="session", autouse=True)
    def close_the_pools():
        yield
        apps.pool.close()


    @twice
    @pytest.mark.parametrize("add", blocking)
    def test_blocking(add, attempt):
        assert [add("Ann"), add("Bob")] == [1, 2]


    @twice
    @pytest.mark.parametrize("add", blocking)
    def test_threads(add, attempt):
        with ThreadPoolExecutor(3) as threads:
            assert sorted(threads.map(add, "abcdef")) == [1, 2, 3, 4, 5, 6]


    @twice
    @pytest.mark.parametrize("add", asynchronous)
    async def test_asynchronous(add, attempt):
        assert sorted(await asyncio.gather(*map(add, "abcdef"))) == [1, 2, 3, 4, 5, 6]
"""


def test_whatever_connects_really_commits_and_is_put_back(suite: Suite) -> None:
    suite.write(**{"pyproject.toml": ASYNC_SETTINGS}, apps=APPS, test_apps=TESTS)
    ran = suite.run("-q", "-p", "asyncio")
    assert ran.outcomes == {"passed": 26}, ran.output
    assert "LEAK" not in ran.output
