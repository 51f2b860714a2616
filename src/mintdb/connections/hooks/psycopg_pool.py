"""Know psycopg's own pools as owners of their connections: the stack of an opener is only a worker thread's."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial, wraps
from importlib import import_module
from types import ModuleType
from typing import Any

from mintdb import clock
from mintdb.connections import gate
from mintdb.connections.facts import Owner
from mintdb.connections.hooks.libpq import database_of
from mintdb.connections.hooks.likeness import likeness
from mintdb.connections.hooks.patch import Function, Patches, never_raises
from mintdb.connections.hooks.psycopg3 import DRIVER
from mintdb.connections.ledger import ledger
from mintdb.connections.pools import pools
from mintdb.connections.shortage import explain_dry_pool
from mintdb.connections.stack import Frames, take


class PsycopgPool:
    """What mintdb asks of a `ConnectionPool` or `AsyncConnectionPool`."""

    def __init__(self, pool: Any) -> None:  # Any: not type-checked against psycopg_pool
        self._pool = weakref.ref(pool)

    def is_alive(self) -> bool:
        pool = self._pool()
        return pool is not None and not pool.closed

    def was_closed(self) -> bool:
        """A connection that its worker had yet to reset when the pool was closed is dropped."""
        pool = self._pool()
        return pool is not None and bool(pool.closed)

    def is_dressed(self) -> bool:
        return getattr(self._pool(), "_configure", None) is not None

    def is_async(self) -> bool:
        pool = self._pool()
        return pool is not None and _is_async(pool)

    def find_url(self) -> str | None:
        conninfo = getattr(self._pool(), "conninfo", None)
        return conninfo if isinstance(conninfo, str) else None

    def find_likeness(self) -> object:
        pool = self._pool()
        return likeness(getattr(pool, "kwargs", None), getattr(pool, "_configure", None))

    def visit_idle(self, keep: Callable[[object], bool]) -> None:
        pool = self._pool()
        if pool is None or pool.closed:
            return
        for connection in _take_idle(pool):
            if keep(connection):
                pool._pool.append(connection) if _is_async(pool) else pool._add_to_pool(connection)
            else:
                _let_go(pool, connection)

    def write_off(self, connection: object, slip: object) -> None:
        pool = self._pool()
        if pool is not None and not pool.closed and not _is_async(pool):
            _let_go(pool, connection)

    def make_up(self) -> None:
        pool = self._pool()
        if pool is None or pool.closed or (_is_async(pool) and _is_at_work(pool)):
            return
        with nullcontext() if _is_async(pool) else pool._lock:
            _count_down(pool)


def _is_async(pool: Any) -> bool:  # Any: see PsycopgPool
    return not hasattr(pool._lock, "__enter__")


def _take_idle(pool: Any) -> list[Any]:  # Any: see PsycopgPool
    if _is_async(pool):
        return _take_idle_async(pool)
    with pool._lock:
        idle = list(pool._pool)
        pool._pool.clear()
    return idle


def _take_idle_async(pool: Any) -> list[Any]:  # Any: see PsycopgPool
    """What the pool's own loop could not be taking at this moment, since it does not run."""
    if _is_at_work(pool):
        return []
    idle = list(pool._pool)
    pool._pool.clear()
    return idle


def _let_go(pool: Any, connection: Any) -> None:  # Any: see PsycopgPool
    # Not drain(): that reconnects at once, into the database that is about to be renamed. One fewer is counted
    # instead, and the pool grows again when somebody asks it for a connection.
    DRIVER.finish(connection)
    with nullcontext() if _is_async(pool) else pool._lock:
        pool._nconns_min = min(pool._nconns_min, len(pool._pool))
        _count_down(pool)


def _count_down(pool: Any) -> None:  # Any: see PsycopgPool
    pool._nconns -= 1
    if pool._waiting and not _is_async(pool):  # it came while the connection was out of its sight
        pool._maybe_grow_pool()


def _is_at_work(pool: Any) -> bool:  # Any: see PsycopgPool
    return any(worker.get_loop().is_running() for worker in pool._workers)


def install(psycopg_pool: ModuleType) -> Callable[[], None]:
    """Hook the constructors, for the site, and the one method through which a pool connects."""
    patches = Patches()
    patches.replace(psycopg_pool.base.BasePool, "__init__", _init)
    patches.replace(psycopg_pool.ConnectionPool, "_connect", _connect)
    patches.replace(psycopg_pool.AsyncConnectionPool, "_connect", _connect_async)
    patches.replace(psycopg_pool.ConnectionPool, "_add_to_pool", _add_to_pool)
    patches.replace(psycopg_pool.AsyncConnectionPool, "_add_to_pool", _add_to_pool_async)
    timed_out = psycopg_pool.PoolTimeout
    patches.replace(psycopg_pool.ConnectionPool, "wait", partial(_wait, timed_out))
    patches.replace(psycopg_pool.AsyncConnectionPool, "wait", partial(_wait_async, timed_out))
    patches.replace(psycopg_pool.ConnectionPool, "getconn", partial(_getconn, timed_out))
    patches.replace(psycopg_pool.AsyncConnectionPool, "getconn", partial(_getconn_async, timed_out))
    for kind in (psycopg_pool.ConnectionPool, psycopg_pool.AsyncConnectionPool):
        patches.replace(kind, "putconn", _putconn)
    return patches.undo


def _init(original: Function) -> Function:
    @wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # Any: see Function
        original(self, *args, **kwargs)
        _made(self)

    return __init__


@never_raises("psycopg_pool")
def _made(pool: Any) -> None:  # Any: see PsycopgPool
    pools.add(pool, _owner(pool, take(skip=3)))


def _owner(pool: Any, stack: Frames) -> Owner:  # Any: see PsycopgPool
    return Owner("psycopg pool", pool.name, clock.monotonic(), ledger.opening, stack, PsycopgPool(pool))


def adopt(psycopg_pool: ModuleType, thing: Any) -> None:  # Any: see PsycopgPool
    """Where it was created is not known."""
    if issubclass(type(thing), psycopg_pool.base.BasePool) and pools.find(thing) is None:
        pools.add(thing, _owner(thing, ()))


def _connect(original: Function) -> Function:
    @wraps(original)
    def _connect(self: Any, *args: Any, **kwargs: Any) -> Any:  # Any: see Function
        connection = original(self, *args, **kwargs)
        _belongs(connection, self)
        return connection

    return _connect


def _connect_async(original: Function) -> Function:
    @wraps(original)
    async def _connect(self: Any, *args: Any, **kwargs: Any) -> Any:  # Any: see Function
        connection = await original(self, *args, **kwargs)
        _belongs(connection, self)
        return connection

    return _connect


def _getconn(timed_out: type[Exception], original: Function) -> Function:
    @wraps(original)
    def getconn(self: Any, *args: Any, **kwargs: Any) -> Any:  # Any: see Function
        try:
            connection = original(self, *args, **kwargs)
        except timed_out as error:
            _name_holders(error, self)
            raise
        _taken(connection)
        return connection

    return getconn


def _getconn_async(timed_out: type[Exception], original: Function) -> Function:
    @wraps(original)
    async def getconn(self: Any, *args: Any, **kwargs: Any) -> Any:  # Any: see Function
        try:
            connection = await original(self, *args, **kwargs)
        except timed_out as error:
            _name_holders(error, self)
            raise
        _taken(connection)
        return connection

    return getconn


@never_raises("psycopg_pool")
def _name_holders(error: Exception, pool: Any) -> None:  # Any: see PsycopgPool
    """Say who holds all that is allowed: the pool's worker was refused, and only logs that."""
    if gate.keeper is not None and (note := gate.keeper.find_note(lambda: _find_database(pool))):
        error.add_note(note)
    explain_dry_pool(error, pools.find(pool))


def _find_database(pool: Any) -> str:  # Any: see PsycopgPool
    given = pool.conninfo if isinstance(pool.conninfo, str) else ""  # a newer pool may be given what makes one
    return database_of(import_module("psycopg.conninfo").conninfo_to_dict(given))


@never_raises("psycopg_pool")
def _taken(connection: object) -> None:
    ledger.taken(connection, skip=3)


def _putconn(original: Function) -> Function:
    """Of a blocking or an asynchronous pool: what it returns is handed on."""

    @wraps(original)
    def putconn(self: Any, connection: Any) -> Any:  # Any: see Function
        ledger.given_back(connection)
        return original(self, connection)

    return putconn


def _add_to_pool(original: Function) -> Function:
    @wraps(original)
    def _add_to_pool(self: Any, connection: Any) -> None:  # Any: see Function
        if pools.keep_idle or self._waiting or self._closed:
            original(self, connection)
        else:
            _let_go(self, connection)

    return _add_to_pool


def _add_to_pool_async(original: Function) -> Function:
    @wraps(original)
    async def _add_to_pool(self: Any, connection: Any) -> None:  # Any: see Function
        if pools.keep_idle or self._waiting or self._closed:
            await original(self, connection)
        else:
            _let_go(self, connection)

    return _add_to_pool


def _wait(timed_out: type[Exception], original: Function) -> Function:
    """A pool that keeps nothing idle is never full: it is ready once it can connect."""

    @wraps(original)
    def wait(self: Any, timeout: float = 30.0) -> None:  # Any: see Function
        try:
            if pools.keep_idle:
                original(self, timeout)
                return
            with self.connection(timeout):
                return
        except timed_out as error:
            _name_holders(error, self)
            self.close()  # as psycopg's own does
            raise

    return wait


def _wait_async(timed_out: type[Exception], original: Function) -> Function:
    @wraps(original)
    async def wait(self: Any, timeout: float = 30.0) -> None:  # Any: see Function
        try:
            if pools.keep_idle:
                await original(self, timeout)
                return
            async with self.connection(timeout):
                return
        except timed_out as error:
            _name_holders(error, self)
            await self.close()
            raise

    return wait


@never_raises("psycopg_pool")
def _belongs(connection: Any, pool: Any) -> None:  # Any: see PsycopgPool
    if owner := pools.find(pool):
        ledger.belongs(connection, owner)
