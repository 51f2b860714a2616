"""See psycopg2 connections, even where `connect` was bound before: it calls `psycopg2._connect`, which is replaced."""

from __future__ import annotations

import threading
from asyncio.events import _get_running_loop
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache, wraps
from importlib import import_module
from types import ModuleType
from typing import Any, cast
from weakref import ref

from mintdb.connections import gate
from mintdb.connections.facts import NOWHERE, Entry
from mintdb.connections.hooks.collecting import teller
from mintdb.connections.hooks.libpq import database_of, place_finder
from mintdb.connections.hooks.patch import Function, Moved, Patches, cannot_see, never_raises
from mintdb.connections.ledger import ledger
from mintdb.connections.shortage import explain_full_server

# The driver's objects are `Any` here: mintdb is type-checked where psycopg2 is not installed.


class Psycopg2:
    """What the ledger asks of psycopg2."""

    name = "psycopg2"

    def is_closed(self, connection: object) -> bool:
        return bool(cast(Any, connection).closed)

    def find_fileno(self, connection: object) -> int | None:
        return None if self.is_closed(connection) else int(cast(Any, connection).fileno())

    def is_async(self, connection: object) -> bool:
        return bool(cast(Any, connection).async_)

    def query(self, connection: object, sql: str) -> Sequence[str | None] | None:
        psycopg2 = cast(Any, connection)
        if psycopg2.async_ or psycopg2.info.transaction_status != 0:  # TRANSACTION_STATUS_IDLE
            return None
        if _may_be_in_use_elsewhere(connection):
            return None
        with _ASKING:
            return _ask(psycopg2, sql)

    def is_in_transaction(self, connection: object) -> bool:
        return cast(Any, connection).info.transaction_status in (1, 2, 3)  # active, in transaction, in error

    def find_login(self, connection: object) -> dict[str, str]:
        info = cast(Any, connection).info
        login = {"host": info.host, "port": str(info.port), "dbname": info.dbname, "user": info.user}
        return {**login, **({"password": info.password} if info.password else {})}

    def silence(self, connection: object) -> None:
        """It never warns."""

    def finish(self, connection: object) -> None:
        if not self.is_async(connection) or _get_running_loop() is None:
            cast(Any, connection).close()  # else the loop watches its descriptor, and sees that its socket was shut
        ledger.closed(connection)


_ASKING = threading.RLock()
"""Held while a connection is asked something, and while one is polled: `poll` takes no lock of the driver's.

A thread that waits for notifications would take the answer, and whoever has asked would wait for it for ever. Entered
twice where psycopg2 itself polls to wait for an answer (its wait callback).
"""


def _ask(connection: Any, sql: str) -> Sequence[str | None]:  # Any: see above
    # The driver's own classes: the application's may give rows as dicts, or count what it does.
    plain = import_module("psycopg2.extensions")
    autocommit = connection.autocommit
    connection.autocommit = True  # only this object's own flag: no BEGIN before the statements …
    try:
        with plain.cursor(connection) as cursor:
            cursor.execute(sql)
            row = cursor.fetchone() if cursor.description else None
            return [None if value is None else str(value) for value in row or ()]
    finally:
        if connection.info.transaction_status != 0:
            plain.connection.commit(connection)  # … but within a `with connection:` block there is one all the same
        connection.autocommit = autocommit


def _may_be_in_use_elsewhere(connection: object) -> bool:
    """Whether another living thread has it."""
    if not hasattr(connection, "_mintdb_polls_in_turn"):
        return threading.active_count() > 1  # a plain C object: whoever polls it does not wait for us
    entry = ledger.find(connection)
    if entry is None:
        return False
    holder = entry if entry.owner is None else entry.taking
    thread = None if holder is None else holder.thread_ref()
    return thread is not None and thread is not threading.current_thread() and thread.is_alive()


DRIVER = Psycopg2()
POLL_OK = 0  # psycopg2.extensions.POLL_OK


def install(psycopg2: ModuleType) -> Callable[[], None]:
    """Hook `psycopg2._connect`, into which every way to connect but `extensions.connection(dsn)` leads."""
    if "_connect" not in psycopg2.connect.__code__.co_names:
        raise Moved("psycopg2.connect no longer calls psycopg2._connect")
    plain, parse = psycopg2.extensions.connection, psycopg2.extensions.parse_dsn

    watched, place_of = _watched_class(plain), place_finder(parse)

    def hook(original: Function) -> Function:
        @wraps(original)
        def _connect(dsn: str, connection_factory: Function | None = None, **kwargs: Any) -> Any:  # Any: see Function
            if gate.keeper is not None:
                gate.keeper.wait(lambda: database_of(parse(dsn)))
            factory = watched if connection_factory is None else _watched(connection_factory)
            try:
                draft = ledger.draft(DRIVER)
                draft.place = place_of(dsn)
            except Exception as reason:  # noqa: BLE001  as in never_raises, without the cost of one more call
                cannot_see("psycopg2", reason)
                draft = None
            try:
                connection = original(dsn, connection_factory=factory, **kwargs)
            except Exception as error:
                _explain(error, NOWHERE if draft is None else draft.place)
                raise
            try:
                if connection.async_:
                    _follow(connection, draft)
                elif draft is None or draft.place is NOWHERE:
                    _opened(connection, draft)
                else:
                    ledger.opened(connection, DRIVER, draft.place, connection.get_backend_pid(), draft)
            except Exception as reason:  # noqa: BLE001  as above
                cannot_see("psycopg2", reason)
            return connection

        return _connect

    patches = Patches()
    patches.replace(psycopg2, "_connect", hook)
    return patches.undo


def adopt(psycopg2: ModuleType, thing: Any) -> None:  # Any: see above
    """Who opened it is not known, and its class cannot be exchanged: only asking it shows that it was closed."""
    if issubclass(type(thing), psycopg2.extensions.connection) and not thing.closed and thing.get_backend_pid():
        never_raises("psycopg2")(_opened)(thing, ledger.draft(DRIVER, stack=()))


_explain = never_raises("psycopg2")(explain_full_server)


def _opened(connection: Any, draft: Entry | None) -> None:  # Any: see above
    place = connection.info.host or "", int(connection.info.port or 0), connection.info.dbname or ""
    ledger.opened(connection, DRIVER, place, connection.get_backend_pid(), draft)


def _follow(connection: Any, draft: Entry | None) -> None:  # Any: see above
    """An asynchronous one is connected when its `poll` says so for the first time; later ones cost nothing more."""
    me, poll = cast(Callable[[], Any], ref(connection)), type(connection).poll

    def polling() -> Any:  # Any: see Function
        state = poll(connection := me())
        if state == POLL_OK:
            del connection.poll
            never_raises("psycopg2")(_opened)(connection, draft)
        return state

    connection.poll = polling


def _watched(factory: Function) -> Function:
    return _watched_class(factory) if isinstance(factory, type) else _made_by(factory)


@lru_cache(maxsize=64)
def _watched_class(base: Any) -> Any:  # Any: a class that is only known when it runs
    """The class that the application asked for, telling the ledger of its end."""

    tell, open_now, closed = teller(lambda connection: bool(connection.closed)), ledger.open_now, ledger.closed
    poll, end, finalizer = base.poll, base.close, getattr(base, "__del__", None)

    class Watched(base):  # type: ignore[misc]  # see above
        _mintdb_polls_in_turn = True

        def poll(self) -> Any:  # Any: see above
            with _ASKING:
                return poll(self)

        def close(self) -> None:
            end(self)
            closed(self)

        def __del__(self) -> None:
            if id(self) in open_now:
                tell(self)
            if finalizer is not None:
                finalizer(self)

    Watched.__name__, Watched.__qualname__, Watched.__module__ = base.__name__, base.__qualname__, base.__module__
    return Watched


def _made_by(factory: Function) -> Function:
    """A factory function makes what it likes: its class is exchanged where Python allows that."""

    @wraps(factory)
    def make(*args: Any, **kwargs: Any) -> Any:  # Any: see Function
        connection = factory(*args, **kwargs)
        with suppress(TypeError):  # a plain C object: the ledger asks it whether it is closed, and never sees when
            connection.__class__ = _watched_class(cast(Any, type(connection)))
        return connection

    return make
