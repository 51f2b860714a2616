"""Pools let go of what is idle and work on; where each was created is known."""

from __future__ import annotations

import asyncio
import gc
import threading
from contextlib import ExitStack
from functools import partial

import asyncpg
import psycopg
import psycopg_pool
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine
from tests.waiting import wait_for

from mintdb.connections.ledger import Ledger
from mintdb.connections.pools import pools


def nobody_is_left(dsn: str) -> bool:
    """Whether the server itself soon counts nobody else on this database: a backend needs a moment to end."""
    with psycopg.connect(dsn, dbname="template1", autocommit=True) as admin:
        query = "select count(*) from pg_stat_activity where datname = 'postgres' and backend_type = 'client backend'"
        return wait_for(lambda: admin.execute(query).fetchone() == (0,), "an end of the backends")


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_an_engines_idle_connections_go_and_it_reconnects(driver: str, dsn: str, watched: Ledger) -> None:
    engine = sa.create_engine(dsn.replace("postgresql", f"postgresql+{driver}"), pool_size=3)
    with engine.connect(), engine.connect(), engine.connect():
        pass
    assert len(watched.open_entries("postgres")) == 3

    assert pools.let_go("postgres") == []

    assert nobody_is_left(dsn)
    status = engine.pool.status()
    with engine.connect(), engine.connect(), engine.connect():
        assert engine.pool.checkedout() == 3
    assert engine.pool.status() == status
    engine.dispose()


def test_only_connections_to_that_database_and_port_go(dsn: str, port: int, watched: Ledger) -> None:
    engine = sa.create_engine(dsn.replace("postgresql", "postgresql+psycopg"))
    with engine.connect():
        pass
    pools.let_go("another")
    pools.let_go("postgres", port=port + 1)

    assert len(watched.open_entries("postgres", port=port)) == 1
    engine.dispose()


def test_a_connection_in_use_is_named_and_its_pool_stays_in_order(dsn: str, watched: Ledger) -> None:
    engine = sa.create_engine(dsn.replace("postgresql", "postgresql+psycopg"), pool_size=1, max_overflow=0)
    with engine.connect() as connection:
        connection.execute(sa.text("select 1"))
        [in_use] = pools.let_go("postgres")
        assert in_use.owner is not None
        assert connection.execute(sa.text("select 2")).scalar() == 2
    with engine.connect():
        pass
    assert pools.let_go("postgres") == []
    engine.dispose()


def test_a_psycopg_pool_does_not_reconnect_before_it_is_asked(dsn: str, watched: Ledger) -> None:
    with psycopg_pool.ConnectionPool(dsn, min_size=2, max_size=2) as pool:
        pool.wait()
        assert pools.let_go("postgres") == []
        assert nobody_is_left(dsn)

        with pool.connection() as one, pool.connection() as two:
            assert one.execute("select 1").fetchone() == two.execute("select 1").fetchone()
        assert pool.get_stats()["pool_size"] == 2


def test_a_client_that_waits_while_a_psycopg_pool_lets_go_is_served(dsn: str, watched: Ledger) -> None:
    """The pool believes that it is full while its only connection is being closed."""
    with psycopg_pool.ConnectionPool(dsn, min_size=1, max_size=1, timeout=60) as pool:
        pool.wait()
        served: list[int] = []

        def client() -> None:
            with pool.connection() as connection:
                served.append(connection.info.backend_pid)

        thread = threading.Thread(target=client)

        def keep(entry: object) -> bool:
            thread.start()
            while not pool.get_stats()["requests_waiting"]:
                threading.Event().wait(0.001)
            return False

        pools.visit_idle(keep)
        thread.join(60)
        assert len(served) == 1


def test_an_asyncpg_pool_reconnects_on_its_own_loop(dsn: str, watched: Ledger) -> None:
    loop = asyncio.new_event_loop()
    try:

        async def create() -> asyncpg.Pool:
            return await asyncpg.create_pool(dsn, min_size=2, max_size=2)

        pool = loop.run_until_complete(create())
        assert pools.let_go("postgres") == []
        assert nobody_is_left(dsn)  # although the loop has not run since
        assert loop.run_until_complete(pool.fetchval("select 1")) == 1
        loop.run_until_complete(pool.close())
    finally:
        loop.close()


def test_pools_of_dead_event_loops_let_go_without_a_warning(dsn: str, watched: Ledger) -> None:
    engine = create_async_engine(dsn.replace("postgresql", "postgresql+asyncpg"))

    async def use() -> list[object]:
        async with engine.connect() as connection:
            await connection.execute(sa.text("select 1"))
        pool = await asyncpg.create_pool(dsn, min_size=1, max_size=1)
        psycopg_s = psycopg_pool.AsyncConnectionPool(dsn, min_size=1, open=False)
        await psycopg_s.open(wait=True)
        return [pool, psycopg_s]

    loop = asyncio.new_event_loop()
    kept = loop.run_until_complete(use())
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.close()

    assert pools.let_go("postgres") == []
    assert nobody_is_left(dsn)
    del kept
    gc.collect()


def test_pools_that_lead_to_one_place_are_reported_with_each_creation_site(dsn: str, watched: Ledger) -> None:
    url = dsn.replace("postgres@", "postgres:secret@")
    first = sa.create_engine(url.replace("postgresql", "postgresql+psycopg"))
    beside = create_async_engine(url.replace("postgresql", "postgresql+asyncpg"))
    migrations = sa.create_engine(url.replace("postgresql", "postgresql+psycopg"), poolclass=sa.NullPool)
    # Blocking code cannot share an async one, and a pool that keeps nothing is none.
    assert [found for found in pools.sprawl() if "***" in found.url] == []
    second = sa.create_engine(url.replace("postgresql", "postgresql+psycopg2"))

    [sprawl] = [found for found in pools.sprawl() if "***" in found.url]
    assert sprawl.url == dsn.replace("postgres@", "postgres:***@")
    assert [site.function for site in sprawl.sites if site] == [
        "test_pools_that_lead_to_one_place_are_reported_with_each_creation_site"
    ] * 2
    assert sprawl.sites[0] != sprawl.sites[1]

    del first, second, beside, migrations
    gc.collect()
    assert [found for found in pools.sprawl() if "***" in found.url] == []


def test_an_engine_that_was_disposed_of_is_no_pool_until_it_is_used_again(dsn: str, watched: Ledger) -> None:
    engines = [sa.create_engine(dsn.replace("postgresql", "postgresql+psycopg")) for _ in range(3)]
    for engine in engines:
        engine.connect().close()
    assert [len(found.owners) for found in pools.sprawl()] == [3]

    for engine in engines[:2]:
        engine.dispose()
    assert pools.sprawl() == []

    engines[0].connect().close()
    assert [len(found.owners) for found in pools.sprawl()] == [2]
    assert watched.open_entries()[-1].owner is pools.find(engines[0])
    engines[0].dispose()
    engines[2].dispose()


def test_pools_that_were_given_something_else_cannot_stand_for_each_other(dsn: str, watched: Ledger) -> None:
    url = dsn.replace("postgresql", "postgresql+psycopg")
    in_itself: list[object] = []
    in_itself.append(in_itself)

    def with_options(tenant: str) -> sa.Engine:
        return sa.create_engine(url, connect_args={"options": f"-csearch_path={tenant}"})

    def with_an_event(tenant: str) -> sa.Engine:
        engine = sa.create_engine(url)

        @sa.event.listens_for(engine, "connect")
        def dress(connection: psycopg.Connection, record: object) -> None:
            connection.execute(f"set search_path = {tenant}", in_itself)

        return engine

    def with_a_creator(tenant: str) -> sa.Engine:
        return sa.create_engine("postgresql+psycopg://", creator=partial(psycopg.connect, dsn, options=tenant))

    def of_psycopg(tenant: str) -> psycopg_pool.ConnectionPool:
        return psycopg_pool.ConnectionPool(dsn, min_size=0, max_size=1, kwargs={"options": tenant}, open=False)

    for make in (with_options, with_an_event, with_a_creator, of_psycopg):
        made = [make(tenant) for tenant in "ab"]
        [pool.open() for pool in made if isinstance(pool, psycopg_pool.ConnectionPool)]
        assert pools.sprawl() == [], make
        made.append(make("a"))
        [pool.open() for pool in made if isinstance(pool, psycopg_pool.ConnectionPool)]
        assert [len(found.owners) for found in pools.sprawl()] == [2], make
        [pool.close() for pool in made if isinstance(pool, psycopg_pool.ConnectionPool)]
        del made
        gc.collect()


def test_no_report_of_pools_shows_a_password_however_the_pool_was_given_it(dsn: str, watched: Ledger) -> None:
    port = dsn.rpartition(":")[2].partition("/")[0]
    words = f"host=127.0.0.1 user=postgres dbname=postgres password='se cret' port={port}"
    url = dsn.replace("postgres@", "postgres:secret@")
    with ExitStack() as opened:
        for conninfo in (words, words, url, url):
            opened.enter_context(psycopg_pool.ConnectionPool(conninfo, min_size=0, max_size=1, open=True))
        shown = [found.url for found in pools.sprawl() if "***" in found.url]

    assert len(shown) == 2
    assert not any("cret" in place for place in shown), shown


@pytest.fixture
def keep_idle_false(watched: Ledger) -> None:
    pools.keep_idle = False
    yield
    pools.keep_idle = True


@pytest.mark.usefixtures("keep_idle_false")
def test_without_idle_connections_a_pool_closes_what_is_given_back(dsn: str, watched: Ledger) -> None:
    engines = [sa.create_engine(dsn.replace("postgresql", f"postgresql+{d}")) for d in ("psycopg", "psycopg2") * 3]
    for engine in engines:
        for _ in range(2):
            with engine.connect() as connection:
                assert connection.execute(sa.text("select 1")).scalar() == 1
    with psycopg_pool.ConnectionPool(dsn, min_size=0, max_size=1) as pool:
        for _ in range(2):
            with pool.connection() as connection:
                connection.execute("select 1")

        assert watched.open_entries() == []
    assert watched.peak == 1
    assert nobody_is_left(dsn)


@pytest.mark.usefixtures("keep_idle_false")
def test_without_idle_connections_asynchronous_pools_close_too(dsn: str, watched: Ledger) -> None:
    async def use() -> None:
        for driver in ("asyncpg", "psycopg"):
            engine = create_async_engine(dsn.replace("postgresql", f"postgresql+{driver}"))
            for _ in range(2):
                async with engine.connect() as connection:
                    await connection.execute(sa.text("select 1"))
        async with asyncpg.create_pool(dsn, min_size=0, max_size=1) as pool:
            for _ in range(2):
                assert await pool.fetchval("select 1") == 1
            assert watched.open_entries() == []
        async with psycopg_pool.AsyncConnectionPool(dsn, min_size=1, max_size=1, open=False) as psycopg_s:
            await psycopg_s.wait(60)
            for _ in range(2):
                async with psycopg_s.connection() as connection:
                    await connection.execute("select 1")
            assert watched.open_entries() == []

    asyncio.run(use())
    assert watched.peak == 1


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_it_is_known_where_a_connection_was_taken_from_an_engine_until_it_is_given_back(
    driver: str, dsn: str, watched: Ledger
) -> None:
    engine = sa.create_engine(dsn.replace("postgresql", f"postgresql+{driver}"))

    def warm_up() -> None:
        engine.connect().close()

    def refund() -> sa.Connection:
        return engine.connect()

    warm_up()
    [entry] = watched.open_entries()
    assert entry.taking is None
    connection = refund()
    assert (entry.site.function, entry.taking.site.function) == ("warm_up", "refund")
    connection.close()
    assert entry.taking is None
    engine.dispose()


def test_it_is_known_where_and_in_which_thread_a_connection_was_taken_from_a_psycopg_pool(
    dsn: str, watched: Ledger
) -> None:
    with psycopg_pool.ConnectionPool(dsn, min_size=1) as pool:
        taken = []

        def send_receipts() -> None:
            with pool.connection():
                [entry] = watched.open_entries()
                taken.append((entry.taking.site.function, entry.taking.thread))

        thread = threading.Thread(target=send_receipts, name="mailer")
        thread.start()
        thread.join()

        assert taken == [("send_receipts", "mailer")]
        assert [entry.taking for entry in watched.open_entries()] == [None]


def test_it_is_known_where_a_connection_was_taken_from_an_asynchronous_psycopg_pool(dsn: str, watched: Ledger) -> None:
    async def refund() -> None:
        async with psycopg_pool.AsyncConnectionPool(dsn, min_size=1, open=False) as pool:
            async with pool.connection():
                [entry] = watched.open_entries()
                assert entry.taking.site.function == "refund"
            assert [entry.taking for entry in watched.open_entries()] == [None]

    asyncio.run(refund())
