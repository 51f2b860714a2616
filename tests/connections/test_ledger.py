"""The ledger's own promises: bounded, without locks, one for each process."""

from __future__ import annotations

import gc
import os
import sys
import types

import psycopg
import pytest
import sqlalchemy as sa

from mintdb.connections.facts import Ending, Opening
from mintdb.connections.hooks.psycopg3 import DRIVER
from mintdb.connections.ledger import ENDED_KEPT, Ledger
from mintdb.connections.pools import pools

PLACE = ("", 0, "shop")


class Connection:
    """Something that can be opened without a server; a ledger needs its identity only."""


def open_one(ledger: Ledger, backend_pid: int = 1) -> Connection:
    connection = Connection()
    ledger.opened(connection, DRIVER, PLACE, backend_pid)
    return connection


def test_a_hundred_thousand_connections_keep_memory_flat() -> None:
    ledger = Ledger()
    for number in range(100_000):
        if number == 2 * ENDED_KEPT:
            early = sys.getallocatedblocks()
        ledger.closed(open_one(ledger, number))

    assert (ledger.total, ledger.peak) == (100_000, 1)
    assert sys.getallocatedblocks() - early < 10_000


def test_an_entry_holds_nothing_of_the_application_alive() -> None:
    ledger = Ledger()
    gone = []

    class Local:
        def __del__(self) -> None:
            gone.append(True)

    def application() -> Connection:
        local = Local()
        connection = open_one(ledger)
        del local
        return connection

    kept = application()
    gc.collect()
    assert gone == [True]
    assert len(ledger.open_entries()) == 1
    del kept


def test_an_object_that_took_a_dead_ones_address_is_a_new_entry() -> None:
    """A subclass may override `__del__` without calling its parent's: the end of its object is never told."""
    ledger = Ledger()
    first = open_one(ledger, 1)
    stale = ledger.find(first)
    ledger.open_now = {id(second := Connection()): stale}  # as if `second` were where `first` was
    ledger.opened(second, DRIVER, PLACE, 2)

    assert [entry.backend_pid for entry in ledger.open_entries()] == [2]
    assert [(entry.backend_pid, entry.ending) for entry in ledger.ended_since(0)] == [(1, Ending.COLLECTED)]


def test_each_connection_keeps_the_opening_that_was_current_when_it_was_opened() -> None:
    ledger = Ledger()
    test, fixture = Opening(test="test_a", phase="call"), Opening(test="test_a", phase="setup", fixture="db")
    assert ledger.enter(test) is None
    first = open_one(ledger)
    assert ledger.enter(fixture) is test
    second = open_one(ledger)
    assert ledger.enter(None) is fixture
    third = open_one(ledger)

    assert [ledger.find(connection).opening for connection in (first, second, third)] == [test, fixture, None]


def test_a_connection_that_the_server_ended_is_found_closed(dsn: str, watched: Ledger) -> None:
    with psycopg.connect(dsn) as connection, psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute("select pg_terminate_backend(%s)", (connection.info.backend_pid,))
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")
        watched.take_stock()

        assert [entry.connection() for entry in watched.open_entries()] == [admin]


def test_mintdbs_own_connections_can_be_left_out(dsn: str, watched: Ledger) -> None:
    with psycopg.connect(dsn) as connection:
        watched.disown(connection)
        assert watched.open_entries() == []
    assert watched.ended_since(0) == []


def test_finalizers_in_the_middle_of_every_operation_lose_nothing(watched: Ledger) -> None:
    """The garbage collector runs wherever it likes; here it runs as often as it can, with ends in it."""
    ledger = Ledger()

    class Closing(Connection):
        def __del__(self) -> None:
            ledger.collected(self)

    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for number in range(3000):
            connection = Closing()
            connection.myself = connection
            ledger.opened(connection, DRIVER, PLACE, number)
            del connection
            ledger.open_entries()
            ledger.ended_since(0)
    finally:
        gc.set_threshold(*threshold)
    gc.collect()

    assert ledger.open_entries() == []
    assert ledger.total == 3000


def test_a_forked_child_disowns_its_parents_entries_and_closes_none_of_its_sessions(dsn: str, watched: Ledger) -> None:
    engine = sa.create_engine(dsn.replace("postgresql", "postgresql+psycopg"))
    with engine.connect():
        pass
    raw = psycopg.connect(dsn)
    child = os.fork()
    if child == 0:
        try:
            seen = len(watched.open_entries()) + len(pools.living())
            pools.let_go("postgres")
            os._exit(seen)
        finally:
            os._exit(99)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert raw.execute("select 1").fetchone() == (1,)
    assert len(watched.open_entries()) == 2
    with engine.connect() as connection:
        assert connection.scalar(sa.text("select 1")) == 1
    assert watched.total == 2
    raw.close()
    engine.dispose()


def test_who_listens_hears_of_each_connection_until_it_stops() -> None:
    ledger, heard = Ledger(), []
    stop = ledger.on_opened(lambda entry: heard.append(entry.backend_pid))
    kept = [open_one(ledger, 1), open_one(ledger, 2)]
    stop()
    kept.append(open_one(ledger, 3))

    assert heard == [1, 2]


def test_an_application_beside_its_virtual_environment_is_told_from_the_libraries() -> None:
    from mintdb.connections.stack import is_app

    assert is_app("/home/ann/shop/jobs.py")
    assert is_app(__file__)
    assert not is_app(types.__file__)
    assert not is_app(sa.__file__)
    assert not is_app(psycopg.__file__)
    assert not is_app("/home/ann/shop/.venv/lib/python3.12/site-packages/flask/app.py")
    assert not is_app("<string>")
