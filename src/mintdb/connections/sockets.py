"""Shut a connection's socket from any thread, never another one of the same number; close one whose loop is dead."""

from __future__ import annotations

import os
from contextlib import suppress
from socket import (
    SHUT_RDWR,
    socket,
)  # bound here: a test may forbid sockets (pytest-socket), and these are not new ones
from typing import Any

from mintdb.connections.facts import Driver


def shut(driver: Driver, connection: object) -> None:
    """Shut a connection's socket for both sides. The descriptor stays the driver's to close."""
    with suppress(Exception):  # it may be closing at this moment, and each driver says so in its own way
        descriptor = driver.find_fileno(connection)
        if descriptor is None or descriptor < 0:
            return
        with socket(fileno=os.dup(descriptor)) as duplicate:
            # Still open under the same number: so the number was not another socket's when it was duplicated.
            if driver.find_fileno(connection) == descriptor:
                duplicate.shutdown(SHUT_RDWR)


def close_on_a_dead_loop(transport: Any) -> None:  # Any: of asyncio, or of a loop of another make
    """Close a transport whose loop cannot be asked to: asyncio's is made to look as if it had closed its socket.

    Then neither it nor its StreamWriter warns when it is collected. uvloop's were closed with their loop.
    """
    sock = getattr(transport, "_sock", None)
    if sock is not None:
        sock.close()
        transport._sock = None
        transport._closing = True
