"""Whatever is left is ended from outside, busy or idle, and nobody crashes, hangs or warns."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections.abc import Iterator

import asyncpg
import psycopg
import psycopg2
import pytest
from tests.waiting import wait_for

from mintdb.connections import closing
from mintdb.connections.ledger import Ledger
from mintdb.connections.pools import pools


@pytest.fixture
def terminate(dsn: str) -> Iterator[closing.Terminate]:
    with psycopg.connect(dsn, dbname="template1", autocommit=True) as connection:
        yield lambda pid: connection.execute("select pg_terminate_backend(%s)", (pid,))


def is_gone(dsn: str, pid: int) -> bool:
    """The server needs a moment to end a backend."""
    query = "select 1 from pg_stat_activity where pid = %s"
    with psycopg.connect(dsn, dbname="template1", autocommit=True) as connection:
        return wait_for(lambda: not connection.execute(query, (pid,)).fetchone(), "the backend's end")


@pytest.mark.parametrize("connect", [psycopg.connect, psycopg2.connect], ids=["psycopg", "psycopg2"])
def test_a_busy_connection_of_another_thread_is_ended_within_moments(
    connect: psycopg.connect, dsn: str, watched: Ledger, terminate: closing.Terminate
) -> None:
    errors: list[Exception] = []
    connection = connect(dsn)

    def work() -> None:
        try:
            connection.cursor().execute("select pg_sleep(600)")
        except (psycopg.Error, psycopg2.Error) as error:
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    [entry] = watched.open_entries("postgres")

    assert closing.end([entry], terminate) == [entry]

    thread.join(60)  # the statement itself takes longer
    assert len(errors) == 1
    assert is_gone(dsn, entry.backend_pid)
    assert not watched.open_entries("postgres")


@pytest.mark.parametrize("connect", [psycopg.connect, psycopg2.connect], ids=["psycopg", "psycopg2"])
def test_an_idle_connection_is_ended_and_collected_without_a_warning(
    connect: psycopg.connect, dsn: str, watched: Ledger, terminate: closing.Terminate
) -> None:
    connection = connect(dsn)
    [entry] = watched.open_entries("postgres")

    closing.end([entry], terminate)

    assert is_gone(dsn, entry.backend_pid)
    del connection
    gc.collect()


def test_an_idle_connection_of_a_server_that_cannot_be_asked_is_ended_by_its_socket(
    dsn: str, watched: Ledger, terminate: closing.Terminate
) -> None:
    connection = psycopg.connect(dsn)
    [entry] = watched.open_entries("postgres")

    closing.end([entry], lambda pid: None)

    assert is_gone(dsn, entry.backend_pid)
    with pytest.raises(psycopg.OperationalError):
        connection.execute("select 1")


@pytest.mark.parametrize("connect", [psycopg.AsyncConnection.connect, asyncpg.connect], ids=["psycopg", "asyncpg"])
def test_a_connection_of_a_dead_event_loop_is_ended_without_a_warning(
    connect: asyncpg.connect, dsn: str, watched: Ledger, terminate: closing.Terminate
) -> None:
    async def forget() -> object:
        return await connect(dsn)

    connection = asyncio.run(forget())
    [entry] = watched.open_entries("postgres")

    closing.end([entry], terminate)

    assert is_gone(dsn, entry.backend_pid)
    assert entry.driver.is_closed(connection)
    del connection
    gc.collect()


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # as an error, uvloop 0.23's own one keeps its close() for ever
def test_a_pool_of_a_dead_uvloop_lets_go(dsn: str, watched: Ledger, terminate: closing.Terminate) -> None:
    uvloop = pytest.importorskip("uvloop")

    async def forget() -> asyncpg.Pool:
        return await asyncpg.create_pool(dsn, min_size=1, max_size=1)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        pool = runner.run(forget())
    [entry] = watched.open_entries("postgres")

    assert pools.let_go("postgres") == []

    assert is_gone(dsn, entry.backend_pid)
    del pool
    gc.collect()


def test_a_connection_of_a_loop_that_runs_in_another_thread_is_ended(
    dsn: str, watched: Ledger, terminate: closing.Terminate
) -> None:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    connection = asyncio.run_coroutine_threadsafe(asyncpg.connect(dsn), loop).result(60)
    [entry] = watched.open_entries("postgres")

    closing.end([entry], terminate)

    assert is_gone(dsn, entry.backend_pid)
    wait_for(connection.is_closed, "the news in the loop")
    loop.call_soon_threadsafe(loop.stop)
    thread.join(60)
    loop.close()


def test_collecting_garbage_warns_nobody_and_is_in_the_ledger(dsn: str, watched: Ledger) -> None:
    gc.disable()
    try:
        connection = psycopg.connect(dsn)
        connection.myself = connection
        del connection
        assert len(watched.open_entries()) == 1

        closing.collect()
    finally:
        gc.enable()

    assert watched.open_entries() == []
    assert len(watched.ended_since(0)) == 1


def test_a_collected_asyncpg_connection_takes_its_transport_along_where_warnings_are_errors(
    dsn: str, watched: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """asyncpg's own warning ends its finalizer; the transport would warn whenever it is collected, in any test."""
    told: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda failure: told.append(str(failure.exc_value)))

    async def forget() -> None:
        await asyncpg.connect(dsn)

    asyncio.run(forget())
    gc.collect()
    assert [warning.partition(" <")[0] for warning in told] == ["unclosed connection"]
