"""What holds on to a connection: something made for the whole run, something that lives, or nothing that is found.

A pool of a library that mintdb does not know, an application's own pool, a global, the main thread's locals: all keep
connections on purpose, and all can be reached from a module. A plain list in a module is where forgotten ones gather.
A step is one walk over all objects: about a fifth of a garbage collection.
"""

from __future__ import annotations

import gc
import sys
import threading
from collections import deque
from collections.abc import Iterable
from contextvars import copy_context
from enum import IntEnum
from types import AsyncGeneratorType, CoroutineType, FrameType, GeneratorType, TracebackType
from typing import Any

from mintdb.connections.facts import Entry
from mintdb.connections.stack import is_library

STEPS = 10  # a peewee pool: connection, tuple, heap, attributes, database, module; an application's state adds some
BREADTH = 64  # objects looked for in one step: where it takes more, they are no connection's holders any more
GATHERINGS = (list, tuple, set, frozenset, deque)
RUNNING = (
    *(FrameType, TracebackType, BaseException, threading.Thread),
    *(GeneratorType, CoroutineType, AsyncGeneratorType),
)
# What belongs to the tests and to event loops is not made for the whole run, wherever it is kept.
MACHINERY = {
    *("pytest", "_pytest", "pluggy", "xdist", "pytest_asyncio", "anyio", "hypothesis", "unittest", "mintdb"),
    *("asyncio", "_asyncio", "uvloop", "concurrent", "multiprocessing"),
}


class Hold(IntEnum):
    """The firmest hold on a connection that was found."""

    UNKNOWN = 0  # it may be garbage; or what runs now holds it: a frame, a task, a thread
    LIVING = 1  # it is no garbage
    LASTING = 2  # something made for the whole run keeps it


def find_holds(entries: Iterable[Entry], *, locals_last: bool) -> dict[int, Hold]:
    """How firmly each entry's connection is held, by id() of the entry; not of what is gone.

    `locals_last`: whether the thread that opened them is one for the whole run.
    """
    search = _Search(locals_last=locals_last)
    keys = {id(entry): search.start(entry.connection()) for entry in entries}
    search.run()
    return {entry: search.firmest(key) for entry, key in keys.items() if key is not None}


class _Search:
    """From connections to what refers to them, step by step, until modules are reached."""

    def __init__(self, *, locals_last: bool) -> None:
        self._locals_last = locals_last
        # An id() goes on to mean the same object; and nothing else of ours may refer to what is looked for.
        self._alive: list[object] = []
        self._wanted: list[int] = []
        self._holders: dict[int, set[int]] = {}
        self._ends: dict[int, Hold] = {}
        if locals_last:
            self._ends = dict.fromkeys(map(id, copy_context().values()), Hold.LASTING)

    def start(self, connection: object) -> int | None:
        """Look for what holds a connection, too."""
        if connection is None:
            return None
        self._alive.append(connection)
        self._wanted.append(id(connection))
        return id(connection)

    def run(self) -> None:
        """Step by step, until nobody is left to look for, or whatever was wanted is held for good."""
        level = self._alive.copy()
        for _ in range(STEPS):
            if not level or all(self.firmest(key) is Hold.LASTING for key in self._wanted):
                break
            del level[BREADTH:]
            level = self._step(level)

    def _step(self, level: list[object]) -> list[object]:
        """Note who holds the objects of `level`; returns those whose own holders are to be looked for."""
        wanted, further = set(map(id, level)), []
        for holder in gc.get_referrers(*level):
            if holder is level or holder is self._alive or not self._may_hold(holder):
                continue
            held = {id(one): one for one in gc.get_referents(holder) if id(one) in wanted}
            if _is_root(holder):
                for key, one in held.items():
                    self._ends[key] = max(_hold(holder, one), self._ends.get(key, Hold.UNKNOWN))
                continue
            if not any(id(holder) in holders for holders in self._holders.values()):
                further.append(holder)
            for key in held:
                self._holders.setdefault(key, set()).add(id(holder))
        self._alive += further
        return further

    def _may_hold(self, holder: object) -> bool:
        kind = type(holder)  # never isinstance(): that asks for `__class__`, which wakes other libraries' lazy objects
        if issubclass(kind, threading.local):
            return self._locals_last
        return not issubclass(kind, RUNNING) and _of(kind) not in MACHINERY and not _is_test_case(kind)

    def firmest(self, key: int) -> Hold:
        """The firmest hold of all that lead to what has this id()."""
        todo, seen, found = [key], set[int](), Hold.UNKNOWN
        while todo:
            key = todo.pop()
            if key not in seen:
                seen.add(key)
                todo += self._holders.get(key, ())
                found = max(found, self._ends.get(key, found))
        return found


def _is_root(holder: object) -> bool:
    """Whether it is a module's names, or a class, which are modules' too."""
    if type(holder) is dict:
        return "__spec__" in holder and "__loader__" in holder
    return issubclass(type(holder), type)


def _hold(root: Any, one: object) -> Hold:  # Any: a module's names, or a class
    if issubclass(type(root), type):
        lasts = "<locals>" not in root.__qualname__ and _of(root) not in MACHINERY
        return Hold.LASTING if lasts else Hold.UNKNOWN
    name, file = str(root.get("__name__")), root.get("__file__")
    is_for_the_run = name == "__main__" if file is None else not is_library(file)
    if issubclass(type(one), GATHERINGS) or not is_for_the_run or name.partition(".")[0] in MACHINERY:
        return Hold.LIVING
    return Hold.LASTING


def _of(kind: type) -> str:
    return str(kind.__module__).partition(".")[0]


def _is_test_case(kind: type) -> bool:
    case = getattr(sys.modules.get("unittest.case"), "TestCase", None)
    return case is not None and issubclass(kind, case)
