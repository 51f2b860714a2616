"""Lock a file: one holder at a time, of all processes and threads, and whoever dies has let go."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mintdb import clock

POLL = 0.02  # seconds between two tries


class StillLocked(Exception):
    """Somebody else held the file all the time."""


@contextmanager
def locked(file: Path, *, timeout: float = math.inf) -> Iterator[None]:
    """Hold `file`, which is made and stays. Raises StillLocked after `timeout` s, OSError if it cannot be opened."""
    from filelock import FileLock, Timeout  # only who locks something pays for it

    lock, deadline = FileLock(file), clock.monotonic() + timeout
    while True:
        try:
            lock.acquire(timeout=0)
            break
        except Timeout:
            if clock.monotonic() >= deadline:
                raise StillLocked(f"{file} was held by somebody else for {timeout:g} s") from None
        clock.sleep(POLL)
    try:
        yield
    finally:
        lock.release()
