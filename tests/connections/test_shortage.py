"""An error that says only that there are no connections left says below it who has them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import asyncpg
import psycopg
import psycopg2
import psycopg_pool
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine
from tests.frameworks.suites import new_suite

from mintdb.connections.facts import Opening
from mintdb.connections.ledger import Ledger, ledger

WAIT = 0.05  # seconds


def take(resource: sa.Engine | psycopg_pool.ConnectionPool, test: str) -> object:
    before = ledger.enter(Opening(test, "call"))
    try:
        return resource.connect() if isinstance(resource, sa.Engine) else resource.getconn()
    finally:
        ledger.enter(before)


def of_an_engine(dsn: str) -> None:
    url = dsn.replace("postgresql", "postgresql+psycopg2")
    engine = sa.create_engine(url, pool_size=2, max_overflow=0, pool_timeout=WAIT)
    kept = {number: take(engine, f"test_jobs.py::test_{number}") for number in range(2)}
    try:
        engine.connect()
    finally:
        for connection in kept.values():
            connection.close()
        engine.dispose()


def of_a_psycopg_pool(dsn: str) -> None:
    with psycopg_pool.ConnectionPool(dsn, min_size=0, max_size=2, timeout=10) as pool:
        kept = {number: take(pool, f"test_jobs.py::test_{number}") for number in range(2)}
        try:
            pool.getconn(timeout=WAIT)
        finally:
            for connection in kept.values():
                pool.putconn(connection)


@pytest.mark.parametrize("use", [of_an_engine, of_a_psycopg_pool])
def test_a_pool_that_has_run_dry_says_who_took_what(use: Callable[[str], None], dsn: str, watched: Ledger) -> None:
    with pytest.raises((sa.exc.TimeoutError, psycopg_pool.PoolTimeout)) as refused:
        use(dsn)
    assert shown(refused.value) == (
        f"""\
who has this pool's connections, made tests/connections/test_shortage.py:LINE in {use.__name__}:
    2 × taken tests/connections/test_shortage.py:LINE in take, out for up to 0.0 s, \
in test_jobs.py::test_0, test_jobs.py::test_1"""
    )


def shown(error: BaseException) -> str:
    [note] = error.__notes__
    return re.sub(r"\d+\.\d s", "0.0 s", re.sub(r"py:\d+", "py:LINE", note))


DB = """
import os

import sqlalchemy as sa

engine = sa.create_engine(os.environ["SQLALCHEMY_URL"], pool_size=2, max_overflow=0, pool_timeout=1)
"""
JOBS = """
import sqlalchemy as sa

from shop.db import engine

running = []

def start():
    running.append(engine.connect())
"""
TESTS = """
import pytest
from shop import jobs

@pytest.mark.parametrize("number", range(3))
def test_run(number):
    jobs.start()
"""
DRY = """\
E   sqlalchemy.exc.TimeoutError: QueuePool limit of size 2 overflow 0 reached, connection timed out, timeout 1.00
E   who has this pool's connections, made shop/db.py:6 in <module>:
E       2 × taken shop/jobs.py:9 in start, out for up to 0.6 s, in test_jobs.py::test_run[0], test_jobs.py::test_run[1]
"""


def test_pytest_shows_it_below_the_error(tmp_path: Path, server_home: Path) -> None:
    suite = new_suite(tmp_path / "project").write(**{"shop/db.py": DB, "shop/jobs.py": JOBS}, test_jobs=TESTS)
    ran = suite.run("-q", "--tb=short")
    assert ran.outcomes == {"passed": 2, "failed": 1}, ran.output
    output = re.sub(r"up to \d+\.\d s", "up to 0.6 s", re.sub(r" \(Background on .*\)", "", ran.output))
    assert DRY in output, ran.output


async def of_an_asyncpg_pool(dsn: str) -> None:
    async with asyncpg.create_pool(dsn, min_size=0, max_size=1) as pool, pool.acquire():
        await pool.acquire(timeout=WAIT)


async def of_an_asynchronous_engine(dsn: str) -> None:
    url = dsn.replace("postgresql", "postgresql+psycopg")
    engine = create_async_engine(url, pool_size=1, max_overflow=0, pool_timeout=WAIT)
    try:
        async with engine.connect(), engine.connect():
            pass
    finally:
        await engine.dispose()


@pytest.mark.parametrize("use", [of_an_asyncpg_pool, of_an_asynchronous_engine])
def test_pools_of_event_loops_say_it_too(use: Callable[[str], object], dsn: str, watched: Ledger) -> None:
    with pytest.raises((TimeoutError, sa.exc.TimeoutError)) as refused:
        asyncio.run(use(dsn))
    assert f":LINE in {use.__name__}, out for 0.0 s" in shown(refused.value)


def test_a_pool_that_nobody_has_taken_from_accuses_nobody(watched: Ledger) -> None:
    pool = psycopg_pool.ConnectionPool("host=127.0.0.1 port=1", min_size=0, max_size=1, timeout=WAIT, open=True)
    with pool, pytest.raises(psycopg_pool.PoolTimeout) as refused:
        pool.getconn()
    assert not hasattr(refused.value, "__notes__")


async def by_asyncpg(dsn: str) -> None:
    await asyncpg.connect(dsn)


WAYS = {"psycopg": psycopg.connect, "psycopg2": psycopg2.connect, "asyncpg": lambda dsn: asyncio.run(by_asyncpg(dsn))}


@pytest.mark.parametrize("driver", WAYS)
def test_a_server_that_is_full_says_who_has_its_connections(
    driver: str, dsn: str, watched: Ledger, request: pytest.FixtureRequest
) -> None:
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute("create role visitor login connection limit 1")
    watched.clear()
    url = dsn.replace("postgres@", "visitor@")
    try:
        with psycopg.connect(url), pytest.raises(Exception, match="too many connections for role") as refused:
            WAYS[driver](url)
        with pytest.raises(Exception, match=r"(?i)role") as unknown:
            WAYS[driver](dsn.replace("postgres@", "nobody_of_that_name@"))
    finally:
        with psycopg.connect(dsn, autocommit=True) as admin:
            admin.execute("drop role visitor")
    assert shown(refused.value) == (
        f"""\
who has this server's connections, in this process:
    1 × tests/connections/test_shortage.py:LINE in test_a_server_that_is_full_says_who_has_its_connections, \
open for 0.0 s, in {request.node.nodeid}"""
    )
    assert not hasattr(unknown.value, "__notes__")
