"""One database file copied from a template, put back where it is, or swapped for a fresh file under its path."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from mintdb import clock
from mintdb.address import Address
from mintdb.contract import Present, Restored, Session, Way
from mintdb.core.marks import MarkHeld
from mintdb.core.names import new_token
from mintdb.engines.sqlite import databases, sessions
from mintdb.engines.sqlite.merging import CannotTakeOut, take_out
from mintdb.engines.sqlite.rewind import CannotRewind, Mark, Rewinder
from mintdb.facts import dataclass

MOVED = "the tests have moved or removed its file"
LOCKED = "somebody holds a lock on its file"
GOES_ON = "a thread that goes on has it open"
GOODBYE = 0.1  # seconds; a connection that was told to close does so in the thread that it belongs to


@dataclass(frozen=True)
class Stay:
    """What a clone needs of its server: a folder of this process's own, and one where files may stay."""

    folder: Path
    kept: Path
    let_go: Callable[[str], object]  # asks the pools of this process to drop their idle connections to a database


class SqliteClone:
    """A file under one path for life. One thread at a time may use it. It fulfils contract.Clone."""

    def __init__(self, stay: Stay, template: Path | None, path: Path) -> None:
        """A new copy of `template`; with None, a file that is there already, and is somebody else's to remove."""
        self._stay = stay
        self._path = path
        self._adopted = template is None
        self._gone: list[sessions.Watch] = []  # of files that were swapped: see sessions
        if template is not None:
            databases.copy(template, path)
        self._goes_on = False  # a connection that is idle, and may write after the put-back
        self._watch = sessions.Watch(path)
        self._rewinder = Rewinder(path)
        self._rewinder.start()
        self._marks = [Mark(template or self._copy_of_mine())]

    @property
    def address(self) -> Address:
        return Address("sqlite", str(self._path))

    def connect(self, **options: Any) -> sqlite3.Connection:  # Any: see contract.Clone
        """See contract.Clone. Whoever holds the lease closes it, in whatever thread that is."""
        connection: sqlite3.Connection = sqlite3.connect(self._path, **{"check_same_thread": False, **options})
        return connection

    def settle(self, *, seconds: float, ahead: bool = False) -> Present:
        """See contract.Clone. There are no backends: connections of this process are known from within."""
        return Present({}, sessions.wait_until_quiet(self._watch, seconds=seconds))

    def end(self, backends: Collection[int]) -> None:
        """See contract.Clone. Only its own thread, of its own process, can end a connection to a file."""
        self._goes_on = self._goes_on or bool(backends)

    def restore(self) -> Restored:
        """See contract.Clone."""
        started = clock.monotonic()
        try:
            restored = self._put_back()
        except CannotRewind as obstacle:
            restored = Restored(Way.SWAP, 0.0, reason=obstacle.reason, cut_off=sessions.list_sessions(self._watch))
            self._swap()
        return replace(restored, seconds=clock.monotonic() - started)

    def welcome(self) -> None:
        """See contract.Clone. A transaction that only reads is in the way of a rewind, unless there is a WAL."""

    def push_mark(self) -> None:
        """See contract.Clone."""
        target = self._new_file("mark")
        self._rewinder.take_mark(target)
        self._marks.append(Mark(target))

    @property
    def marks(self) -> int:
        """See contract.Clone."""
        return len(self._marks) - 1

    def drop_mark(self, number: int) -> None:
        """See contract.Clone. A mark is a whole file: what one had written is taken out of those above it."""
        lower, written, *above = self._marks[number - 1 :]
        without: list[Path] = []
        try:
            for mark in above:
                without.append(self._new_file("mark"))
                take_out(lower.path, written.path, mark.path, without[-1])
        except CannotTakeOut:
            for path in without:
                path.unlink(missing_ok=True)
            raise MarkHeld(number=number) from None
        for mark in (written, *above):
            self._forget(mark)
        self._marks[number:] = map(Mark, without)
        self._rewinder.distrust()

    def wrote(self) -> bool:
        """See contract.Clone."""
        return self._rewinder.wrote()

    def step_aside(self) -> None:
        """See contract.Clone. No connection is held between rewinds."""

    def keep(self) -> Address:
        """See contract.Clone. It is left in the folder `kept`."""
        kept = self._stay.kept / f"{self._path.stem}_{new_token()}{databases.SUFFIX}"
        self._write_copy(kept)
        return Address("sqlite", str(kept))

    def sessions(self) -> Sequence[Session]:
        """See contract.Clone. Who holds no lock is not seen."""
        return sessions.list_sessions(self._watch)

    def drop(self) -> Sequence[Session]:
        """See contract.Clone."""
        left = sessions.list_sessions(self._watch)
        for mark in self._marks[1:] if not self._adopted else self._marks:
            self._forget(mark)
        if not self._adopted:
            self._marks[0].close()
            databases.remove(self._path)
            for watch in (*self._gone, self._watch):
                watch.close()
        return left

    def _put_back(self) -> Restored:
        if not self._watch.is_in_place():
            raise CannotRewind(MOVED)
        # A writer that goes on would write into the next test.
        if self._watch.find_holder() is not None:
            self._stay.let_go(str(self._path))
            if sessions.wait_until_quiet(self._watch, seconds=GOODBYE):
                raise CannotRewind(LOCKED)
        if self._goes_on:
            raise CannotRewind(GOES_ON)
        if not self._rewinder.wrote():
            return Restored(Way.UNTOUCHED, 0.0)
        self._rewinder.put_back(self._marks[-1])
        return Restored(Way.REWIND, 0.0)

    def _swap(self) -> None:
        """Put a fresh file under the path. Who still has the old one open writes where nobody reads."""
        self._stay.let_go(str(self._path))
        databases.replace(self._marks[-1].path, self._path)
        self._gone.append(self._watch)
        self._watch = sessions.Watch(self._path)
        self._rewinder.start()
        self._goes_on = False

    def _copy_of_mine(self) -> Path:
        target = self._new_file("adopted")
        self._write_copy(target)
        return target

    def _write_copy(self, target: Path) -> None:
        with closing(databases.connect(self._path)) as connection:
            databases.write_copy(connection, target)

    def _new_file(self, purpose: str) -> Path:
        return self._stay.folder / f"{self._path.stem}_{purpose}_{new_token()}{databases.SUFFIX}"

    def _forget(self, mark: Mark) -> None:
        mark.close()
        with suppress(OSError):
            mark.path.unlink()
