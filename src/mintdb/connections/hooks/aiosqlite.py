"""See aiosqlite's connections: each is a thread with a sqlite3 connection of its own, opened for a task elsewhere."""

from __future__ import annotations

import contextvars
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import wraps
from types import ModuleType
from typing import Any, cast

from mintdb.connections import files
from mintdb.connections.hooks import sqlite3
from mintdb.connections.hooks.collecting import teller, telling
from mintdb.connections.hooks.patch import Function, Moved, Patches, never_raises
from mintdb.connections.ledger import ledger
from mintdb.contract import Session

GOODBYE = 1.0  # seconds; its thread closes the connection when what it runs has ended

# aiosqlite's objects are `Any` here: mintdb is type-checked where it is not installed.


class Aiosqlite:
    """What the ledger asks of aiosqlite. It is connections.facts.Serverless."""

    name = "aiosqlite"

    def is_closed(self, connection: object) -> bool:
        aiosqlite = cast(Any, connection)
        inner = aiosqlite._connection
        return not aiosqlite._running or (inner is not None and sqlite3.is_closed(inner))

    def find_fileno(self, connection: object) -> int | None:
        return None

    def is_async(self, connection: object) -> bool:
        return True

    def query(self, connection: object, sql: str) -> Sequence[str | None] | None:
        return None

    def find_session(self, connection: object) -> Session | None:
        inner = cast(Any, connection)._connection
        return None if inner is None else sqlite3.find_session(inner)

    def writes_to_attached(self, connection: object, database: str) -> bool:
        """See connections.facts.Serverless. It belongs to a thread of its own."""
        return False

    def stop_reading(self, connection: object) -> None:
        """See connections.facts.Serverless. It belongs to a thread of its own."""

    def silence(self, connection: object) -> None:
        """Its thread sets the inner connection to None as it closes it: then nothing warns."""

    def finish(self, connection: object) -> None:
        aiosqlite = cast(Any, connection)
        with suppress(Exception):
            if aiosqlite._connection is not None:
                aiosqlite._connection.interrupt()
            aiosqlite.stop()
            aiosqlite._thread.join(GOODBYE)
            aiosqlite._connection = None
        ledger.closed(connection)


DRIVER = Aiosqlite()
_expect = never_raises("aiosqlite")(ledger.expect)


def install(aiosqlite: ModuleType) -> Callable[[], None]:
    """Hook the constructor, in which the task that opens the connection still runs."""
    connection = aiosqlite.Connection
    if not hasattr(connection, "stop"):
        raise Moved("aiosqlite.Connection has no stop(): 0.22 or newer is needed")
    patches = Patches()
    patches.replace(connection, "__init__", _init)
    patches.replace(connection, "__del__", telling(teller()))
    return patches.undo


def adopt(aiosqlite: ModuleType, thing: object) -> None:
    """Its inner connection is open already, and cannot be followed."""


def _init(original: Function) -> Function:
    @wraps(original)
    def __init__(self: Any, connector: Callable[[], Any], *args: Any, **kwargs: Any) -> None:  # Any: see above
        _expect(DRIVER)
        # The thread that connects has a context of its own: this one knows the task, and who wants the connection.
        context, me = contextvars.copy_context(), weakref.ref(self)
        if files.memory is not None:
            context.run(sqlite3.wanted.set, files.is_of_the_application())
        original(self, lambda: context.run(_connect, me, connector), *args, **kwargs)

    return __init__


def _connect(me: weakref.ref[object], connector: Callable[[], Any]) -> Any:  # Any: see above
    if (connection := me()) is None:
        return connector()
    carried = sqlite3.carrier.set((connection, DRIVER))
    del connection
    try:
        return connector()
    finally:
        sqlite3.carrier.reset(carried)  # the thread keeps its last function, and so this context, while it waits
