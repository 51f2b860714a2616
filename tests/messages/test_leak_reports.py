"""The reports that people get, in full."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mintdb.connections.explain import compose, explain_sprawl, tell, tell_habit, tell_lock
from mintdb.connections.finding import Finding
from mintdb.connections.stack import Site
from mintdb.connections.verdict import Kind

TEST = "tests/test_orders.py::test_refund"

MAILER = Finding(
    Kind.LEAK,
    backend_pid=48213,
    state="idle in transaction",
    seconds=4.13,
    database="mint_shop_gw0",
    driver="psycopg",
    taken=Site("shop/jobs.py", 88, "send_receipts"),
    thread="mailer",
    thread_is_to_stop=True,
    owner="psycopg pool",
    query="update orders set state = 'refunded' where id = $1",
)


def test_a_leak() -> None:
    assert (
        compose(tell([MAILER], test=TEST))
        == """\
LEAK  tests/test_orders.py::test_refund left 1 connection open
  backend 48213, idle in transaction for 4.1 s on mint_shop_gw0
  taken    shop/jobs.py:88 in send_receipts, thread "mailer"
  last ran update orders set state = 'refunded' where id = $1
  1. give it back where it was taken:  with pool.connection() as conn: …
  2. or stop the thread before the test ends
"""
    )


def test_one_that_waits_for_a_lock() -> None:
    blockers = ['backend 7 (opened shop/db.py:5 in connect, thread "other")', "backend 8"]
    waiting = replace(MAILER, state="active", waits_for="ExclusiveLock on an advisory lock", blockers=blockers)
    assert (
        compose(tell([waiting], test=TEST))
        == """\
LEAK  tests/test_orders.py::test_refund left 1 connection open
  backend 48213, active for 4.1 s on mint_shop_gw0
  taken    shop/jobs.py:88 in send_receipts, thread "mailer"
  last ran update orders set state = 'refunded' where id = $1
  waits    for ExclusiveLock on an advisory lock, held by backend 7 (opened shop/db.py:5 in connect, thread "other"), \
backend 8
  1. give it back where it was taken:  with pool.connection() as conn: …
  2. or stop the thread before the test ends
"""
    )


def test_a_lock_that_stays() -> None:
    assert (
        tell_lock(["advisory lock 8"], "opened shop/db.py:5 in connect")
        == """\
advisory lock 8 is held from test to test, in a transaction that does not end, by a connection \
(opened shop/db.py:5 in connect): whoever else asks for it waits; commit or roll back there"""
    )


def test_pools_that_are_closed_unsearched() -> None:
    assert (
        tell_habit("shop/app.py:7 in create_app")
        == """\
the pools of shop/app.py:7 in create_app were left open in test after test: where it makes more for the same fixture \
or test function, they are closed and not told, since to look who keeps them is slow here; close each with its test"""
    )


REFUND = Finding(
    Kind.LEAK,
    backend_pid=7,
    state="idle in transaction",
    seconds=0.5,
    database="shop",
    driver="psycopg",
    opened=Site("tests/conftest.py", 3, "warm_up"),
    taken=Site("shop/orders.py", 17, "refund"),
    thread="MainThread",
    owner="SQLAlchemy engine",
    owner_opened=Site("shop/db.py", 5, "<module>"),
    query="update orders set state = 'refunded'",
)


def test_a_connection_that_was_not_given_back_to_its_engine() -> None:
    assert (
        compose(tell([REFUND], test=TEST))
        == """\
LEAK  tests/test_orders.py::test_refund left 1 connection open
  backend 7, idle in transaction for 0.5 s on shop
  taken    shop/orders.py:17 in refund
  pool     shop/db.py:5 in <module>, SQLAlchemy engine
  last ran update orders set state = 'refunded'
  1. give it back where it was taken:  with engine.connect() as conn: …
"""
    )


def test_a_connection_that_was_never_given_back() -> None:
    finding = replace(REFUND, state="idle", owner="psycopg pool", query="COMMIT", is_astray=True)
    assert (
        compose(tell([finding], test=TEST))
        == """\
LEAK  tests/test_orders.py::test_refund never gave 1 connection back
  backend 7, idle for 0.5 s on shop
  taken    shop/orders.py:17 in refund
  pool     shop/db.py:5 in <module>, psycopg pool
  last ran COMMIT
  1. give it back where it was taken:  with pool.connection() as conn: …
"""
    )


def test_nothing_to_say() -> None:
    assert compose(tell([], test=TEST)) == ""
    assert compose(tell([Finding(Kind.RESIDENT), Finding(Kind.CLOSED)], test=TEST)) == ""


def test_what_is_not_known_is_left_out() -> None:
    assert (
        compose(tell([Finding(Kind.LEAK, backend_pid=7)], test=TEST))
        == """\
LEAK  tests/test_orders.py::test_refund left 1 connection open
  backend 7
  1. close it where it was opened
"""
    )


def test_an_engine_for_each_test() -> None:
    finding = Finding(
        Kind.LEAK,
        backend_pid=7,
        state="idle",
        seconds=0.02,
        database="flaskapp_test",
        driver="psycopg2",
        opened=Site("test_app.py", 21, "setUp"),
        thread="MainThread",
        owner="SQLAlchemy engine",
        owner_opened=Site("app.py", 39, "create_app"),
        query="ROLLBACK",
    )
    assert (
        compose(tell([finding], test="test_app.UserTests.test_add"))
        == """\
LEAK  test_app.UserTests.test_add left 1 connection open
  backend 7, idle for 0.0 s on flaskapp_test
  opened   test_app.py:21 in setUp
  pool     app.py:39 in create_app, SQLAlchemy engine
  last ran ROLLBACK
  1. end the engine with the test, or make one for the whole run:  engine.dispose()
"""
    )


def test_an_abandoned_connection_of_a_task() -> None:
    finding = Finding(
        Kind.ABANDONED,
        backend_pid=7,
        database="shop",
        driver="asyncpg",
        opened=Site("shop/feed.py", 12, "poll"),
        thread="MainThread",
        task="Task-4",
    )
    assert (
        compose(tell([finding], test=TEST))
        == """\
ABANDONED  tests/test_orders.py::test_refund never closed 1 connection, the garbage collector did
  backend 7, on shop
  opened   shop/feed.py:12 in poll, task "Task-4"
  1. close it where it was opened:  await conn.close()
"""
    )


def test_one_that_a_thread_opened_without_a_line_of_the_applications() -> None:
    finding = Finding(
        Kind.LEAK,
        backend_pid=7,
        database="shop",
        driver="psycopg",
        thread="loader",
        started=Site("shop/feed.py", 12, "load"),
    )
    assert (
        compose(tell([finding], test=TEST))
        == """\
LEAK  tests/test_orders.py::test_refund left 1 connection open
  backend 7, on shop
  by       thread "loader", started shop/feed.py:12 in load
  1. close it where it was opened:  with psycopg.connect(…) as conn: …
"""
    )
    of_a_pool = replace(finding, owner="psycopg pool", owner_opened=Site("shop/db.py", 3, "<module>"), started=None)
    assert "loader" not in compose(tell([of_a_pool], test=TEST))  # its worker


@pytest.mark.parametrize(
    ("facts", "step"),
    [
        (
            {"driver": "psycopg2", "package": "aiopg"},
            "close it where it was opened:  async with aiopg.create_pool(…) as pool: … (or aiopg.connect)",
        ),
        ({"driver": "psycopg2", "package": "pony"}, "close the database when the work is done:  db.disconnect()"),
        ({"driver": "psycopg2", "package": "peewee"}, "close the database when the work is done:  db.close()"),
        (
            {"driver": "psycopg2", "package": "psycopg2"},
            "close it where it was opened:  conn.close()  (psycopg2's `with conn:` only ends the transaction)",
        ),
        (
            {"driver": "asyncpg", "package": "tortoise"},
            "close what was opened with Tortoise.init(…):  await Tortoise.close_connections()",
        ),
    ],
)
def test_the_step_is_about_the_library_that_opened_it(facts: dict[str, Any], step: str) -> None:  # Any: as given
    assert compose(tell([Finding(Kind.LEAK, **facts)], test=TEST)).splitlines()[-1] == f"  1. {step}"


def test_a_wider_fixtures_session_that_wrote() -> None:
    finding = Finding(
        Kind.LEAK,
        backend_pid=7,
        state="idle in transaction",
        seconds=61.0,
        database="shop",
        driver="psycopg2",
        opened=Site("tests/conftest.py", 30, "admin"),
        fixture="admin",
        scope="session",
        query="insert into settings values ('a', 'b')",
    )
    assert (
        compose(tell([finding], test=TEST))
        == """\
LEAK  session-scoped fixture 'admin' holds 1 connection in a transaction, found after tests/test_orders.py::test_refund
  backend 7, idle in transaction for 61.0 s on shop
  opened   tests/conftest.py:30 in admin
  last ran insert into settings values ('a', 'b')
  1. close it where it was opened:  conn.close()  (psycopg2's `with conn:` only ends the transaction)
"""
    )


def test_another_process() -> None:
    finding = Finding(
        Kind.FOREIGN,
        backend_pid=7,
        state="idle",
        seconds=2.0,
        database="shop",
        process=4711,
        command_line="python manage.py runworker",
        query="select 1",
    )
    assert (
        compose(tell([finding], test=TEST))
        == """\
FOREIGN  1 connection of other processes on the database of tests/test_orders.py::test_refund
  backend 7, idle for 2.0 s on shop
  process  4711, python manage.py runworker
  last ran select 1
"""
    )


def test_two_hundred_leaks_are_told_once_for_each_line() -> None:
    def leak(number: int, line: int) -> Finding:
        return Finding(
            Kind.LEAK,
            backend_pid=100 + number,
            state="idle",
            seconds=number / 10,
            database="shop",
            driver="psycopg",
            opened=Site("shop/jobs.py", line, "work"),
            thread=f"worker-{number}",
        )

    often = [leak(number, 5) for number in range(186)]
    twice = [leak(200 + number, 7) for number in range(2)]
    once = [leak(300 + line, line) for line in range(20, 32)]
    report = compose(tell([*once, *often, *twice], test=TEST))

    assert report.startswith(
        """\
LEAK  tests/test_orders.py::test_refund left 200 connections open
  186 connections (backends 100, 101, 102, 103, 104, …), idle for up to 18.5 s on shop
  opened   shop/jobs.py:5 in work, 186 threads
  1. close it where it was opened:  with psycopg.connect(…) as conn: …
  2 connections (backends 300, 301), idle for up to 20.1 s on shop
  opened   shop/jobs.py:7 in work, 2 threads
  1. close it where it was opened:  with psycopg.connect(…) as conn: …
  backend 420, idle for 32.0 s on shop
  opened   shop/jobs.py:20 in work, thread "worker-320"
"""
    )
    assert report.endswith("  … and 4 connections more, opened in 4 other places\n")
    assert len(report.splitlines()) == 2 + 10 * 3


def test_a_long_query_is_cut_and_put_on_one_line() -> None:
    finding = Finding(Kind.FOREIGN, backend_pid=7, query="select\n    " + "a, " * 100)

    assert compose(tell([finding], test=TEST)).splitlines()[-1] == "  last ran select " + ("a, " * 100)[:152] + "…"


def test_pools_that_lead_to_one_place() -> None:
    models = [("SQLAlchemy engine", Site(f"shop/models/{name}.py", 7, "<module>")) for name in ("customer", "invoice")]
    apps = [("SQLAlchemy engine", Site("app.py", 39, "create_app"))] * 12

    assert (
        explain_sprawl("postgresql://ann@127.0.0.1:5432/shop_test", [*models, *apps, ("psycopg pool", None)])
        == """\
SPRAWL  15 pools of one process lead to postgresql://ann@127.0.0.1:5432/shop_test
  12 × app.py:39 in create_app, SQLAlchemy engine
   1 × shop/models/customer.py:7 in <module>, SQLAlchemy engine
   1 × shop/models/invoice.py:7 in <module>, SQLAlchemy engine
   1 × unknown place, psycopg pool
  1. make one pool in one place, and import it
  2. or let pools close what is given back:  keep_idle = false
"""
    )


def test_more_pools_than_anybody_reads() -> None:
    owners = [("SQLAlchemy engine", Site(f"shop/models/model_{number}.py", 7, "<module>")) for number in range(60)]

    lines = explain_sprawl("postgresql://127.0.0.1/shop", owners).splitlines()
    assert len(lines) == 1 + 40 + 1 + 2
    assert lines[41] == "  … and 20 other places"


def test_an_asynchronous_connection_is_closed_as_such() -> None:
    finding = Finding(
        Kind.LEAK,
        driver="psycopg",
        opened=Site("shop/jobs.py", 8, "send"),
        task="Task-3",
        is_async=True,
        task_is_alive=True,
    )
    assert (
        compose(tell([finding], test=TEST))
        == """\
LEAK  tests/test_orders.py::test_refund left 1 connection open
  opened   shop/jobs.py:8 in send, task "Task-3"
  1. close it where it was opened:  async with await psycopg.AsyncConnection.connect(…) as conn: …
  2. or cancel the task and wait for it before the test ends
"""
    )


def test_a_task_that_is_over_need_not_be_cancelled_and_an_asynchronous_engine_is_used_as_such() -> None:
    finding = Finding(
        Kind.LEAK,
        opened=Site("test_jobs.py", 8, "test_it"),
        task="Task-1",
        is_async=True,
        owner="SQLAlchemy engine",
        state="idle in transaction",
    )
    assert (
        compose(tell([finding], test=TEST))
        == """\
LEAK  tests/test_orders.py::test_refund left 1 connection open
  idle in transaction
  opened   test_jobs.py:8 in test_it, task "Task-1"
  1. give it back where it was taken:  async with engine.connect() as conn: …
"""
    )


def test_pools_that_keep_nothing_idle_are_not_advised_to() -> None:
    report = explain_sprawl("postgresql://127.0.0.1/shop", [("psycopg pool", None)] * 2, keep_idle=False)
    assert report.splitlines()[2:] == ["  1. make one pool in one place, and import it"]


def test_a_command_line_of_several_lines_is_told_in_one() -> None:
    finding = Finding(Kind.FOREIGN, process=7, command_line="python -c import shop\nshop.serve()")
    assert (
        compose(tell([finding], test=TEST))
        == """\
FOREIGN  1 connection of other processes on the database of tests/test_orders.py::test_refund
  process  7, python -c import shop shop.serve()
"""
    )


@pytest.mark.parametrize(
    ("facts", "step"),
    [
        ({"session": "Session"}, "close the session where it was made:  with Session(engine) as session: …"),
        (
            {"session": "Session", "is_async": True},
            "close the session where it was made:  async with AsyncSession(engine) as session: …",
        ),
        ({"session": "scoped_session"}, "end the thread's session when its work is done:  Session.remove()"),
        (
            {"session": "scoped_session", "is_async": True},
            "end the task's session when its work is done:  await Session.remove()",
        ),
        ({"may_stay": True}, "commit what was begun, or take it back:  conn.commit() or conn.rollback()"),
        (
            {"may_stay": True, "session": "Session"},
            "commit what was begun, or take it back:  session.commit() or session.rollback()",
        ),
        (
            {"may_stay": True, "is_async": True},
            "commit what was begun, or take it back:  await conn.commit() or await conn.rollback()",
        ),
        ({"begins": True}, "leave the block that was entered:  with engine.begin() as conn: …"),
        ({"begins": True, "is_async": True}, "leave the block that was entered:  async with engine.begin() as conn: …"),
        ({"package": "records"}, "give it back where it was taken:  with db.get_connection() as conn: …"),
        ({"package": "dataset"}, "close the database when the work is done:  db.close()"),
    ],
)
def test_the_step_is_about_what_has_taken_the_connection(facts: dict[str, Any], step: str) -> None:  # Any: as given
    taken = Finding(Kind.LEAK, driver="psycopg", owner="SQLAlchemy engine", taken=Site("shop/orders.py", 7, "refund"))
    assert compose(tell([replace(taken, **facts)], test=TEST)).splitlines()[-1] == f"  1. {step}"
