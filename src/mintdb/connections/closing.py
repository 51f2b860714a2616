"""End connections from outside, whatever thread or event loop they belong to, and never by a busy one's `close`.

That crashes the interpreter if another thread is using a psycopg connection, and psycopg2's waits for the query. A shut
socket and a terminated backend end both: who uses the connection gets the driver's ordinary error.
"""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from threading import current_thread, get_ident
from typing import Any, cast

from mintdb.connections.bereaved import excuse
from mintdb.connections.facts import Driver, Entry, RollsBack, Serverless, TellsTransaction
from mintdb.connections.ledger import ledger
from mintdb.connections.sockets import shut

Terminate = Callable[[int], object]
"""What ends one backend on the server, by its pid; NO_BACKEND where there is no server to ask, and nobody can."""

NO_BACKEND = 0  # see contract.Session
FORGOTTEN = "The garbage collector is trying to clean up non-checked-in connection"  # by an asynchronous engine


def end(entries: Iterable[Entry], terminate: Terminate) -> list[Entry]:
    """End open connections; returns those that were ended, for a report to name. Idle or busy, used or forgotten."""
    ended = []
    for entry in entries:
        connection = entry.connection()
        if not entry.is_open or (connection is not None and entry.driver.is_closed(connection)):
            continue
        excuse((entry.taking or entry).thread_ref())
        if connection is not None:
            shut(entry.driver, connection)
        if entry.backend_pid is not None:
            terminate(entry.backend_pid)  # a busy backend does not look at its socket
        if connection is not None:
            if isinstance(entry.driver, Serverless) and not entry.driver.is_async(connection):
                entry.driver.finish(connection)  # nobody else can
            entry.driver.silence(connection)
            if entry.driver.is_async(connection):
                _finish_async(entry, connection)
            if isinstance(entry.driver, Serverless) and not entry.driver.is_closed(connection):
                terminate(NO_BACKEND)  # another thread's, or that of a loop that runs there: only they can close it
            ledger.closed(connection)
        ended.append(entry)
    return ended


def stop_reading(entries: Iterable[Entry]) -> None:
    """Let idle connections without a server, opened in this thread, give up the locks of what they have read half."""
    for entry in entries:
        connection, driver = entry.connection(), entry.driver
        if connection is not None and isinstance(driver, Serverless) and entry.thread_ident == get_ident():
            driver.stop_reading(connection)


def roll_back(entry: Entry) -> bool:
    """Take back what an idle connection has begun, so that it can go on; False where it can only be ended.

    For connections that are the calling thread's: another's might be in the middle of something.
    """
    connection, thread = entry.connection(), (entry.taking or entry).thread_ref()
    if connection is None or thread is not current_thread():
        return False
    try:
        if entry.driver.is_async(connection):
            _roll_back_async(entry, connection)
        else:
            _roll_back(entry.driver, cast(Any, connection))  # Any: whatever the driver, the DB-API has what is used
    except Exception:  # noqa: BLE001  # a driver's errors have no common base; within a block of the driver's, it refuses
        return False
    return not _is_in_transaction(entry.driver, connection)


def _roll_back(driver: Driver, connection: Any) -> None:  # Any: see roll_back
    connection.rollback()
    if _is_in_transaction(driver, connection):
        connection.cursor().execute("rollback")  # begun by hand: psycopg2's rollback() does nothing in autocommit


def _roll_back_async(entry: Entry, connection: object) -> None:
    loop = entry.loop
    if not isinstance(entry.driver, RollsBack) or loop is None or loop.is_closed() or loop.is_running():
        raise RuntimeError("its event loop has it")
    entry.driver.roll_back(connection)


def _is_in_transaction(driver: Driver, connection: object) -> bool:
    return isinstance(driver, TellsTransaction) and driver.is_in_transaction(connection)


def _finish_async(entry: Entry, connection: object) -> None:
    """Let an event loop know; a loop that runs in another thread is only ever called in its own."""
    loop = entry.loop
    with suppress(RuntimeError):  # the loop is closed meanwhile
        if loop is not None and loop.is_running():
            loop.call_soon_threadsafe(entry.driver.finish, connection)
        else:
            entry.driver.finish(connection)


def collect(generation: int = 2) -> None:
    """Run the garbage collector. What it finds is in the ledger; others' own warnings would blame the caller."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        warnings.filterwarnings("ignore", FORGOTTEN)
        gc.collect(generation)
