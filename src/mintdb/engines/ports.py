"""A TCP port on the loopback that nobody has, found without listening on it."""

from __future__ import annotations

import os
import socket
import zlib

HOST = "127.0.0.1"
FIRST_PORT, LAST_PORT = 20000, 32767  # below Linux's ephemeral range, so that no outgoing connection takes one


def find_free_port(seed: str) -> int | None:
    """A free port; the same `seed` looks at the same ports first, so that a URL changes rarely."""
    start = zlib.crc32(seed.encode()) % (LAST_PORT - FIRST_PORT)
    for offset in range(LAST_PORT - FIRST_PORT):
        port = FIRST_PORT + (start + offset) % (LAST_PORT - FIRST_PORT)
        if is_free(port):
            return port
    return None


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        if os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
