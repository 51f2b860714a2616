"""No more connections than allowed: an opener waits, then is told who holds them."""

from __future__ import annotations

import asyncio
import gc
import re
import threading

import asyncpg
import psycopg
import psycopg2
import psycopg_pool
import pytest
import sqlalchemy as sa
from psycopg_pool import PoolTimeout

from mintdb.connections.budget import Budget, limited
from mintdb.connections.errors import ConnectionBudgetExceeded
from mintdb.connections.ledger import Ledger


@pytest.mark.parametrize("connect", [psycopg.connect, psycopg2.connect], ids=["psycopg", "psycopg2"])
def test_an_opener_beyond_the_limit_is_told_who_holds_what(
    connect: psycopg.connect, dsn: str, watched: Ledger, request: pytest.FixtureRequest
) -> None:
    with limited(Budget(2, timeout=0.05)):
        held = [connect(dsn) for _ in range(2)]
        with pytest.raises(ConnectionBudgetExceeded) as refused:
            connect(dsn)
    text = re.sub(r"py:\d+", "py:LINE", re.sub(r"up to \d+\.\d", "up to 0.0", str(refused.value)))
    assert (
        text
        == f"""\
2 connections are open and 2 are allowed: none was given back within 0.05 s
    2 × tests/connections/test_budget.py:LINE in <listcomp>, open for up to 0.0 s, in {request.node.nodeid}
  1. close what is not needed any more, at the lines above
  2. or, where pools hold them idle, let these close what is given back:  keep_idle = false
  3. or allow more:  max_connections = 4  (wait longer:  connection_timeout = 0.05)"""
    )
    for connection in held:
        connection.close()


def test_a_psycopg_pool_that_gets_none_says_who_holds_them(
    dsn: str, watched: Ledger, request: pytest.FixtureRequest
) -> None:
    """Its worker alone is refused, and logs that."""
    with limited(Budget(1, timeout=0.05)), psycopg.connect(dsn):
        with psycopg_pool.ConnectionPool(dsn, min_size=0, max_size=1) as pool, pytest.raises(PoolTimeout) as refused:
            pool.getconn(timeout=0.2)
        with pytest.raises(PoolTimeout) as never_ready:
            psycopg_pool.ConnectionPool(dsn, min_size=1, open=False).open(wait=True, timeout=0.2)

    for error in (refused.value, never_ready.value):
        assert re.sub(r"py:\d+", "py:LINE", re.sub(r"\d+\.\d s", "0.0 s", "\n".join(error.__notes__))) == (
            f"""\
1 connections are open and 1 are allowed (max_connections):
    1 × tests/connections/test_budget.py:LINE in test_a_psycopg_pool_that_gets_none_says_who_holds_them, \
open for 0.0 s, in {request.node.nodeid}"""
        )


def test_a_psycopg_pool_that_is_full_for_another_reason_accuses_nobody(dsn: str, watched: Ledger) -> None:
    budget = Budget(1, timeout=0, counts=lambda database: database == "template1")
    with (
        limited(budget),
        psycopg.connect(dsn, dbname="template1"),
        psycopg_pool.ConnectionPool(dsn, min_size=0, max_size=1) as pool,
        pool.connection(),
        pytest.raises(PoolTimeout) as full,
    ):
        pool.getconn(timeout=0.05)
    assert "max_connections" not in "".join(full.value.__notes__)


def test_an_opener_that_waits_gets_the_place_that_is_given_back(dsn: str, watched: Ledger) -> None:
    with limited(Budget(1, timeout=300)):
        first = psycopg.connect(dsn)
        threading.Timer(0.1, first.close).start()
        psycopg.connect(dsn).close()
    assert watched.peak == 1


@pytest.mark.parametrize("connect", [psycopg.AsyncConnection.connect, asyncpg.connect], ids=["psycopg", "asyncpg"])
def test_an_event_loop_goes_on_while_an_opener_waits(connect: asyncpg.connect, dsn: str, watched: Ledger) -> None:
    async def give_back_later(connection: asyncpg.Connection) -> None:
        await asyncio.sleep(0.1)
        await connection.close()

    async def use() -> None:
        giving_back = asyncio.create_task(give_back_later(await connect(dsn)))
        await (await connect(dsn)).close()
        await giving_back

    with limited(Budget(1, timeout=300)):
        asyncio.run(use())
    assert watched.peak == 1


def test_many_openers_at_once_do_not_pass_the_limit_together(
    dsn: str, watched: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mintdb.connections.budget.CONNECTING", 60)  # on a busy machine a connect may take seconds

    def use() -> None:
        with psycopg.connect(dsn) as connection:
            connection.execute("select pg_sleep(0.01)")

    with limited(Budget(3, timeout=300)):
        threads = [threading.Thread(target=use) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert watched.total == 20
    assert watched.peak <= 3


def test_garbage_and_idle_pooled_connections_make_room_at_once(dsn: str, watched: Ledger) -> None:
    gc.disable()
    try:
        with limited(Budget(2, timeout=0)):
            engine = sa.create_engine(dsn.replace("postgresql", "postgresql+psycopg"))
            with engine.connect():
                pass
            connection = psycopg.connect(dsn)
            connection.myself = connection
            del connection

            with psycopg.connect(dsn), psycopg.connect(dsn):
                pass
    finally:
        gc.enable()


def test_connections_to_other_databases_are_not_counted(dsn: str, watched: Ledger) -> None:
    with limited(Budget(0, timeout=0, counts=lambda database: database == "shop")):
        psycopg.connect(dsn).close()
        psycopg2.connect(dsn).close()


def test_an_opener_that_failed_does_not_keep_its_place_for_ever(
    dsn: str, watched: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mintdb.connections.budget.CONNECTING", 0.1)
    with limited(Budget(1, timeout=60)):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(dsn.replace("/postgres", "/nowhere"))
        psycopg.connect(dsn).close()
