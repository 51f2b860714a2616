"""A connection is accounted for in whatever way it was opened: file, line, function, thread, and what became of it."""

from __future__ import annotations

import gc
import warnings

import pytest
import ways

from mintdb.connections.facts import Ending, Entry, Opening
from mintdb.connections.ledger import Ledger

IN_TEST = Opening(test="tests/test_orders.py::test_refund", phase="call")

# way, driver, function, thread, kind of owner, ending
TABLE = [
    (ways.psycopg_never_closed, "psycopg", "psycopg_never_closed", "MainThread", None, None),
    (ways.psycopg_bound_early, "psycopg", "psycopg_bound_early", "MainThread", None, None),
    (ways.psycopg_class, "psycopg", "psycopg_class", "MainThread", None, None),
    (ways.psycopg_with, "psycopg", "psycopg_with", "MainThread", None, Ending.CLOSED),
    (ways.psycopg_closed_late, "psycopg", "psycopg_closed_late", "MainThread", None, Ending.CLOSED),
    (ways.psycopg_collected, "psycopg", "psycopg_collected", "MainThread", None, Ending.COLLECTED),
    (
        ways.psycopg_collected_in_a_cycle,
        "psycopg",
        "psycopg_collected_in_a_cycle",
        "MainThread",
        None,
        Ending.COLLECTED,
    ),
    (ways.psycopg_in_a_thread, "psycopg", "send_receipts", "mailer", None, None),
    (ways.psycopg_in_an_executor, "psycopg", "work", "worker_0", None, None),
    (ways.psycopg_async, "psycopg", "serve", "MainThread", None, None),
    (ways.psycopg_async_with, "psycopg", "serve", "MainThread", None, Ending.CLOSED),
    (ways.psycopg_in_a_task, "psycopg", "poll", "MainThread", None, None),
    (ways.psycopg2_never_closed, "psycopg2", "psycopg2_never_closed", "MainThread", None, None),
    (ways.psycopg2_bound_early, "psycopg2", "psycopg2_bound_early", "MainThread", None, None),
    (ways.psycopg2_closed, "psycopg2", "psycopg2_closed", "MainThread", None, Ending.CLOSED),
    (ways.psycopg2_with_is_no_close, "psycopg2", "psycopg2_with_is_no_close", "MainThread", None, None),
    (ways.psycopg2_with_a_class, "psycopg2", "psycopg2_with_a_class", "MainThread", None, Ending.CLOSED),
    (ways.psycopg2_with_a_factory, "psycopg2", "psycopg2_with_a_factory", "MainThread", None, Ending.CLOSED),
    (ways.psycopg2_asynchronous, "psycopg2", "psycopg2_asynchronous", "MainThread", None, None),
    (
        ways.psycopg2_asynchronous_closed,
        "psycopg2",
        "psycopg2_asynchronous_closed",
        "MainThread",
        None,
        Ending.CLOSED,
    ),
    (ways.psycopg2_collected, "psycopg2", "psycopg2_collected", "MainThread", None, Ending.COLLECTED),
    (ways.asyncpg_never_closed, "asyncpg", "serve", "MainThread", None, None),
    (ways.asyncpg_closed, "asyncpg", "serve", "MainThread", None, Ending.CLOSED),
    (ways.asyncpg_pooled, "asyncpg", "serve", "MainThread", "asyncpg pool", None),
    (ways.sqlalchemy_psycopg, "psycopg", "sqlalchemy_psycopg", "MainThread", "SQLAlchemy engine", None),
    (ways.sqlalchemy_psycopg2, "psycopg2", "sqlalchemy_psycopg2", "MainThread", "SQLAlchemy engine", None),
    (ways.sqlalchemy_null_pool, "psycopg", "sqlalchemy_null_pool", "MainThread", "SQLAlchemy engine", Ending.CLOSED),
    (ways.sqlalchemy_asyncpg, "asyncpg", "serve", "MainThread", "SQLAlchemy engine", None),
    (ways.sqlalchemy_psycopg_async, "psycopg", "serve", "MainThread", "SQLAlchemy engine", None),
    (ways.sqlalchemy_run_sync, "psycopg", "serve", "MainThread", None, None),
]


@pytest.mark.parametrize(("way", "driver", "function", "thread", "owner", "ending"), TABLE)
def test_it_is_known_who_opened_it_where_and_what_became_of_it(
    way: ways.Way,
    driver: str,
    function: str,
    thread: str,
    owner: str | None,
    ending: Ending | None,
    dsn: str,
    port: int,
    watched: Ledger,
    forgotten: None,
) -> None:
    watched.enter(IN_TEST)
    entry = only_entry(way, dsn, watched)

    assert entry.site is not None
    assert (entry.site.file, entry.site.line) == (ways.__file__, ways.line_of(way.__name__))
    assert (entry.driver.name, entry.site.function, entry.thread) == (driver, function, thread)
    assert (entry.host, entry.port, entry.database) == ("127.0.0.1", port, "postgres")
    assert entry.opening is IN_TEST
    assert (entry.owner.kind if entry.owner else None) == owner
    assert entry.ending == ending
    assert entry.backend_pid


def only_entry(way: ways.Way, dsn: str, ledger: Ledger) -> Entry:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the driver's own, of connections that are collected
        way(dsn)
        gc.collect()
        ledger.take_stock()
    [entry] = [*ledger.open_entries(), *ledger.ended_since(0)]
    return entry


@pytest.mark.parametrize("way", [ways.psycopg_pooled, ways.psycopg_async_pooled])
def test_a_connection_of_a_pools_worker_leads_to_where_the_pool_was_created(
    way: ways.Way, dsn: str, watched: Ledger, forgotten: None
) -> None:
    entry = only_entry(way, dsn, watched)

    assert entry.site is None  # a worker's stack ends at its thread, or at whoever started the event loop
    assert entry.owner is not None
    assert entry.owner.site is not None
    assert entry.owner.site.line == ways.line_of(way.__name__)


def test_an_example_of_a_docstring_is_the_applications(dsn: str, watched: Ledger, forgotten: None) -> None:
    example = compile("KEPT.append(psycopg.connect(dsn))", "<doctest shop.refund[3]>", "single")
    exec(example, {"psycopg": ways.psycopg, "KEPT": ways.KEPT, "dsn": dsn})
    [entry] = watched.open_entries()
    assert str(entry.site) == "<doctest shop.refund[3]>:1 in <module>"


def test_a_task_is_known_by_its_name(dsn: str, watched: Ledger, forgotten: None) -> None:
    assert only_entry(ways.psycopg_in_a_task, dsn, watched).task == "poller"
