"""Every connection opened in this process, from its opening to its end, in bounded memory and without a lock.

The hooks call `opened`, `closed` and `collected` from any thread, and from finalizers that may run in the middle of any
of them: so each step is one operation on a dict or deque that the interpreter makes atomic.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from itertools import takewhile
from threading import current_thread
from typing import TYPE_CHECKING
from weakref import ref

from mintdb.connections import clock
from mintdb.connections.facts import Driver, Ending, Entry, Opener, Opening, Owner, Taking
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
        self._expected: ContextVar[Opener | None] = ContextVar("mintdb_expected", default=None)
        self._listeners: tuple[Callable[[Entry], None], ...] = ()
        self._now = clock.REAL[0]
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

    def opener(self, *, skip: int = 1, stack: Frames | None = None) -> Opener:
        """Who is about to connect, in this thread or task. `skip` frames of hooks are left out of its stack.

        Noting that afterwards costs several times as much: a processor that waited for the server has forgotten the
        stack, and most of the interpreter.
        """
        thread = current_thread()
        loop, task = _running()
        if stack is None:
            stack = take(skip=skip + 1)
        return Opener(thread.name, thread.ident, ref(thread), task, loop, self._opening, stack)

    def expect(self, *, skip: int = 1) -> None:
        """Note the opener for the connection that this thread or task opens next: where no hook sees both ends."""
        self._expected.set(self.opener(skip=skip + 1))

    def opened(
        self,
        connection: object,
        driver: Driver,
        host: str,
        port: int,
        database: str,
        backend_pid: int | None,
        opener: Opener | None = None,
    ) -> Entry:
        """A connection is open. Without an `opener` it is the expected one, or else whoever calls the hook.

        The processor has waited for the server until now, and all of this is new to it: each call costs microseconds.
        """
        if opener is None:
            opener = self._expected.get()
        if opener is None or opener.is_spent:
            opener = self.opener(skip=3)
        opener.is_spent = True
        entry = Entry(driver, host, port, database, backend_pid, self._now(), opener, ref(connection))
        key = id(connection)
        # An entry of the same id is of an object that is gone, and whose finalizer was not seen.
        if stale := self._open.pop(key, None):
            self._end(stale, Ending.COLLECTED)
        self._open[key] = entry
        self.total += 1
        if (now := len(self._open)) > self.peak:
            self._peak_before, self._peak_by, self.peak = self.peak, key, now
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
            entry.taking = Taking(thread.name, ref(thread), take(skip=skip + 1))

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


def _running() -> tuple[ref[AbstractEventLoop] | None, str | None]:
    """The event loop that runs in this thread, and the name of its current task."""
    events = sys.modules.get("asyncio.events")
    loop = None if events is None else events._get_running_loop()
    if loop is None:
        return None, None
    task = sys.modules["asyncio.tasks"].current_task(loop)
    return ref(loop), None if task is None else str(task.get_name())


ledger = Ledger()
"""The one record of this process."""
