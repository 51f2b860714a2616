"""Put a database file back to its newest mark by SQLite's backup API, while connections to it stay open.

Nothing is copied where nothing was written: at a mark the file gets a date that no clock gives, and any write gives it
another. No connection is held while a test runs, so that the application's own is the last to close, as without mintdb.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import field
from pathlib import Path

from mintdb.engines.places import SHM
from mintdb.engines.sqlite import databases
from mintdb.facts import dataclass

PATIENCE = 0.05  # seconds for a lock that somebody takes between `settle` and the rewind
LATE_WRITERS = 5  # times that a write may slip in behind a backup before the file is swapped
NEVER = 1_000_000_000 * 10**9 + 1  # nanoseconds: the date that says "not written to", in 2001
WRITTEN_TO = ("", "-wal")
HEADER = slice(18, 20)  # https://www.sqlite.org/fileformat.html: file format, 2 in WAL mode
WAL = b"\2\2"

Trace = tuple[tuple[int, ...], ...]
"""What any write to a database changes, read from outside; it compares equal while nothing was written."""


class CannotRewind(Exception):
    """The file cannot be put back where it is."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass
class Mark:
    """A sealed file with the state to return to, open for reading."""

    path: Path
    source: sqlite3.Connection = field(init=False)
    is_wal: bool = field(init=False)

    def __post_init__(self) -> None:
        self.source = databases.open_sealed(self.path)
        with self.path.open("rb") as file:
            self.is_wal = file.read(HEADER.stop)[HEADER] == WAL

    def close(self) -> None:
        self.source.close()


class Rewinder:
    """Knows whether one file was written to since its newest mark, and puts it back."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._trace: Trace | None = None  # None: it must be put back, whatever it looks like

    def wrote(self) -> bool:
        """Whether anything was written since the last mark or put-back; what was rolled back may count."""
        return self._trace is None or read_trace(self._path) != self._trace

    def distrust(self) -> None:
        """The state to return to is another one now."""
        self._trace = None

    def put_back(self, mark: Mark) -> None:
        """Return to `mark`. Raises CannotRewind where the file is locked, is none, or was given other pages."""
        try:
            with self._opened() as connection:
                self._copy_until_alone(mark, connection)
        except (sqlite3.Error, OSError) as error:
            self._trace = None
            raise CannotRewind(f"SQLite says: {error}") from None

    def take_mark(self, target: Path) -> None:
        """Write the present state to the new file `target`; what is not committed is not part of it."""
        with self._opened() as connection:
            self._empty_wal(connection)
            with _others_kept_out(connection) as alone:
                # Before the copy is made: what is written meanwhile is in it, and is seen as written, too.
                self._trace = _stamp(self._path) if alone else None
            databases.write_copy(connection, target)

    def start(self) -> None:
        """The file was made a moment ago, and nobody knows it yet."""
        self._trace = _stamp(self._path)

    def _copy_until_alone(self, mark: Mark, connection: sqlite3.Connection) -> None:
        for _ in range(LATE_WRITERS):
            before = _version(connection)
            databases.back_up(mark.source, connection)
            self._settle_journal(connection, is_wal=mark.is_wal)
            with _others_kept_out(connection) as alone:
                # What is written behind a backup would stay for ever: only here can nobody do it.
                if alone and _version(connection) == before:
                    self._trace = _stamp(self._path)
                    return
        raise CannotRewind("somebody goes on writing to it")

    def _settle_journal(self, connection: sqlite3.Connection, *, is_wal: bool) -> None:
        """The journal's mode belongs to the file, and goes back where nobody's open connection is in the way."""
        if self._empty_wal(connection) != is_wal:
            with _without_waiting(connection), suppress(sqlite3.OperationalError):
                connection.execute(f"pragma journal_mode = {'wal' if is_wal else 'delete'}")

    def _empty_wal(self, connection: sqlite3.Connection) -> bool:
        """Bring what is in the WAL into the file, but for what an old reader still needs; whether there is a WAL.

        `pragma journal_mode` would say it, too, and read the whole schema first: 0.4 ms at 50 tables.
        """
        is_wal = os.path.exists(f"{self._path}-wal")
        if is_wal:
            with _without_waiting(connection):
                connection.execute("pragma wal_checkpoint(truncate)").fetchone()
        return is_wal

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        with closing(databases.connect(self._path, timeout=PATIENCE)) as connection:
            if not self._path.is_relative_to(SHM):  # it reads the whole schema first: 0.5 ms at 50 tables
                connection.execute("pragma synchronous = off")
            yield connection


def read_trace(path: Path) -> Trace:
    """Inode, size and date of the file and its WAL, and the size of a journal; an empty file beside it is none."""
    found: list[tuple[int, ...]] = []
    for suffix in (*WRITTEN_TO, "-journal"):
        try:
            status = os.stat(f"{path}{suffix}")
        except OSError:
            found.append(())
            continue
        facts = (status.st_ino, status.st_size) + (() if suffix == "-journal" else (status.st_mtime_ns,))
        found.append(facts if status.st_size else ())
    return tuple(found)


def _stamp(path: Path) -> Trace:
    """Give the files the date of a mark. The caller keeps every writer out meanwhile."""
    for suffix in WRITTEN_TO:
        with suppress(FileNotFoundError):
            os.utime(f"{path}{suffix}", ns=(NEVER, NEVER))
    return read_trace(path)


def _version(connection: sqlite3.Connection) -> int:
    """Changes when another connection commits, and never by this one's own doing."""
    return int(connection.execute("pragma data_version").fetchone()[0])


@contextmanager
def _without_waiting(connection: sqlite3.Connection) -> Iterator[None]:
    """A reader that stays for many tests must not cost each of them the time that others are waited for."""
    connection.execute("pragma busy_timeout = 0")
    yield
    connection.execute(f"pragma busy_timeout = {PATIENCE * 1000:.0f}")


@contextmanager
def _others_kept_out(connection: sqlite3.Connection) -> Iterator[bool]:
    """Hold the writer's lock for a block; False where somebody else has it."""
    try:
        connection.execute("begin immediate")
    except sqlite3.OperationalError:
        yield False
        return
    try:
        yield True
    finally:
        connection.execute("rollback")
