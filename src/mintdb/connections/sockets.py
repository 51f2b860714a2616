"""Shut a connection's socket from any thread, and never another one that got its descriptor's number meanwhile."""

from __future__ import annotations

import os
from contextlib import suppress
from socket import (
    SHUT_RDWR,
    socket,
)  # bound here: a test may forbid sockets (pytest-socket), and these are not new ones

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
