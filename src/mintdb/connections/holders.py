"""What holds on to a connection: something made for the whole run, something that lives, or nothing that is found.

A wider fixture's value, a pool of a library that mintdb does not know, an application's own pool, a global, the main
thread's locals: all keep connections on purpose, and all can be reached from a fixture or from a module. A plain list
in a module may be a pool, and is where forgotten ones gather. A step is one walk over all objects: about a fifth of a
garbage collection.
"""

from __future__ import annotations

import gc
import sys
import threading
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from contextvars import copy_context
from enum import IntEnum
from types import FrameType, TracebackType
from typing import Any, TypeVar
from weakref import ref

from mintdb.connections.stack import is_library

STEPS = 10  # a peewee pool: connection, tuple, heap, attributes, database, module; an application's state adds some
STEPS_TAKEN = 14  # one that a session of SQLAlchemy's has taken is that many away from what keeps the session
BREADTH = 64  # objects looked for in one step: where it takes more, they are no connection's holders any more
GATHERINGS = (list, tuple, set, frozenset, deque)
RUNNING = (FrameType, TracebackType, BaseException)
# What belongs to the tests and to event loops is not made for the whole run, wherever it is kept …
MACHINERY = {
    *("_pytest", "pluggy", "xdist", "pytest_asyncio", "anyio", "hypothesis", "unittest", "mintdb"),
    *("asyncio", "_asyncio", "uvloop", "concurrent", "multiprocessing"),
}
# … but for what hands on only what was given to it: these belong to whoever keeps them.
HANDING_ON = {"Task", "TaskGroup", "Runner", "ThreadPoolExecutor", "Stash", "ExceptionInfo"}
OF_THE_RUN = {"Config", "Session", "PytestPluginManager"}  # pytest's own, to which suites attach what they like
BOOKKEEPING = {"sqlalchemy", "weakref"}  # these note every connection that is taken, whoever has it
LENDING = {"PoolConnectionHolder"}  # asyncpg's: it refers to what it has handed out

Key = TypeVar("Key")


class Hold(IntEnum):
    """The firmest hold on a connection that was found."""

    UNKNOWN = 0  # it may be garbage; or what runs now holds it: a frame, a task, a thread
    LIVING = 1  # it is no garbage
    GATHERED = 2  # a module's plain list has it: it may be a pool, or where forgotten ones gather
    LASTING = 3  # something made for the whole run keeps it
    WIDER = 4  # a wider fixture leads to it: that closes it, when it ends


def find_holds(
    things: Mapping[Key, object], *, locals_last: bool, are_taken: bool = False, by_what_ran: bool = False
) -> dict[Key, Hold]:
    """How firmly each of the things is held, by the same keys; a thread only if something keeps it beyond its end.

    `locals_last`: whether the thread that made them is one for the whole run. `are_taken`: their pool's own hold on
    them says nothing of who has them. `by_what_ran`: also by way of a kept exception, and the frames in which it was
    raised.
    """
    search = _Search(locals_last=locals_last, lending=LENDING if are_taken else (), by_what_ran=by_what_ran)
    for thing in things.values():
        search.start(thing)
    search.run(STEPS_TAKEN if are_taken else STEPS)
    return {key: search.firmest(id(thing)) for key, thing in things.items()}


class _Search:
    """From connections to what refers to them, step by step, until modules are reached."""

    def __init__(self, *, locals_last: bool, lending: Collection[str], by_what_ran: bool) -> None:
        self._locals_last, self._lending = locals_last, lending
        self._no_holders = () if by_what_ran else RUNNING
        # An id() goes on to mean the same object; and nothing else of ours may refer to what is looked for.
        self._alive: list[object] = []
        self._wanted: list[int] = []
        self._holders: dict[int, set[int]] = {}
        self._ends: dict[int, Hold] = {}
        if locals_last:
            self._ends = dict.fromkeys(map(id, copy_context().values()), Hold.LASTING)

    def start(self, thing: object) -> None:
        """Look for what holds a thing, too."""
        self._alive.append(thing)
        self._wanted.append(id(thing))

    def run(self, steps: int) -> None:
        """Step by step, until nobody is left to look for, or whatever was wanted is held for good."""
        level = self._alive.copy()
        for _ in range(steps):
            if not level or all(self.firmest(key) >= Hold.LASTING for key in self._wanted):
                break
            del level[BREADTH:]
            level = self._step(level)

    def _step(self, level: list[object]) -> list[object]:
        """Note who holds the objects of `level`; returns those whose own holders are to be looked for."""
        wanted, further = set(map(id, level)), []
        for holder in gc.get_referrers(*level):
            if holder is level or holder is self._alive:
                continue
            held = {id(one): one for one in gc.get_referents(holder) if id(one) in wanted}
            if not self._may_hold(holder, held.values()):
                continue
            if _is_root(holder):
                for key, one in held.items():
                    self._ends[key] = max(_hold(holder, one), self._ends.get(key, Hold.UNKNOWN))
                continue
            for key in _find_over(holder, held):
                self._ends[key] = max(Hold.GATHERED, self._ends.get(key, Hold.UNKNOWN))
                del held[key]
            for key, keeper in _find_keepers(holder, held):
                if not any(id(keeper) in holders for holders in self._holders.values()):
                    further.append(keeper)
                self._holders.setdefault(key, set()).add(id(keeper))
        self._alive += further
        return further

    def _may_hold(self, holder: object, held: Iterable[object]) -> bool:
        kind = type(holder)  # never isinstance(): that asks for `__class__`, which wakes other libraries' lazy objects
        if issubclass(kind, threading.local):
            return self._locals_last
        if _of(kind) in MACHINERY:
            return _is_root(holder) or kind.__name__ in HANDING_ON or any(map(_is_executor, held))
        if issubclass(kind, self._no_holders) or kind.__name__ in self._lending:
            return False
        return not _is_test_case(kind)

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


def _is_root(holder: Any) -> bool:  # Any: it is asked for its class alone
    """Whether it is a module's names, a class, which are modules' too, or what pytest keeps for more than a test."""
    kind = type(holder)
    if kind is dict:
        return "__spec__" in holder and "__loader__" in holder
    return issubclass(kind, type) or (_of(kind) == "_pytest" and kind.__name__ in {"FixtureDef", *OF_THE_RUN})


def _hold(root: Any, one: object) -> Hold:  # Any: a module's names, a class, or an object of pytest's
    if _of(type(root)) == "_pytest":
        return Hold.WIDER if getattr(root, "scope", None) != "function" else Hold.UNKNOWN
    if issubclass(type(root), type):
        lasts = "<locals>" not in root.__qualname__ and _of(root) not in MACHINERY | BOOKKEEPING
        return Hold.LASTING if lasts else Hold.UNKNOWN
    if root is vars(sys) and issubclass(type(one), RUNNING):
        return Hold.GATHERED  # the last exception that nobody caught: its frames do nothing more
    name, file = str(root.get("__name__")), root.get("__file__")
    is_for_the_run = name == "__main__" if file is None else not is_library(file)
    if not is_for_the_run or name.partition(".")[0] in MACHINERY | BOOKKEEPING:
        return Hold.LIVING
    return Hold.GATHERED if issubclass(type(one), GATHERINGS) else Hold.LASTING


def _find_keepers(holder: Any, held: Mapping[int, object]) -> Iterable[tuple[int, object]]:  # Any: see _hold
    """By id() of what it holds. A dictionary with weak keys keeps a value for as long as something keeps its key."""
    if type(holder) is not dict or type(next(iter(holder), None)) is not ref:
        return [(key, holder) for key in held]
    keys = [(id(value), key()) for key, value in holder.copy().items() if id(value) in held and type(key) is ref]
    # A threading.local's attributes belong to a dummy for each thread, which nothing that is found leads to.
    is_local = any(type(key).__name__ == "_localdummy" for _, key in keys)
    return [(value, holder if is_local else key) for value, key in keys if key is not None]


def _find_over(holder: Any, held: Mapping[int, object]) -> list[int]:  # Any: see _hold
    """By id(): what a dictionary has under tasks and threads that are over. Nobody asks for it: they gather there."""
    first = next(iter(holder), None) if type(holder) is dict else None
    if not (_is_task(first) or issubclass(type(first), threading.Thread)):
        return []
    return [id(value) for key, value in holder.copy().items() if id(value) in held and _is_over(key)]


def _is_over(key: Any) -> bool:  # Any: a task's class is asyncio's, or a loop's of another make
    if issubclass(type(key), threading.Thread):
        return not key.is_alive()
    return _is_task(key) and bool(key.done())


def _is_task(key: object) -> bool:
    tasks = sys.modules.get("asyncio")
    return tasks is not None and issubclass(type(key), tasks.Task)


def _is_executor(thing: object) -> bool:
    """Of an event loop, its executor alone outlives what it runs."""
    return type(thing).__name__ == "ThreadPoolExecutor"


def _of(kind: type) -> str:
    return str(kind.__module__).partition(".")[0]


def _is_test_case(kind: type) -> bool:
    case = getattr(sys.modules.get("unittest.case"), "TestCase", None)
    return case is not None and issubclass(kind, case)
