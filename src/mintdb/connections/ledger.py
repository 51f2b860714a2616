"""Every connection opened in this process, from its opening to its end, in bounded memory and without a lock.

The hooks call `opened`, `closed` and `collected` from any thread, and from finalizers that may run in the middle of any
of them: so each step is one operation on a dict or deque that the interpreter makes atomic.
"""

from __future__ import annotations

import os
import sys
import weakref
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from itertools import takewhile
from threading import Thread, current_thread
from typing import TYPE_CHECKING, NamedTuple

from mintdb.connections import clock
from mintdb.connections.facts import Driver, Ending, Entry, Opening, Owner, Taking
from mintdb.connections.stack import Frames, take

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

ENDED_KEPT = 2000  # entries of 1 to 4 KB: at most some 8 MB, however many connections a run opens


class Ledger:
    """The record of one process. A forked child starts with an empty one: its parent's sessions are not its own."""

    def __init__(self) -> None:
        self._open: dict[int, Entry] = {}  # by id() of the connection, which is unique while it is open
        self._ended: deque[Entry] = deque(maxlen=ENDED_KEPT)
        self._opening: Opening | None = None
        self._expected: ContextVar[_Opener | None] = ContextVar("mintdb_expected", default=None)
        self._listeners: tuple[Callable[[Entry], None], ...] = ()
        self.total = 0  # connections ever opened
        self.peak = 0  # most connections open at once
        self._peak_before, self._peak_by = 0, 0  # the peak before the last connection that raised it, and its id()
        os.register_at_fork(after_in_child=self._disown_all)

    # What a framework says

    def enter(self, opening: Opening | None) -> Opening | None:
        """From here on, connections are opened in `opening`; returns what was there before, to be entered again."""
        before, self._opening = self._opening, opening
        return before

    @property
    def opening(self) -> Opening | None:
        return self._opening

    def on_opened(self, listener: Callable[[Entry], None]) -> Callable[[], None]:
        """Call `listener` with each new entry, in the thread that opens it; returns what stops that."""
        self._listeners = (*self._listeners, listener)

        def stop() -> None:
            self._listeners = tuple(other for other in self._listeners if other is not listener)

        return stop

    # What the hooks say

    def expect(self, *, skip: int = 1) -> None:
        """This thread or task is about to connect: note who it is now.

        Doing that afterwards costs three times as much: a processor that waited for the server has forgotten the stack.
        """
        self._expected.set(_opener(skip + 1))

    def opened(
        self,
        connection: object,
        driver: Driver,
        *,
        host: str,
        port: int,
        database: str,
        backend_pid: int | None,
        skip: int = 1,
        stack: Frames | None = None,
    ) -> Entry:
        """A connection is open. `skip` frames of hooks are left out of its stack."""
        opener = self._expected.get() or _opener(skip + 1)
        self._expected.set(None)
        entry = Entry(
            driver,
            host,
            port,
            database,
            backend_pid,
            clock.monotonic(),
            clock.wall(),
            opener.thread,
            opener.thread_ident,
            opener.thread_ref,
            opener.task,
            opener.loop_ref,
            self._opening,
            opener.stack if stack is None else stack,
            weakref.ref(connection),
        )
        # An entry of the same id is of an object that is gone, and whose finalizer was not seen.
        if stale := self._open.pop(id(connection), None):
            self._end(stale, Ending.COLLECTED)
        self._open[id(connection)] = entry
        self.total += 1
        if len(self._open) > self.peak:
            self._peak_before, self._peak_by = self.peak, id(connection)
            self.peak = len(self._open)
        for listener in self._listeners:
            listener(entry)
        return entry

    def closed(self, connection: object) -> None:
        """A connection was closed; closing it again, or one that is not known, changes nothing."""
        if entry := self._open.pop(id(connection), None):
            self._end(entry, Ending.CLOSED)

    def collected(self, connection: object) -> bool:
        """A connection that was still open is being garbage-collected; whether while another test runs."""
        if entry := self._open.pop(id(connection), None):
            self._end(entry, Ending.COLLECTED)
            return _test(entry.opening) != _test(self._opening)
        return False

    def belongs(self, connection: object, owner: Owner) -> None:
        """A pool has taken a connection as its own."""
        if entry := self._open.get(id(connection)):
            entry.owner = owner

    def taken(self, connection: object, *, skip: int = 1) -> None:
        """A connection was taken from its pool. `skip` frames of hooks are left out of the stack."""
        if entry := self._open.get(id(connection)):
            thread = current_thread()
            entry.taking = Taking(thread.name, weakref.ref(thread), take(skip=skip + 1))

    def given_back(self, connection: object) -> None:
        """A connection is idle in its pool again."""
        if entry := self._open.get(id(connection)):
            entry.taking = None

    def disown(self, connection: object) -> None:
        """Forget a connection that is not the application's (mintdb's own)."""
        if self._open.pop(id(connection), None):
            self.total -= 1
            if self._peak_by == id(connection):
                self.peak = self._peak_before

    # What is asked

    def find(self, connection: object) -> Entry | None:
        """The entry of an open connection."""
        return self._open.get(id(connection))

    def open_entries(self, database: str | None = None, *, port: int | None = None) -> list[Entry]:
        """What is open now, oldest first; `take_stock` first if the drivers are to be asked."""
        return [entry for entry in self._open.copy().values() if _leads_to(entry, database, port)]

    def ended_since(self, moment: float, database: str | None = None, *, port: int | None = None) -> list[Entry]:
        """What ended at or after `moment` (monotonic seconds), oldest first; the last 2,000 are remembered."""
        # copy() is one step; tuple() is not: its own growing may start the garbage collector in between.
        recent = takewhile(lambda entry: (entry.ended or 0.0) >= moment, reversed(self._ended.copy()))
        return [entry for entry in recent if _leads_to(entry, database, port)][::-1]

    def take_stock(self) -> None:
        """Ask every open connection whether it still is: servers end some, and some are ended past their driver."""
        for entry in self.open_entries():
            connection = entry.connection()
            if connection is None:
                self._end_if_open(entry, Ending.COLLECTED)
            elif entry.driver.is_closed(connection):
                self._end_if_open(entry, Ending.CLOSED)

    def clear(self) -> None:
        """Start an empty record."""
        self._open.clear()
        self._ended.clear()
        self.total = self.peak = 0

    def _end_if_open(self, entry: Entry, ending: Ending) -> None:
        # A finalizer may have been faster; whoever removes the entry ends it.
        for key, other in self._open.copy().items():
            if other is entry and self._open.pop(key, None) is entry:
                self._end(entry, ending)

    def _end(self, entry: Entry, ending: Ending) -> None:
        entry.ended = clock.monotonic()
        entry.ending = ending
        self._ended.append(entry)

    def _disown_all(self) -> None:
        self._listeners = ()
        self.clear()


def _leads_to(entry: Entry, database: str | None, port: int | None) -> bool:
    return (database is None or entry.database == database) and (port is None or entry.port == port)


def _test(opening: Opening | None) -> str | None:
    return None if opening is None else opening.test


class _Opener(NamedTuple):
    """Who opens a connection."""

    thread: str
    thread_ident: int | None
    thread_ref: weakref.ref[Thread]
    task: str | None
    loop_ref: weakref.ref[AbstractEventLoop] | None
    stack: Frames


def _opener(skip: int) -> _Opener:
    thread = current_thread()
    loop, task = _running()
    return _Opener(thread.name, thread.ident, weakref.ref(thread), task, loop, take(skip=skip + 1))


def _running() -> tuple[weakref.ref[AbstractEventLoop] | None, str | None]:
    """The event loop that runs in this thread, and the name of its current task."""
    events = sys.modules.get("asyncio.events")
    loop = None if events is None else events._get_running_loop()
    if loop is None:
        return None, None
    task = sys.modules["asyncio.tasks"].current_task(loop)
    return weakref.ref(loop), None if task is None else str(task.get_name())


ledger = Ledger()
"""The one record of this process."""
