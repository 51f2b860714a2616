"""Every way in which an application opens a connection. The line that does it ends in `# opens: NAME`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import psycopg
import psycopg2
import psycopg2.extras
import psycopg_pool
import sqlalchemy as sa
from psycopg import connect as early_psycopg_connect
from psycopg2 import connect as early_psycopg2_connect
from sqlalchemy.ext.asyncio import create_async_engine

KEPT: list[object] = []  # what an application forgot to close


def line_of(name: str) -> int:
    """Where in this file a way opens its connection (or creates its pool)."""
    lines = Path(__file__).read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.endswith(f"# opens: {name}"))


def psycopg_never_closed(dsn: str) -> None:
    KEPT.append(psycopg.connect(dsn))  # opens: psycopg_never_closed


def psycopg_bound_early(dsn: str) -> None:
    KEPT.append(early_psycopg_connect(dsn))  # opens: psycopg_bound_early


def psycopg_class(dsn: str) -> None:
    KEPT.append(psycopg.Connection.connect(dsn))  # opens: psycopg_class


def psycopg_with(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:  # opens: psycopg_with
        connection.execute("select 1")


def psycopg_closed_late(dsn: str) -> None:
    connection = psycopg.connect(dsn)  # opens: psycopg_closed_late
    connection.execute("select 1")
    connection.rollback()
    connection.close()


def psycopg_collected(dsn: str) -> None:
    psycopg.connect(dsn, autocommit=True).execute("select 1")  # opens: psycopg_collected


def psycopg_collected_in_a_cycle(dsn: str) -> None:
    connection = psycopg.connect(dsn)  # opens: psycopg_collected_in_a_cycle
    connection.myself = connection  # type: ignore[attr-defined]


def psycopg_in_a_thread(dsn: str) -> None:
    def send_receipts() -> None:
        KEPT.append(psycopg.connect(dsn))  # opens: psycopg_in_a_thread

    thread = threading.Thread(target=send_receipts, name="mailer")
    thread.start()
    thread.join()


def psycopg_in_an_executor(dsn: str) -> None:
    def work() -> None:
        KEPT.append(psycopg.connect(dsn))  # opens: psycopg_in_an_executor

    with ThreadPoolExecutor(1, thread_name_prefix="worker") as executor:
        executor.submit(work).result()


def psycopg_async(dsn: str) -> None:
    async def serve() -> None:
        KEPT.append(await psycopg.AsyncConnection.connect(dsn))  # opens: psycopg_async

    asyncio.run(serve())


def psycopg_async_with(dsn: str) -> None:
    async def serve() -> None:
        async with await psycopg.AsyncConnection.connect(dsn):  # opens: psycopg_async_with
            pass

    asyncio.run(serve())


def psycopg_in_a_task(dsn: str) -> None:
    async def poll() -> None:
        KEPT.append(await psycopg.AsyncConnection.connect(dsn))  # opens: psycopg_in_a_task

    async def serve() -> None:
        await asyncio.create_task(poll(), name="poller")

    asyncio.run(serve())


def psycopg_pooled(dsn: str) -> None:
    pool = psycopg_pool.ConnectionPool(dsn, min_size=1, open=True)  # opens: psycopg_pooled
    pool.wait()
    KEPT.append(pool)


def psycopg_async_pooled(dsn: str) -> None:
    async def serve() -> None:
        async with psycopg_pool.AsyncConnectionPool(dsn, min_size=1, open=False) as pool:  # opens: psycopg_async_pooled
            await pool.wait()

    asyncio.run(serve())


def psycopg2_never_closed(dsn: str) -> None:
    KEPT.append(psycopg2.connect(dsn))  # opens: psycopg2_never_closed


def psycopg2_bound_early(dsn: str) -> None:
    KEPT.append(early_psycopg2_connect(dsn))  # opens: psycopg2_bound_early


def psycopg2_closed(dsn: str) -> None:
    connection = psycopg2.connect(dsn)  # opens: psycopg2_closed
    connection.close()


def psycopg2_with_is_no_close(dsn: str) -> None:
    with psycopg2.connect(dsn) as connection:  # opens: psycopg2_with_is_no_close
        KEPT.append(connection)


def psycopg2_with_a_class(dsn: str) -> None:
    factory = psycopg2.extras.RealDictConnection
    connection = psycopg2.connect(dsn, connection_factory=factory)  # opens: psycopg2_with_a_class
    assert isinstance(connection, factory)
    connection.close()


def psycopg2_with_a_factory(dsn: str) -> None:
    def make(dsn: str, async_: int = 0) -> psycopg2.extensions.connection:
        return psycopg2.extras.DictConnection(dsn, async_)

    connection = psycopg2.connect(dsn, connection_factory=make)  # opens: psycopg2_with_a_factory
    connection.close()


def psycopg2_asynchronous(dsn: str) -> None:
    connection = psycopg2.connect(dsn, async_=True)  # opens: psycopg2_asynchronous
    psycopg2.extras.wait_select(connection)
    KEPT.append(connection)


def psycopg2_asynchronous_closed(dsn: str) -> None:
    connection = psycopg2.connect(dsn, async_=True)  # opens: psycopg2_asynchronous_closed
    psycopg2.extras.wait_select(connection)
    (cursor := connection.cursor()).execute("select 1")
    psycopg2.extras.wait_select(connection)
    assert cursor.fetchone() == (1,)
    connection.close()


def psycopg2_collected(dsn: str) -> None:
    psycopg2.connect(dsn)  # opens: psycopg2_collected


def asyncpg_never_closed(dsn: str) -> None:
    async def serve() -> None:
        KEPT.append(await asyncpg.connect(dsn))  # opens: asyncpg_never_closed

    asyncio.run(serve())


def asyncpg_closed(dsn: str) -> None:
    async def serve() -> None:
        connection = await asyncpg.connect(dsn)  # opens: asyncpg_closed
        await connection.close()

    asyncio.run(serve())


def asyncpg_pooled(dsn: str) -> None:
    async def serve() -> None:
        pool = await asyncpg.create_pool(dsn, min_size=1, max_size=1)  # opens: asyncpg_pooled
        await pool.fetchval("select 1")
        KEPT.append(pool)

    asyncio.run(serve())


def sqlalchemy_psycopg(dsn: str) -> None:
    engine = sa.create_engine(dsn.replace("postgresql", "postgresql+psycopg"))
    with engine.connect() as connection:  # opens: sqlalchemy_psycopg
        connection.execute(sa.text("select 1"))
    KEPT.append(engine)


def sqlalchemy_psycopg2(dsn: str) -> None:
    engine = sa.create_engine(dsn.replace("postgresql", "postgresql+psycopg2"), echo=False)
    with engine.connect() as connection:  # opens: sqlalchemy_psycopg2
        connection.execute(sa.text("select 1"))
    KEPT.append(engine)


def sqlalchemy_null_pool(dsn: str) -> None:
    engine = sa.create_engine(dsn.replace("postgresql", "postgresql+psycopg"), poolclass=sa.NullPool)
    with engine.connect() as connection:  # opens: sqlalchemy_null_pool
        connection.execute(sa.text("select 1"))


def sqlalchemy_asyncpg(dsn: str) -> None:
    engine = create_async_engine(dsn.replace("postgresql", "postgresql+asyncpg"))

    async def serve() -> None:
        async with engine.connect() as connection:  # opens: sqlalchemy_asyncpg
            await connection.execute(sa.text("select 1"))

    asyncio.run(serve())
    KEPT.append(engine)


def sqlalchemy_psycopg_async(dsn: str) -> None:
    engine = create_async_engine(dsn.replace("postgresql", "postgresql+psycopg"))

    async def serve() -> None:
        async with engine.connect() as connection:  # opens: sqlalchemy_psycopg_async
            await connection.execute(sa.text("select 1"))

    asyncio.run(serve())
    KEPT.append(engine)


def sqlalchemy_run_sync(dsn: str) -> None:
    """A blocking driver within a greenlet, whose own stack says nothing of the application."""
    from sqlalchemy.util import greenlet_spawn

    async def serve() -> None:
        KEPT.append(await greenlet_spawn(psycopg.connect, dsn))  # opens: sqlalchemy_run_sync

    asyncio.run(serve())


Way = Callable[[str], None]
