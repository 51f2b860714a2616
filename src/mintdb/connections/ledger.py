"""Every connection opened in this process, from its opening to its end, in bounded memory and without a lock.

The hooks call `opened`, `closed` and `collected` from any thread, and from finalizers that may run in the middle of any
of them: so each step is one operation on a dict or deque that the interpreter makes atomic.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from copy import copy
from itertools import takewhile
from typing import TYPE_CHECKING
from weakref import ref

from mintdb import clock
from mintdb.connections.facts import NOT_YET, ByThread, Driver, Dropping, Ending, Entry, Opening, Owner, Place, Taking
from mintdb.connections.stack import Frames, take
from mintdb.connections.threads import find_start

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

CLOSED = Ending.CLOSED
ENDED_KEPT = 2000  # entries of 1 to 4 KB: at most some 8 MB, however many connections a run opens


class Ledger:
    """The record of one process. A forked child starts with an empty one: its parent's sessions are not its own."""

    def __init__(self) -> None:
        self.open_now: dict[int, Entry] = {}  # by id() of the connection, which is unique while it is open
        self._ended: deque[Entry] = deque(maxlen=ENDED_KEPT)
        self._forgotten: deque[Entry] = deque(maxlen=ENDED_KEPT)
        self._opening: Opening | None = None
        self._expected: ContextVar[Entry | None] = ContextVar("mintdb_expected", default=None)
        self._listeners: tuple[Callable[[Entry], None], ...] = ()
        self._now = clock.REAL[0]
        self._find_loop: Callable[[], AbstractEventLoop | None] = self._find_first_loop
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

    def draft(self, driver: Driver, *, skip: int = 1, stack: Frames | None = None) -> Entry:
        """Who is about to connect, in this thread or task: an entry, for `opened` to complete.

        `skip` frames of hooks are left out of its stack. Noting it afterwards costs several times as much: a processor
        that waited for the server has forgotten the stack, and most of the interpreter.
        """
        task = loop_ref = None
        if (loop := self._find_loop()) is not None:
            task, loop_ref = _name_of_task(loop), ref(loop)
        if stack is None:
            stack = take(skip=skip + 1)
        return Entry(driver, find_thread(), task, loop_ref, self._opening, stack)

    def expect(self, driver: Driver, *, skip: int = 1) -> Entry:
        """Draft the entry of what this thread or task opens next: for where no hook sees both ends."""
        entry = self.draft(driver, skip=skip + 1)
        self._expected.set(entry)
        return entry

    def find_expected(self) -> Entry | None:
        """The draft of what this thread or task opens now."""
        entry = self._expected.get()
        return entry if entry is not None and entry.connection is NOT_YET else None

    def opened(
        self, connection: object, driver: Driver, place: Place, backend_pid: int | None, entry: Entry | None = None
    ) -> Entry:
        """A connection is open. Without a draft of its own it is the expected one, or whoever calls the hook opened it.

        The processor has waited for the server until now, and all of this is new to it: each call costs microseconds.
        """
        if entry is None and (entry := self.find_expected()) is None:
            entry = self.draft(driver, skip=3)
        entry.driver, entry.place, entry.backend_pid = driver, place, backend_pid
        entry.opened, entry.connection = self._now(), ref(connection)
        key = id(connection)
        if self.open_now.setdefault(key, entry) is not entry:
            self._replace(key, entry)
        self.total += 1
        if (now := len(self.open_now)) > self.peak:
            self._peak_before, self._peak_by, self.peak = self.peak, key, now
        for listener in self._listeners:
            listener(entry)
        return entry

    def closed(self, connection: object) -> None:
        """A connection was closed; closing it again, or one that is not known, changes nothing."""
        entry = self.open_now.pop(id(connection), None)
        if entry is not None:
            entry.ended, entry.ending = self._now(), CLOSED  # as _end does, without one more call
            self._ended.append(entry)

    def collected(self, connection: object) -> bool:
        """A connection that was still open is being garbage-collected; whether while another test runs."""
        if entry := self.open_now.pop(id(connection), None):
            self._end(entry, CLOSED if _was_given_back_to_a_closed_pool(entry) else Ending.COLLECTED)
            with suppress(AttributeError):  # it was being taken apart
                entry.was_async = entry.driver.is_async(connection)
            return _test(entry.opening) != _test(self._opening)
        return False

    def belongs(self, connection: object, owner: Owner) -> None:
        """A pool has taken a connection as its own."""
        if entry := self.open_now.get(id(connection)):
            entry.owner = owner

    def taken(self, connection: object, slip: object = None, *, skip: int = 1) -> None:
        """A connection was taken from its pool. `skip` frames of hooks are left out of the stack; see Taking."""
        if entry := self.open_now.get(id(connection)):
            stack, handed_out = take(skip=skip + 1), None if slip is None else ref(slip)
            entry.taking = Taking(find_thread(), stack, self._opening, self._now(), handed_out)

    def given_back(self, connection: object, *, by_the_collector: bool = False) -> None:
        """A connection is idle in its pool again; `by_the_collector`: while garbage was collected, maybe as such."""
        if entry := self.open_now.get(id(connection)):
            if by_the_collector and entry.taking is not None and entry.taking.is_forgotten:
                forgotten = copy(entry)
                forgotten.ended, forgotten.ending = self._now(), Ending.COLLECTED
                self._forgotten.append(forgotten)
            entry.taking = None

    def forgotten(self, connection: object) -> None:
        """A pool ends a connection of its own; where nothing is left of what it handed out, nobody has closed it."""
        entry = self.open_now.get(id(connection))
        if entry is not None and entry.taking is not None and entry.taking.is_forgotten:
            self.collected(connection)

    def disown(self, connection: object) -> None:
        """Forget a connection that is not the application's (mintdb's own)."""
        if self.open_now.pop(id(connection), None):
            self.total -= 1
            if self._peak_by == id(connection):
                self.peak = self._peak_before

    # What is asked

    def find(self, connection: object) -> Entry | None:
        """The entry of an open connection."""
        return self.open_now.get(id(connection))

    def open_entries(self, database: str | None = None, *, port: int | None = None) -> list[Entry]:
        """What is open now, oldest first; `take_stock` first if the drivers are to be asked."""
        return [entry for entry in self.open_now.copy().values() if _leads_to(entry, database, port)]

    def ended_since(self, moment: float, database: str | None = None, *, port: int | None = None) -> list[Entry]:
        """What ended at or after `moment` (monotonic seconds), oldest first; the last 2,000 are remembered."""
        # copy() is one step; tuple() is not: its own growing may start the garbage collector in between.
        recent = takewhile(lambda entry: (entry.ended or 0.0) >= moment, reversed(self._ended.copy()))
        return [entry for entry in recent if _leads_to(entry, database, port)][::-1]

    def forgotten_since(self, moment: float, database: str | None = None, *, port: int | None = None) -> list[Entry]:
        """What a pool got back from the garbage collector alone at or after `moment`: each as an entry that ended then.

        The connection itself is open, and has an entry of its own.
        """
        return [e for e in self._forgotten.copy() if (e.ended or 0.0) >= moment and _leads_to(e, database, port)]

    def ended_backends(self, database: str, *, port: int | None = None) -> frozenset[int]:
        """The backends of what has ended: the server's side lives on until it next looks at its socket."""
        ended = (entry for entry in self._ended.copy() if _leads_to(entry, database, port))
        return frozenset(entry.backend_pid for entry in ended if entry.backend_pid is not None)

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
        self.open_now.clear()
        self._ended.clear()
        self._forgotten.clear()
        self.total = self.peak = 0

    def _find_first_loop(self) -> AbstractEventLoop | None:
        """As asyncio finds it, once asyncio is imported: from then on it is asked itself."""
        if (events := sys.modules.get("asyncio.events")) is None:
            return None
        self._find_loop = events._get_running_loop
        return self._find_loop()

    def _replace(self, key: int, entry: Entry) -> None:
        """An entry of the same id is of an object that is gone, and whose finalizer was not seen."""
        if (stale := self.open_now.pop(key, None)) is not None:
            self._end(stale, Ending.COLLECTED)
        self.open_now[key] = entry

    def _end_if_open(self, entry: Entry, ending: Ending) -> None:
        # A finalizer may have been faster; whoever removes the entry ends it.
        for key, other in self.open_now.copy().items():
            if other is entry and self.open_now.pop(key, None) is entry:
                self._end(entry, ending)

    def _end(self, entry: Entry, ending: Ending) -> None:
        entry.ended, entry.ending = self._now(), ending
        self._ended.append(entry)

    def _disown_all(self) -> None:
        self._listeners = ()
        self.clear()


class _Here(threading.local):
    """What this thread has been found to be."""

    known: ByThread | None = None


_here = _Here()


def find_thread() -> ByThread:
    """The thread that asks: a green one, too, where threads have become green since it was asked last."""
    known = _here.known
    if known is None or known.ident != threading.get_ident():
        thread = threading.current_thread()
        known = _here.known = ByThread(thread.name, thread.ident, ref(thread), find_start(thread))
    return known


def _leads_to(entry: Entry, database: str | None, port: int | None) -> bool:
    return (database is None or entry.database == database) and (port is None or entry.port == port)


def _was_given_back_to_a_closed_pool(entry: Entry) -> bool:
    """Whether the application has closed all there was, and the pool did the rest in its way."""
    pool: object = entry.owner and entry.owner.pool
    return entry.taking is None and isinstance(pool, Dropping) and pool.was_closed()


def _name_of_task(loop: AbstractEventLoop) -> str | None:
    task = sys.modules["asyncio.tasks"].current_task(loop)
    return None if task is None else str(task.get_name())


def _test(opening: Opening | None) -> str | None:
    return None if opening is None else opening.test


ledger = Ledger()
"""The one record of this process."""
