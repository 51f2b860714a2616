"""See who is in the middle of something on a database file: the locks that SQLite's connections hold, and whose.

A connection that holds no lock cannot be seen, and is in nobody's way. The descriptors here are kept until the file is
gone: closing any descriptor of a file takes away every lock that this process has on it, SQLite's own too.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from mintdb import clock
from mintdb.contract import Session
from mintdb.facts import dataclass

FLOCK = "hhqqi4x"  # struct flock of 64-bit Linux: type, whence, start, length, pid
LOCK_BYTES = (0x40000000, 512)  # https://www.sqlite.org/fileformat.html: pending, reserved, and 510 shared ones
WAL_WRITE = (120, 1)  # https://www.sqlite.org/walformat.html: WAL_WRITE_LOCK
POLL = 0.002  # seconds
STUCK_AFTER = 0.1  # seconds; who neither computes nor writes for so long waits for something that the test has ended
WORKING = 0.2  # of a processor: less than that is the interpreter's own housekeeping
BUSY = "in a transaction"


@dataclass(frozen=True)
class Progress:
    """What moves while somebody works: the processor's time of this process, and the sizes of the files."""

    cpu: float
    sizes: tuple[int, ...]


class Watch:
    """Descriptors on one database file and its WAL index, through which the locks of others can be asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._index: int | None = None
        self.inode = os.fstat(self._file).st_ino

    def find_holder(self) -> int | None:
        """The process that holds a lock which a rewind has to wait for; None if there is none, or none is known."""
        index = self._find_index()
        return _find_holder(self._file, LOCK_BYTES) if index is None else _find_holder(index, WAL_WRITE)

    def is_in_place(self) -> bool:
        """Whether the path still leads to this file, and not to nothing or to another one."""
        try:
            return os.stat(self.path).st_ino == self.inode
        except OSError:
            return False

    def close(self) -> None:
        """Only once the file is gone: see the module."""
        os.close(self._file)
        if self._index is not None:
            os.close(self._index)

    def _find_index(self) -> int | None:
        """The WAL index while there is one: readers then are in nobody's way, and only the writer's lock counts."""
        try:
            there = os.stat(f"{self.path}-shm").st_ino
        except OSError:
            return None
        if self._index is None or os.fstat(self._index).st_ino != there:
            stale, self._index = self._index, None
            with suppress(OSError):
                self._index = os.open(f"{self.path}-shm", os.O_RDONLY | os.O_CLOEXEC)
            if stale is not None:
                os.close(stale)
        return self._index


def wait_until_quiet(watch: Watch, *, seconds: float) -> Sequence[Session]:
    """Wait up to `seconds` for whoever holds a lock; one of this process that makes no progress is not waited for."""
    started = clock.monotonic()
    before, moved = _progress(watch), started
    while (holder := watch.find_holder()) is not None:
        now, time_now = _progress(watch), clock.monotonic()
        if holder != os.getpid() or _is_working(before, now, time_now - moved):
            before, moved = now, time_now
        if time_now - moved >= STUCK_AFTER or time_now - started >= seconds:
            return [_session(holder, time_now - started)]
        clock.sleep(POLL)
    return []


def list_sessions(watch: Watch) -> Sequence[Session]:
    """The process that holds a lock now, unless it is this one: its connections are known better from within."""
    holder = watch.find_holder()
    return [] if holder in (None, os.getpid()) else [_session(holder, None)]


def _session(process: int, seconds: float | None) -> Session:
    return Session(process, BUSY, None, None, seconds, None, None, process=process)


def _progress(watch: Watch) -> Progress:
    sizes = []
    for suffix in ("", "-journal", "-wal"):
        try:
            sizes.append(os.stat(f"{watch.path}{suffix}").st_size)
        except OSError:
            sizes.append(0)
    return Progress(time.process_time(), tuple(sizes))


def _is_working(before: Progress, now: Progress, seconds: float) -> bool:
    return now.sizes != before.sizes or (seconds > 0.02 and (now.cpu - before.cpu) / seconds > WORKING)


def _find_holder(descriptor: int, place: tuple[int, int]) -> int | None:
    """Ask as a stranger would (OFD): a process's own locks would never be in its own way."""
    command = getattr(fcntl, "F_OFD_GETLK", None)
    if command is None:
        return None
    asked = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, *place, 0)
    kind, _, _, _, process = struct.unpack(FLOCK, fcntl.fcntl(descriptor, command, asked))
    return None if kind == fcntl.F_UNLCK else int(process)
