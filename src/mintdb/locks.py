"""Lock a file: one holder at a time, of all processes and threads, and whoever dies has let go.

Every process of a run locks something on its way to its first lease, and a library for it costs that way a sixth.
"""

from __future__ import annotations

import fcntl
import math
import os
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
    deadline = clock.monotonic() + timeout
    while (descriptor := _find_held(file)) is None:
        if clock.monotonic() >= deadline:
            raise StillLocked(f"{file} was held by somebody else for {timeout:g} s")
        clock.sleep(POLL)
    try:
        yield
    finally:
        os.close(descriptor)


def _find_held(file: Path) -> int | None:
    """A descriptor that holds the file, until it is closed; None if somebody else does."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Who held it before may have removed it: then the next one makes another, and both would hold theirs.
        if os.fstat(descriptor).st_nlink:
            return descriptor
    except BlockingIOError:
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None
