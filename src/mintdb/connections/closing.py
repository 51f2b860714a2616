"""End connections from outside, whatever thread or event loop they belong to, and never by a busy one's `close`.

That crashes the interpreter if another thread is using a psycopg connection, and psycopg2's waits for the query. A shut
socket and a terminated backend end both: who uses the connection gets the driver's ordinary error.
"""

from __future__ import annotations

import gc
import os
import socket
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress

from mintdb.connections.facts import Entry
from mintdb.connections.ledger import ledger

Terminate = Callable[[int], object]
"""What ends one backend on the server, by its pid."""


def end(entries: Iterable[Entry], terminate: Terminate) -> list[Entry]:
    """End open connections; returns those that were ended, for a report to name. Idle or busy, used or forgotten."""
    ended = []
    for entry in entries:
        connection = entry.connection()
        if not entry.is_open or (connection is not None and entry.driver.is_closed(connection)):
            continue
        if connection is not None:
            shut(entry, connection)
        if entry.backend_pid is not None:
            terminate(entry.backend_pid)  # a busy backend does not look at its socket
        if connection is not None:
            entry.driver.silence(connection)
            if entry.driver.is_async(connection):
                _finish_async(entry, connection)
            ledger.closed(connection)
        ended.append(entry)
    return ended


def shut(entry: Entry, connection: object) -> None:
    """Shut a connection's socket for both sides. The descriptor stays the driver's to close."""
    with suppress(Exception):  # it may be closing at this moment, and each driver says so in its own way
        descriptor = entry.driver.find_fileno(connection)
        if descriptor is None or descriptor < 0:
            return
        with socket.socket(fileno=os.dup(descriptor)) as duplicate:
            # Still open under the same number: so the number was not another socket's when it was duplicated.
            if entry.driver.find_fileno(connection) == descriptor:
                duplicate.shutdown(socket.SHUT_RDWR)


def _finish_async(entry: Entry, connection: object) -> None:
    """Let an event loop know; a loop that runs in another thread is only ever called in its own."""
    loop = entry.loop
    with suppress(RuntimeError):  # the loop is closed meanwhile
        if loop is not None and loop.is_running():
            loop.call_soon_threadsafe(entry.driver.finish, connection)
        else:
            entry.driver.finish(connection)


def collect() -> None:
    """Run the garbage collector. What it finds is in the ledger; drivers' own warnings would blame the caller."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
