"""What is known about a connection: facts without behaviour, and what a driver or a pool must be able to answer."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, runtime_checkable
from weakref import ref

from mintdb.connections.stack import Frames, Site, find_app_functions, find_app_site
from mintdb.contract import Session
from mintdb.facts import dataclass

if TYPE_CHECKING:
    import asyncio
    import threading


@dataclass(frozen=True)
class Opening:
    """What was going on when a connection was opened; a framework makes one and the ledger only keeps it.

    `scope` is that of the fixture, as pytest names it: anything but "function" is a wider fixture, whose connections
    may outlive a test. `test` is None outside of every test (import, collection, start-up). `fixtures` are those that
    the test uses, where any of them may be at work.
    """

    test: str | None = None
    phase: str | None = None
    fixture: str | None = None
    scope: str = "function"
    fixtures: tuple[str, ...] = ()

    def has_in_its_body(self, frames: Frames) -> bool:
        """Whether the application's line is the test's own, or its fixture's, and not of what they call."""
        test = (self.test or "").partition("[")[0].replace("::", ".").rpartition(".")[2]
        functions = find_app_functions(frames)  # a fixture's may bear the name of an application's method
        return not {test, self.fixture}.isdisjoint(functions) or not {*self.fixtures}.isdisjoint(functions[:1])


class Ending(StrEnum):
    """How a connection ended."""

    CLOSED = "closed"
    COLLECTED = "collected"  # by the garbage collector, without a close


class Driver(Protocol):
    """What the ledger asks of a driver. Every method takes that driver's own connection object."""

    @property
    def name(self) -> str: ...

    def is_closed(self, connection: object) -> bool:
        """Whether the connection has ended, for whatever reason."""

    def find_fileno(self, connection: object) -> int | None:
        """The socket's descriptor, if it still has one."""

    def is_async(self, connection: object) -> bool:
        """Whether it belongs to the event loop that it was opened on."""

    def query(self, connection: object, sql: str) -> Sequence[str | None] | None:
        """Run statements on an idle blocking connection that nobody else can be using, in no transaction of their own.

        Returns the last statement's first row as text; None if this cannot be done now.
        """

    def silence(self, connection: object) -> None:
        """Let a connection that was ended from outside be collected without a warning; safe while it is in use."""

    def finish(self, connection: object) -> None:
        """Close an idle connection, from the thread or event loop it belongs to, or where that loop does not run.

        Never waits for a server, and leaves nothing behind that warns when it is collected.
        """


@runtime_checkable
class Serverless(Protocol):
    """A driver of an engine without a server: what a session does, only its connection knows."""

    def find_session(self, connection: object) -> Session | None:
        """The session as its connection sees it; asked from any thread. None: the connection is closed."""

    def writes_to_attached(self, connection: object, database: str) -> bool:
        """Whether it is in a transaction, and has attached `database` to the one that it was opened on.

        False where that is not known: only its own thread may ask.
        """

    def stop_reading(self, connection: object) -> None:
        """Let go of what was read half: its lock would outlive a close. Called in the connection's own thread."""


@runtime_checkable
class SpeaksMysql(Protocol):
    """A driver of MariaDB and MySQL, whose sessions keep other things than PostgreSQL's do."""

    def ask(self, connection: object, statement: str) -> Sequence[Sequence[object]] | None:
        """Run one statement, under the conditions of `Driver.query`; all rows."""


@runtime_checkable
class TellsTransaction(Protocol):
    """A driver that knows, without asking its server, whether a connection is in a transaction."""

    def is_in_transaction(self, connection: object) -> bool: ...


@runtime_checkable
class RollsBack(Protocol):
    """A driver whose connections belong to an event loop, and can be rolled back while that stands still."""

    def roll_back(self, connection: object) -> None:
        """Called in the loop's own thread; raises where the driver would lose count of its own transactions."""


class Pool(Protocol):
    """What mintdb asks of a pool that owns connections."""

    def is_alive(self) -> bool:
        """Whether the pool still exists and is open."""

    def is_dressed(self) -> bool:
        """Whether the application does something to each new connection (a connect event, a configure callback)."""

    def is_async(self) -> bool:
        """Whether it serves event loops: code that blocks cannot share it."""

    def find_url(self) -> str | None:
        """Where its connections lead, as the driver was told; None: not known, or it keeps none."""

    def find_likeness(self) -> object:
        """What two pools of one URL have in common if they can stand for each other: hashable, and compared only."""

    def visit_idle(self, keep: Callable[[object], bool]) -> None:
        """Show each idle driver connection to `keep` while nobody else can take it; close it if that returns False.

        The pool works on afterwards and reconnects when it needs to.
        """

    def write_off(self, connection: object, slip: object) -> None:
        """Close an idle connection that was taken and will not come back, and count one fewer in use.

        `slip` is what the pool has handed out, if that is still there.
        """


@runtime_checkable
class Counting(Protocol):
    """A pool that only counts what is out, and never hears that it was garbage-collected."""

    def make_up(self) -> None:
        """Count one fewer: another may be opened in its place."""


@runtime_checkable
class Dropping(Protocol):
    """A pool that, once it is closed, leaves to the garbage collector what it has just been given back."""

    def was_closed(self) -> bool:
        """Whether somebody closed it, and it is still there; a finalizer asks."""


@runtime_checkable
class Lender(Protocol):
    """A pool that goes on referring to what it has handed out: nothing of that is ever collected."""

    def has_lost(self, connection: object) -> bool:
        """Whether a connection that is out can never come back, for nobody but the pool refers to it any more."""


@dataclass(frozen=True, eq=False)
class Owner:
    """A pool or framework alias that connections belong to, and where it was created."""

    kind: str  # "SQLAlchemy engine", "psycopg pool", "asyncpg pool", "Django alias"
    name: str
    created: float  # seconds, monotonic
    opening: Opening | None
    stack: Frames
    pool: Pool | None = None

    @cached_property
    def site(self) -> Site | None:
        """The application's line that created it."""
        return find_app_site(self.stack)


@dataclass(frozen=True)
class Start:
    """When a thread was started, what was going on, and where; what a thread starts, has the first two of its own."""

    moment: float  # seconds, monotonic
    opening: Opening | None
    stack: Frames = ()

    @property
    def site(self) -> Site | None:
        """The application's line that started it."""
        return find_app_site(self.stack)


@dataclass(frozen=True)
class ByThread:
    """Which thread it was: one object for all that a thread does."""

    first_name: str  # what it was called when it was first seen
    ident: int | None
    ref: ref[threading.Thread]
    start: Start | None = None  # where that was seen


class _Done:
    """What was done by a thread."""

    by: ByThread

    @property
    def thread(self) -> str:
        thread = self.by.ref()
        return self.by.first_name if thread is None else thread.name

    @property
    def thread_ident(self) -> int | None:
        return self.by.ident

    @property
    def thread_ref(self) -> ref[threading.Thread]:
        return self.by.ref


@dataclass(frozen=True)
class Taking(_Done):
    """Where a connection was last taken from its pool; it is forgotten when the connection is given back."""

    by: ByThread
    stack: Frames
    opening: Opening | None
    moment: float  # seconds, monotonic
    slip: ref[object] | None  # what the pool handed out, where that is more than the connection

    @property
    def site(self) -> Site | None:
        """The application's line that took it."""
        return find_app_site(self.stack)

    @property
    def is_forgotten(self) -> bool:
        """Whether nothing is left of what the pool handed out."""
        return self.slip is not None and self.slip() is None

    def is_of_a_test(self, since: float, older_threads: Collection[int]) -> bool:
        """Whether the test that began at `since` took it, and no wider fixture or thread of before."""
        if self.moment < since or (self.opening is not None and self.opening.scope != "function"):
            return False
        return self.thread == "MainThread" or self.thread_ident not in older_threads


Place = tuple[str, int, str]
"""Host, port and name of a database."""

NOWHERE: Place = "", 0, ""


class _Connection:
    """Anything that takes weak references."""


NOT_YET = ref[object](_Connection())
"""In place of a connection that is not open yet."""


@dataclass(eq=False)
class Entry(_Done):
    """One connection, from who asks for it to its end.

    What stands before `place` is noted before it is open; what stands before `owner` never changes after that. From
    `place` on, the class has what an entry does not have of its own: to assign it all would cost twice as much.
    """

    driver: Driver
    by: ByThread
    task: str | None
    loop_ref: ref[asyncio.AbstractEventLoop] | None
    opening: Opening | None
    stack: Frames
    place: Place = field(default=NOWHERE, init=False)
    backend_pid: int | None = field(default=None, init=False)
    opened: float = field(default=0.0, init=False)  # seconds, monotonic
    connection: ref[object] = field(default=NOT_YET, init=False)
    owner: Owner | None = field(default=None, init=False)
    alias: str | None = field(default=None, init=False)  # of Django
    taking: Taking | None = field(default=None, init=False)  # None: idle in its pool, or of no pool
    ended: float | None = field(default=None, init=False)  # seconds, monotonic
    ending: Ending | None = field(default=None, init=False)
    baseline: object = field(default=None, init=False)  # the session state to return to; only `state` reads it
    was_async: bool = field(default=False, init=False)  # if collected: whether it was an event loop's
    told: bool = field(default=False, init=False)  # it has been said, or need not be

    @property
    def host(self) -> str:
        return self.place[0]

    @property
    def port(self) -> int:
        return self.place[1]

    @property
    def database(self) -> str:
        return self.place[2]

    @property
    def site(self) -> Site | None:
        """The application's line that opened it."""
        return find_app_site(self.stack)

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop that ran when it was opened; a blocking driver may well have been called from one."""
        return None if self.loop_ref is None else self.loop_ref()

    @property
    def is_open(self) -> bool:
        return self.ended is None

    @property
    def task_is_alive(self) -> bool:
        """Whether its event loop still has a task of that name."""
        loop = self.loop
        if self.task is None or loop is None or loop.is_closed():
            return False
        # An event loop that runs in another thread makes and ends tasks meanwhile: a copy is taken, and tried again.
        return any(task.get_name() == self.task for task in sys.modules["asyncio.tasks"].all_tasks(loop))
