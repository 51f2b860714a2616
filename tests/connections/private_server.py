"""A private PostgreSQL for these tests, on tmpfs, gone when they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.private_server import embedded_bin, private_server


@contextmanager
def running(*, max_connections: int = 300) -> Iterator[int]:
    """The port of a server that trusts everybody on loopback."""
    programs = embedded_bin()
    assert programs is not None
    with private_server(programs, max_connections=str(max_connections)) as server:
        yield server.port
