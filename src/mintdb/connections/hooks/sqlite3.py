"""See connections to mintdb's SQLite files, and lead the application's in-memory databases to one of them.

Whoever opens another file for its own ends is passed on without a trace: `sqlite3.connect` is what coverage, Hypothesis
and many others keep their own things in.
"""

from __future__ import annotations

import gc
import os
import sys
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import ContextVar
from functools import lru_cache, wraps
from types import ModuleType
from typing import Any, cast

from mintdb.connections import files, gate
from mintdb.connections.facts import Driver, Entry
from mintdb.connections.hooks.collecting import teller
from mintdb.connections.hooks.patch import Function, Moved, Patches, never_raises
from mintdb.connections.ledger import ledger
from mintdb.contract import Session

NAMES = ("sqlite3", "sqlite3.dbapi2")
FACTORY = 5  # place of `factory` among connect's positional arguments
NO_ROWS = "select null where false"
IDLE, BUSY = "idle", "idle in transaction"

carrier: ContextVar[tuple[object, Driver] | None] = ContextVar("mintdb_sqlite_carrier", default=None)
"""A connection of another driver, for which a connection is being opened; that driver's entry is the one to keep."""

wanted: ContextVar[bool | None] = ContextVar("mintdb_sqlite_wanted", default=None)
"""Whether the application asks for it, where that was found out in another thread; None: the stack tells."""

# sqlite3's objects are `Any` here: what `connect` returns is of whatever class the application asks for.


class Sqlite3:
    """What the ledger asks of sqlite3. It is connections.facts.Serverless: there is nobody else to ask."""

    name = "sqlite3"

    def is_closed(self, connection: object) -> bool:
        return is_closed(connection)

    def find_fileno(self, connection: object) -> int | None:
        return None

    def is_async(self, connection: object) -> bool:
        return False

    def query(self, connection: object, sql: str) -> Sequence[str | None] | None:
        return None

    def find_session(self, connection: object) -> Session | None:
        return find_session(connection)

    def writes_to_attached(self, connection: object, database: str) -> bool:
        """See connections.facts.Serverless."""
        sqlite = cast(Any, connection)
        with suppress(Exception):  # it is closed, or of another thread, or is denied to ask
            if sqlite.in_transaction:
                cursor = sys.modules["sqlite3"].Cursor(connection)
                cursor.row_factory = None  # the application's makes of a row what it likes
                attached = cursor.execute("pragma database_list").fetchall()
                return any(files.known_as(os.fsdecode(file)) == database for _, _, file in attached if file)
        return False

    def stop_reading(self, connection: object) -> None:
        """See connections.facts.Serverless. Only its cursor can let go of a SELECT: by running another one."""
        plain = sys.modules["sqlite3"].Cursor
        for cursor in (found for found in gc.get_referrers(connection) if issubclass(type(found), plain)):
            with suppress(Exception):  # it is closed, or of another thread's connection
                plain.execute(cursor, NO_ROWS)

    def silence(self, connection: object) -> None:
        """Python 3.13 warns of one that is collected; closing it is all that can be done."""

    def finish(self, connection: object) -> None:
        self.stop_reading(connection)
        with suppress(Exception):  # ProgrammingError: only the thread that opened it may close it
            cast(Any, connection).interrupt()
            cast(Any, connection).close()


def is_closed(connection: Any) -> bool:  # Any: see above
    """Asked in any thread: the number of changes is no business of the thread that opened it."""
    try:
        connection.total_changes  # noqa: B018  asking is what raises
    except Exception:  # noqa: BLE001  ProgrammingError, of whatever module the class is from
        return True
    return False


def find_session(connection: Any) -> Session | None:  # Any: see above
    """What the connection says of itself; None if it is closed."""
    if is_closed(connection):
        return None
    state = BUSY if connection.in_transaction else IDLE
    return Session(0, state, None, None, None, None, None)


DRIVER = Sqlite3()


def install(sqlite3: ModuleType) -> Callable[[], None]:
    """Replace `connect` wherever it has been bound to a module's name."""
    original = sqlite3.connect
    if not callable(original) or not hasattr(sqlite3, "Connection"):
        raise Moved("sqlite3 has no connect")
    replacement = _watching(original, sqlite3.Connection)
    patches = Patches()
    for name, module in list(sys.modules.items()):
        if name != "_sqlite3" and isinstance(module, ModuleType):
            for attribute in [a for a, value in list(vars(module).items()) if value is original]:
                patches.replace(module, attribute, lambda _: replacement)
    return patches.undo


def adopt(sqlite3: ModuleType, thing: object) -> None:
    """A connection that is open already cannot be followed: its class takes no weak references."""


def _watching(original: Function, plain: type) -> Function:
    @wraps(original)
    def connect(database: Any, *args: Any, **kwargs: Any) -> Any:  # Any: as sqlite3 takes them
        carried = carrier.get()
        path = _find_path(database)
        if path is None:
            return original(database, *args, **kwargs)
        if gate.keeper is not None:
            gate.keeper.wait(lambda: path)
        draft = _draft(DRIVER) if carried is None else None
        args, kwargs = _with_factory(args, kwargs, plain)
        connection = original(path if files.is_memory(_text(database)) else database, *args, **kwargs)
        _opened(connection, path, carried, draft)
        return connection

    return connect


_draft = never_raises("sqlite3")(ledger.draft)


def _text(database: Any) -> str:  # Any: a path of any kind
    return os.fsdecode(database)


def _find_path(database: Any) -> str | None:  # Any: see above
    """The file to open and to account for; None for what is nobody's business."""
    try:
        name = _text(database)
    except TypeError:
        return None  # sqlite3 says so better
    if files.is_memory(name):
        return files.memory if _is_wanted() else None
    if not name:
        return None  # a temporary database
    path = files.path_of(name) if files.memory is None else files.known_as(files.path_of(name))
    return path if files.is_ours(path) or _is_wanted() else None


def _is_wanted() -> bool:
    if files.memory is None:
        return False
    found_out = wanted.get()
    return files.is_of_the_application(skip=3) if found_out is None else found_out


def _with_factory(args: tuple[Any, ...], kwargs: dict[str, Any], plain: type) -> tuple[Any, Any]:  # Any: see above
    """The arguments with a factory of ours, which makes what the application's factory would."""
    if len(args) >= FACTORY:
        factory = _watched(args[FACTORY - 1])
        return (*args[: FACTORY - 1], factory, *args[FACTORY:]), kwargs
    return args, {**kwargs, "factory": _watched(kwargs.get("factory", plain))}


def _watched(factory: Any) -> Any:  # Any: see above
    return _watched_class(factory) if isinstance(factory, type) else factory


@lru_cache(maxsize=64)
def _watched_class(base: Any) -> Any:  # Any: a class that is only known when it runs
    """The class that the application asked for, telling the ledger of its end."""

    tell, subject = teller(), _subject

    class Watched(base):  # type: ignore[misc]  # see above
        _mintdb_subject: Any = None  # the carrying connection, weakly  # Any: of any driver

        def close(self) -> None:
            super().close()
            ledger.closed(_subject(self))

        def __del__(self) -> None:
            tell(subject(self))
            finalizer = getattr(super(), "__del__", None)
            if finalizer is not None:
                finalizer()

    Watched.__name__, Watched.__qualname__, Watched.__module__ = base.__name__, base.__qualname__, base.__module__
    return Watched


def _subject(connection: Any) -> object:  # Any: see above
    subject = connection._mintdb_subject
    return connection if subject is None else subject()


@never_raises("sqlite3")
def _opened(
    connection: Any, path: str, carried: tuple[object, Driver] | None, draft: Entry | None
) -> None:  # Any: see above
    subject, driver = carried or (connection, DRIVER)
    if carried is not None:
        connection._mintdb_subject = weakref.ref(subject)
    ledger.opened(subject, driver, ("", 0, path), None, draft)
