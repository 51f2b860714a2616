"""Who takes a connection from a pool and never gives it back is told; who keeps it on purpose is not."""

from __future__ import annotations

import re
from pathlib import Path

from tests.frameworks.suites import new_suite

SHOP = """
import asyncio
import os
import threading

import asyncpg
import sqlalchemy as sa
from psycopg_pool import ConnectionPool
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

engine = sa.create_engine(os.environ["SQLALCHEMY_URL"], pool_size=1, max_overflow=1, pool_timeout=20)
kept_by = sa.create_engine(os.environ["SQLALCHEMY_URL"])
fresh = sa.create_engine(os.environ["SQLALCHEMY_URL"])
later = create_async_engine(kept_by.url.set(drivername="postgresql+asyncpg"), pool_size=1, max_overflow=0)
pool = ConnectionPool(os.environ["DATABASE_URL"], min_size=1, max_size=6, timeout=20, open=False)
registry = scoped_session(sessionmaker(kept_by))
for_tasks = create_async_engine(later.url, pool_size=3, max_overflow=0, pool_timeout=1)
by_task = async_scoped_session(async_sessionmaker(for_tasks), asyncio.current_task)
by_thread = {}
loop = asyncio.new_event_loop()
beside = None
forgotten = []
failures = []
idle = []
session = None

def take(engine=engine):
    connection = engine.connect()
    connection.execute(sa.text("select 1"))
    return connection

def take_and_fail(engine=engine):
    connection = take(engine)
    raise LookupError

def fail_with_the_globals():
    session = in_a_global()
    session.connection()
    raise LookupError

def take_from_the_pool():
    connection = pool.getconn()
    connection.execute("select 1")
    connection.commit()
    return connection

def take_unused():
    return engine.raw_connection()

async def take_from_asyncpg():
    connection = await beside.acquire(timeout=20)
    await connection.execute("select 1")
    return connection

async def forget_one_of_asyncpg():
    await take_from_asyncpg()

async def take_later():
    connection = await later.connect()
    await connection.execute(sa.text("select 1"))

async def forget_a_session():
    await AsyncSession(later).execute(sa.text("select 1"))

async def ask_later():
    async with AsyncSession(later) as session:
        return await session.scalar(sa.text("select 1"))

async def ask_by_task():
    return await by_task.scalar(sa.text("select 1"))

def ask_by_thread():
    mine = by_thread[threading.current_thread()] = by_thread.get(threading.current_thread()) or kept_by.connect()
    return mine.scalar(sa.text("select 1"))

async def detach():
    connection = await later.connect()
    await (await connection.get_raw_connection()).driver_connection.execute("select 1")
    await connection.run_sync(lambda connection: connection.detach())
    await connection.close()

async def prepare():
    statement = await (await beside.acquire()).prepare("select 1")
    await statement.fetchval()
    return statement

async def listen():
    await (await beside.acquire()).add_listener("orders", print)

def of_a_list():
    connection = idle.pop() if idle else kept_by.connect()
    connection.execute(sa.text("select 1"))
    idle.append(connection)

def in_a_global():
    global session
    session = session or Session(kept_by)
    return session

class Client:
    session = None

    def ask(self):
        self.session = self.session or Session(kept_by)
        return self.session.scalar(sa.text("select 1"))
"""
CONFTEST = """
import os

import asyncpg
import pytest
import shop

@pytest.fixture(scope="session", autouse=True)
def opened():
    async def open():
        shop.beside = await asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=1, max_size=5)

    shop.loop.run_until_complete(open())
    with shop.pool:
        yield
    shop.beside.terminate()
    shop.loop.close()

@pytest.fixture(scope="session")
def client():
    yield shop.Client()

@pytest.fixture(scope="module")
def of_the_module():
    with shop.kept_by.connect() as connection:
        yield connection

@pytest.fixture
def unclosed():
    return shop.Session(shop.engine)
"""
GUILTY = """
import threading
import pytest
import shop

@pytest.mark.parametrize("attempt", range(4))
def test_a_list_has_it(attempt):
    shop.forgotten.append(shop.engine.connect())

@pytest.mark.parametrize("attempt", range(4))
def test_a_list_has_it_of_the_pool(attempt):
    shop.forgotten.append(shop.take_from_the_pool())

@pytest.mark.parametrize("attempt", range(4))  # as many as the pool has left, and one more
def test_nobody_has_it(attempt):
    shop.take_from_the_pool()

def test_nobody_has_it_but_itself():
    cycle = [shop.take_from_the_pool()]
    cycle.append(cycle)

def test_nobody_has_an_engines():
    shop.take()

def test_an_exception_that_is_kept_has_it():
    try:
        shop.take_and_fail()
    except LookupError as failure:
        shop.failures.append(failure)

def test_what_pytest_caught_and_is_kept_has_it():
    with pytest.raises(LookupError) as caught:
        shop.take_and_fail(shop.fresh)
    shop.failures.append(caught)

@pytest.mark.parametrize("attempt", range(3))
def test_nobody_has_it_but_its_pool(attempt):
    shop.loop.run_until_complete(shop.forget_one_of_asyncpg())

@pytest.mark.parametrize("attempt", range(2))
def test_nobody_has_an_asynchronous_engines(attempt):
    shop.loop.run_until_complete(shop.take_later())

def test_nobody_has_an_asynchronous_session():
    shop.loop.run_until_complete(shop.forget_a_session())

def test_a_list_has_it_of_asyncpg():
    async def test_a_list_has_it_of_asyncpg():
        shop.forgotten.append(await shop.beside.acquire())

    shop.loop.run_until_complete(test_a_list_has_it_of_asyncpg())

@pytest.mark.parametrize("attempt", range(4))  # one more than the pool has
def test_of_a_task_that_is_over(attempt):
    assert shop.loop.run_until_complete(shop.ask_by_task()) == 1

@pytest.mark.parametrize("attempt", range(4))
def test_of_a_thread_that_is_over(attempt):
    thread = threading.Thread(target=shop.ask_by_thread)
    thread.start()
    thread.join()

def test_of_a_thread_that_ended():
    thread = threading.Thread(target=shop.take_from_the_pool, name="mailer")
    thread.start()
    thread.join()
"""
INNOCENT = """
import asyncio

import pytest
import shop
import sqlalchemy as sa

again = pytest.mark.parametrize("attempt", range(2))

@again
def test_given_back(attempt):
    with shop.engine.connect() as connection, shop.pool.connection() as other:
        other.execute(str(connection.execute(sa.text("select 'select 1'")).scalar()))

@again
def test_of_a_wider_fixture(attempt, of_the_module):
    assert of_the_module.execute(sa.text("select 1")).scalar() == 1

@again
def test_what_a_wider_fixture_leads_to(attempt, client):
    assert client.ask() == 1

@again
def test_of_a_registry(attempt):
    assert shop.registry.scalar(sa.text("select 1")) == 1

@pytest.mark.parametrize("attempt", range(4))
def test_of_a_thread_that_goes_on(attempt):
    assert shop.ask_by_thread() == 1

@again
def test_of_a_global_that_what_pytest_caught_leads_to_as_well(attempt):
    with pytest.raises(LookupError) as caught:
        shop.fail_with_the_globals()
    shop.failures.append(caught)

@again
def test_of_a_global_that_a_kept_exception_leads_to_as_well(attempt):
    try:
        shop.fail_with_the_globals()
    except LookupError as failure:
        shop.failures.append(failure)

@again
def test_of_a_global(attempt):
    assert shop.in_a_global().scalar(sa.text("select 1")) == 1

@pytest.mark.parametrize("attempt", range(4))
def test_of_a_list_that_is_used_again(attempt):
    shop.of_a_list()

def test_what_a_statement_a_listener_or_a_task_has():
    shop.statement = shop.loop.run_until_complete(shop.prepare())
    shop.loop.run_until_complete(shop.listen())

    taken = asyncio.Event()

    async def work():
        connection = await shop.take_from_asyncpg()
        taken.set()
        await asyncio.sleep(3600)
        await connection.execute("select 1")

    async def start():
        shop.task = asyncio.create_task(work())
        await taken.wait()

    shop.loop.run_until_complete(start())

def test_these_still_work():
    assert shop.loop.run_until_complete(shop.statement.fetchval()) == 1
    shop.task.cancel()

@again
def test_given_back_to_an_asynchronous_engine(attempt):
    assert shop.loop.run_until_complete(shop.ask_later()) == 1

def test_detached_from_an_asynchronous_engine_and_closed():
    shop.loop.run_until_complete(shop.detach())

@again
def test_given_back_at_once_when_nobody_has_it(attempt):
    shop.take_unused()

@pytest.mark.parametrize("attempt", range(4))
def test_of_a_fixture_that_ends_with_the_test(attempt, unclosed):
    assert unclosed.scalar(sa.text("select 1")) == 1
"""

BY = "the garbage collector did"
# SQLAlchemy warns of what its asynchronous engines have forgotten: a run that makes errors of it stays as green.
STRICT = ("error::pytest.PytestUnraisableExceptionWarning", "error:The garbage collector is trying to clean up")


def test_what_was_taken_and_not_given_back_is_told_unless_it_is_kept(server_home: Path, tmp_path: Path) -> None:
    suite = new_suite(tmp_path / "suite").write(
        shop=SHOP, conftest=CONFTEST, test_guilty=GUILTY, test_innocent=INNOCENT
    )
    strict = [f"-W{each}" for each in STRICT]
    ran = suite.run("--mintdb-leaks=error", "-q", *strict, "test_innocent.py", "test_guilty.py")
    shown = ran.output.partition("short test summary info")[0]  # where CI is set, pytest tells all once more below it
    told = re.findall(r"^(?:E? *)((?:LEAK|ABANDONED)  .*)$", shown, re.MULTILINE)
    assert ran.outcomes == {"passed": 65, "error": 27}, ran.output
    assert told == [
        *(f"LEAK  test_guilty.py::test_a_list_has_it[{n}] never gave 1 connection back" for n in range(4)),
        # One of the application's own may be kept in a list; but two of its line were out by then, and it took another.
        *(f"LEAK  test_guilty.py::test_a_list_has_it_of_the_pool[{n}] never gave 1 connection back" for n in (2, 3)),
        # The pool has six, of which two stay out: each place is free again for the next test.
        *(f"ABANDONED  test_guilty.py::test_nobody_has_it[{n}] never closed 1 connection, {BY}" for n in range(4)),
        "ABANDONED  test_guilty.py::test_nobody_has_it_but_itself never closed 1 connection, the garbage collector did",
        # In a cycle of SQLAlchemy's own: the pool has it back when the garbage collector comes, and not before.
        "ABANDONED  test_guilty.py::test_nobody_has_an_engines never closed 1 connection, the garbage collector did",
        "LEAK  test_guilty.py::test_an_exception_that_is_kept_has_it never gave 1 connection back",
        "LEAK  test_guilty.py::test_what_pytest_caught_and_is_kept_has_it never gave 1 connection back",
        # Three hold on to theirs for a reason, and the pool has five: each place is free again for the next test.
        *(f"LEAK  test_guilty.py::test_nobody_has_it_but_its_pool[{n}] never gave 1 connection back" for n in range(3)),
        *(
            f"ABANDONED  test_guilty.py::test_nobody_has_an_asynchronous_{each} never closed 1 connection, {BY}"
            for each in ("engines[0]", "engines[1]", "session")
        ),
        "LEAK  test_guilty.py::test_a_list_has_it_of_asyncpg never gave 1 connection back",
        # Nobody asks a registry for what is a task's or thread's that is over, as soon as two of the line are out.
        *(f"LEAK  test_guilty.py::test_of_a_task_that_is_over[{n}] never gave 1 connection back" for n in (2, 3)),
        # Here one is the main thread's, for good.
        *(f"LEAK  test_guilty.py::test_of_a_thread_that_is_over[{n}] never gave 1 connection back" for n in (1, 2, 3)),
        "ABANDONED  test_guilty.py::test_of_a_thread_that_ended never closed 1 connection, the garbage collector did",
    ], ran.output
    assert shown.count("  taken    test_guilty.py:8 in test_a_list_has_it\n") == 4
    assert shown.count("  taken    shop.py:43 in take_from_the_pool\n") == 7
    assert shown.count("  taken    shop.py:52 in take_from_asyncpg, task ") == 3
    assert '  taken    shop.py:43 in take_from_the_pool, thread "mailer"\n' in ran.output


FAILING = """
    import os

    import psycopg_pool
    import pytest
    import sqlalchemy as sa

    URL = os.environ["DATABASE_URL"]
    engine = sa.create_engine(URL.replace("://", "+psycopg://"), pool_size=1, max_overflow=0, pool_timeout=20)
    pool = psycopg_pool.ConnectionPool(URL, min_size=1, max_size=1, open=True, timeout=20)

    def test_fails_before_its_close():
        connection = engine.connect()
        connection.execute(sa.text("select 1"))
        raise ValueError
        connection.close()

    def test_innocent():
        with engine.connect() as connection:
            connection.execute(sa.text("select 1"))

    @pytest.mark.xfail
    def test_fails_before_its_putconn():
        connection = pool.getconn()
        raise ValueError
        pool.putconn(connection)

    def test_innocent_too():
        with pool.connection() as connection:
            connection.execute("select 1")
    """


def test_what_a_failing_test_has_not_given_back_is_told_and_the_next_one_has_it(
    server_home: Path, tmp_path: Path
) -> None:
    ran = new_suite(tmp_path / "suite").write(test_failing=FAILING).run("-q")
    assert ran.outcomes["passed"] == 2, ran.output
    for name in ("close", "putconn"):
        assert f"LEAK  test_failing.py::test_fails_before_its_{name} " in ran.output, ran.output
