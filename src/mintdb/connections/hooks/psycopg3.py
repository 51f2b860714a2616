"""See psycopg 3 connections, sync and async, whatever class or name they are opened through; not raw `pq.PGconn`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import wraps
from types import ModuleType
from typing import Any, cast

from mintdb.connections import gate
from mintdb.connections.facts import NOWHERE, Place
from mintdb.connections.hooks.collecting import teller, telling
from mintdb.connections.hooks.libpq import database_of, place_finder
from mintdb.connections.hooks.patch import Function, Patches, cannot_see, never_raises
from mintdb.connections.ledger import ledger
from mintdb.connections.shortage import explain_full_server

# The driver's objects are `Any` here: mintdb is type-checked where psycopg is not installed.


class Psycopg3:
    """What the ledger asks of psycopg 3."""

    name = "psycopg"

    def is_closed(self, connection: object) -> bool:
        return bool(cast(Any, connection).closed)

    def find_fileno(self, connection: object) -> int | None:
        return None if self.is_closed(connection) else int(cast(Any, connection).pgconn.socket)

    def is_async(self, connection: object) -> bool:
        return isinstance(cast(Any, connection).lock, asyncio.Lock)

    def query(self, connection: object, sql: str) -> Sequence[str | None] | None:
        lock, pgconn = cast(Any, connection).lock, cast(Any, connection).pgconn
        if self.is_async(connection) or not lock.acquire(blocking=False):
            return None
        try:
            # libpq's own exec: no BEGIN, no prepared statement, nothing that the connection object remembers.
            if pgconn.transaction_status != 0:  # PQTRANS_IDLE
                return None
            result = pgconn.exec_(sql.encode())
            return _first_row(result) if result.status in (1, 2) else None  # PGRES_COMMAND_OK, PGRES_TUPLES_OK
        finally:
            lock.release()

    def is_in_transaction(self, connection: object) -> bool:
        return cast(Any, connection).pgconn.transaction_status in (1, 2, 3)  # active, in transaction, in error

    def roll_back(self, connection: object) -> None:
        psycopg = cast(Any, connection)
        if psycopg.lock.locked() or psycopg._num_transactions:
            raise RuntimeError("a block of the driver's, or a task that waits, has it")
        psycopg.pgconn.exec_(b"rollback")

    def find_login(self, connection: object) -> dict[str, str]:
        given = [option for option in cast(Any, connection).pgconn.info if option.val and option.dispchar != b"D"]
        return {option.keyword.decode(): option.val.decode() for option in given}  # without what is for debugging only

    def silence(self, connection: object) -> None:
        # Its finalizer does not warn of a connection that a pool has had.
        if not hasattr(connection, "_pool"):
            cast(Any, connection)._pool = None

    def finish(self, connection: object) -> None:
        # What close() does, sync and async alike, when no pool wants the connection back.
        cast(Any, connection)._closed = True
        cast(Any, connection).pgconn.finish()
        ledger.closed(connection)


def _first_row(result: Any) -> list[str | None]:  # Any: see above
    if not result.ntuples:
        return []
    values = (result.get_value(0, column) for column in range(result.nfields))
    return [None if value is None else value.decode() for value in values]


DRIVER = Psycopg3()


def install(psycopg: ModuleType) -> Callable[[], None]:
    """Hook the class from which every connection class inherits; classes that were imported early are the same ones."""
    patches = Patches()
    place_of = place_finder(psycopg.conninfo.conninfo_to_dict)
    patches.replace(psycopg.BaseConnection, "_connect_gen", lambda original: _connect_gen(original, place_of))
    patches.replace(psycopg.BaseConnection, "__del__", telling(teller(_is_closed)))
    patches.replace(psycopg.Connection, "close", _close)
    patches.replace(psycopg.AsyncConnection, "close", _close_async)
    # `connect` itself may have been bound early; these it looks up each time, with all its parameters put together.
    patches.replace(psycopg.connection, "conninfo_attempts", _attempts)
    patches.replace(psycopg.connection_async, "conninfo_attempts_async", _attempts_async)
    return patches.undo


def _connect_gen(original: Any, place_of: Callable[[str], Place]) -> Any:  # Any: a class method, of a generator
    @classmethod  # type: ignore[misc]  # of the class that it will be put into
    @wraps(original.__func__)
    def _connect_gen(cls: Any, conninfo: str = "", **kwargs: Any) -> Any:  # Any: see Function
        draft, connecting = None, original.__get__(None, cls)(conninfo, **kwargs)
        try:
            wanted = next(connecting)
            try:
                # The server has been called, and makes a process: what we do in that time keeps nobody waiting.
                draft = ledger.draft(DRIVER)
                draft.place = place_of(conninfo)
            except Exception as reason:  # noqa: BLE001  as in never_raises, without the cost of one more call
                cannot_see("psycopg", reason)
            while True:
                wanted = connecting.send((yield wanted))
        except StopIteration as done:
            connection = done.value
        except Exception as error:
            _explain(error, NOWHERE if draft is None else draft.place)
            raise
        try:
            place = _place(connection.pgconn) if draft is None or draft.place is NOWHERE else draft.place
            ledger.opened(connection, DRIVER, place, connection.pgconn.backend_pid, draft)
        except Exception as reason:  # noqa: BLE001  as above
            cannot_see("psycopg", reason)
        return connection

    return _connect_gen


_explain = never_raises("psycopg")(explain_full_server)


def _place(pgconn: Any) -> Place:  # Any: see above
    return pgconn.host.decode(), int(pgconn.port or 0), pgconn.db.decode()


def _is_closed(connection: Any) -> bool:  # Any: see Function
    """One that was never connected has no `pgconn`; another the server may have ended long ago."""
    return getattr(connection, "pgconn", None) is None or bool(connection.closed)


def _close(original: Function) -> Function:
    @wraps(original)
    def close(self: Any) -> None:  # Any: see Function
        original(self)
        if self.closed:  # a pool may have taken it back instead
            ledger.closed(self)

    return close


def _close_async(original: Function) -> Function:
    @wraps(original)
    async def close(self: Any) -> None:  # Any: see Function
        await original(self)
        if self.closed:
            ledger.closed(self)

    return close


def _attempts(original: Function) -> Function:
    @wraps(original)
    def conninfo_attempts(params: Any) -> Any:  # Any: see Function
        if gate.keeper is not None:
            gate.keeper.wait(lambda: database_of(params))
        return original(params)

    return conninfo_attempts


def _attempts_async(original: Function) -> Function:
    @wraps(original)
    async def conninfo_attempts_async(params: Any) -> Any:  # Any: see Function
        if gate.keeper is not None:
            await gate.keeper.wait_async(lambda: database_of(params))
        return await original(params)

    return conninfo_attempts_async


def adopt(psycopg: ModuleType, thing: Any) -> None:  # Any: see above
    """Who opened it is not known."""
    if issubclass(type(thing), psycopg.BaseConnection) and not thing.closed:
        _adopt(thing, thing.pgconn)


@never_raises("psycopg")
def _adopt(connection: Any, pgconn: Any) -> None:  # Any: see above
    ledger.opened(connection, DRIVER, _place(pgconn), pgconn.backend_pid, ledger.draft(DRIVER, stack=()))
