"""See asyncpg connections, and know its pools as their owners."""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from asyncio.events import _get_running_loop
from collections.abc import Callable, Sequence
from functools import wraps
from types import ModuleType, coroutine
from typing import Any, cast

from mintdb import clock
from mintdb.connections import gate
from mintdb.connections.facts import Entry, Owner
from mintdb.connections.hooks.collecting import teller, telling
from mintdb.connections.hooks.likeness import likeness
from mintdb.connections.hooks.patch import Function, Patches, never_raises
from mintdb.connections.ledger import ledger
from mintdb.connections.pools import pools
from mintdb.connections.shortage import explain_dry_pool, explain_full_server
from mintdb.connections.sockets import close_on_a_dead_loop, shut
from mintdb.connections.stack import Frames, take

# The driver's objects are `Any` here: asyncpg is untyped.


PATIENCE = 1.0  # seconds for a rollback on an event loop that has nothing else to do


class Asyncpg:
    """What the ledger asks of asyncpg."""

    name = "asyncpg"

    def is_closed(self, connection: object) -> bool:
        return bool(cast(Any, connection).is_closed())

    def find_fileno(self, connection: object) -> int | None:
        sock = cast(Any, connection)._transport.get_extra_info("socket")
        return None if sock is None or sock.fileno() < 0 else int(sock.fileno())

    def is_async(self, connection: object) -> bool:
        return True

    def query(self, connection: object, sql: str) -> Sequence[str | None] | None:
        return None

    def is_in_transaction(self, connection: object) -> bool:
        return bool(cast(Any, connection).is_in_transaction())

    def roll_back(self, connection: object) -> None:
        asyncpg = cast(Any, connection)
        loop = asyncpg._loop
        if asyncpg._top_xact is not None or asyncio.all_tasks(loop) or _get_running_loop() is not None:
            raise RuntimeError("a block of the driver's has it, or other tasks would go on meanwhile")
        loop.run_until_complete(asyncio.wait_for(asyncpg.execute("rollback"), PATIENCE))

    def find_login(self, connection: object) -> dict[str, str]:
        (host, port), given = _find_place(cast(Any, connection)._addr), cast(Any, connection)._params
        login = {"host": host, "port": str(port), "dbname": given.database, "user": given.user}
        return {**login, **({"password": given.password} if isinstance(given.password, str) else {})}

    def silence(self, connection: object) -> None:
        """`finish` does: it is always called where it may be."""

    def finish(self, connection: object) -> None:
        asyncpg = cast(Any, connection)
        shut(DRIVER, connection)  # the server sees it now: the loop may not run again for a while
        if asyncpg._loop.is_closed():
            _finish_on_a_dead_loop(asyncpg)
        else:
            asyncpg.terminate()
        ledger.closed(connection)


def _finish_on_a_dead_loop(connection: Any) -> None:  # Any: see above
    # terminate() would ask the loop to call it back.
    connection._aborted = True
    connection._protocol = None
    close_on_a_dead_loop(connection._transport)


DRIVER = Asyncpg()


class AsyncpgPool:
    """What mintdb asks of an `asyncpg.Pool`, which has no weak references: its queue, as long-lived, stands for it."""

    def __init__(self, pool: Any) -> None:  # Any: see above
        pool._queue.mintdb_pool = pool
        self._queue = weakref.ref(pool._queue)

    def _pool(self) -> Any:  # Any: see above
        return getattr(self._queue(), "mintdb_pool", None)

    def is_alive(self) -> bool:
        pool = self._pool()
        return pool is not None and not pool._closed

    def is_dressed(self) -> bool:
        pool = self._pool()
        return pool is not None and (pool._init is not None or pool._setup is not None)

    def is_async(self) -> bool:
        return True

    def find_url(self) -> str | None:
        pool = self._pool()
        arguments = () if pool is None else pool._connect_args
        return str(arguments[0]) if arguments and arguments[0] else None

    def find_likeness(self) -> object:
        pool = self._pool()
        return None if pool is None else likeness(pool._connect_kwargs, pool._init, pool._setup)

    def visit_idle(self, keep: Callable[[object], bool]) -> None:
        pool = self._pool()
        if pool is None or pool._loop.is_running():
            return
        for holder in pool._holders:
            connection = holder._con
            if (
                connection is not None
                and holder._in_use is None
                and not connection.is_closed()
                and not keep(connection)
            ):
                DRIVER.finish(connection)  # the holder reconnects when it finds its connection closed

    def write_off(self, connection: object, slip: object) -> None:
        """Its place is free again when it ends, however that comes about."""

    def has_lost(self, connection: object) -> bool:
        """A connection lives as long as its pool; its proxy, which was handed out, too, until it is given back."""
        proxy = getattr(connection, "_proxy", None)
        if proxy is None or cast(Any, connection)._listeners:  # notifications may be all that it is there for
            return False
        own = {id(proxy), id(connection), id(proxy._holder)}
        return all(id(holder) in own for holder in gc.get_referrers(proxy, connection))


def install(asyncpg: ModuleType) -> Callable[[], None]:
    """Hook the class of all connections, pooled ones included, and the pools."""
    patches = Patches()
    patches.replace(asyncpg.connect_utils, "_connect_addr", _connect_addr)
    patches.replace(asyncpg.connection.Connection, "_cleanup", _cleanup)
    patches.replace(asyncpg.connection.Connection, "__del__", _collected)
    patches.replace(asyncpg.connect_utils, "_connect", _connect)
    patches.replace(asyncpg.pool.Pool, "_initialize", _initialize)
    patches.replace(asyncpg.pool.Pool, "_get_new_connection", _get_new_connection)
    patches.replace(asyncpg.pool.Pool, "_acquire", _acquire)
    patches.replace(asyncpg.pool.Pool, "release", _release)
    return patches.undo


def _connect_addr(original: Function) -> Function:
    """What one address leads to. `_connect` tries them in turn, and keeps one connection."""

    @coroutine
    @wraps(original)
    def _connect_addr(*, addr: Any, params: Any, **kwargs: Any) -> Any:  # Any: see Function
        draft, connecting = None, original(addr=addr, params=params, **kwargs)
        try:
            wanted = connecting.send(None)
            # The server has been called, and makes a process: what we do in that time keeps nobody waiting.
            draft = _draft(addr, params)
            while True:
                try:
                    come = yield wanted
                except BaseException as thrown:  # noqa: BLE001  a cancellation, for one
                    wanted = connecting.throw(thrown)
                else:
                    wanted = connecting.send(come)
        except StopIteration as done:
            connection = done.value
        _opened(connection, draft)
        return connection

    return _connect_addr


def adopt(asyncpg: ModuleType, thing: Any) -> None:  # Any: see above
    """Who opened it is not known."""
    if issubclass(type(thing), asyncpg.connection.Connection) and not thing.is_closed():
        _opened(thing, _draft(thing._addr, thing._params, stack=()))


@never_raises("asyncpg")
def _draft(address: Any, params: Any, stack: Frames | None = None) -> Entry:  # Any: see above
    draft = ledger.draft(DRIVER, skip=3, stack=stack)
    draft.place = *_find_place(address), params.database or ""
    return draft


@never_raises("asyncpg")
def _opened(connection: Any, draft: Entry | None) -> None:  # Any: see above
    if draft is not None:
        ledger.opened(connection, DRIVER, draft.place, connection.get_server_pid(), draft)


def _find_place(address: Any) -> tuple[str, int]:  # Any: see above
    """A host and a port, or the folder of a socket, `/tmp/.s.PGSQL.5432`, and the port in its name."""
    if isinstance(address, tuple):
        return str(address[0]), int(address[1])
    folder, _, name = address.rpartition("/")
    return folder, int(name.rpartition(".")[2])


def _cleanup(original: Function) -> Function:
    @wraps(original)
    def _cleanup(self: Any) -> None:  # Any: see Function
        ledger.closed(self)
        original(self)

    return _cleanup


def _collected(original: Function) -> Function:
    """What is collected takes its transport along: that would warn later, while an innocent test runs."""
    tell, is_closed, let_go, finalizing = telling(teller(_is_closed))(original), _is_closed, _abort, sys.is_finalizing
    open_now = ledger.open_now

    @wraps(original)
    def __del__(self: Any) -> None:  # Any: see Function
        left_open = id(self) in open_now and not finalizing() and not is_closed(self)
        try:
            tell(self)
        finally:
            if left_open:
                let_go(self)

    return __del__


@never_raises("asyncpg")
def _abort(connection: Any) -> None:  # Any: see above
    if connection._loop.is_closed():
        _finish_on_a_dead_loop(connection)
    elif _get_running_loop() is connection._loop or not connection._loop.is_running():
        connection._transport.abort()  # else the loop runs in another thread, and is left alone


def _is_closed(connection: Any) -> bool:  # Any: see Function
    return connection._protocol is None or bool(connection.is_closed())


def _connect(original: Function) -> Function:
    @wraps(original)
    async def _connect(*args: Any, **kwargs: Any) -> Any:  # Any: see Function
        if gate.keeper is not None:
            await gate.keeper.wait_async(lambda: str(kwargs.get("database") or kwargs.get("dsn") or ""))
        try:
            return await original(*args, **kwargs)
        except Exception as error:
            _explain(error)
            raise

    return _connect


_explain = never_raises("asyncpg")(explain_full_server)


def _initialize(original: Function) -> Function:
    @wraps(original)
    async def _initialize(self: Any, *args: Any, **kwargs: Any) -> Any:  # Any: see Function
        # Its first connections are made in tasks of their own, whose stacks do not lead here.
        _being_made[id(self)] = take(skip=1)
        try:
            return await original(self, *args, **kwargs)
        finally:
            _find_owner(self)
            _being_made.pop(id(self), None)

    return _initialize


_being_made: dict[int, Frames] = {}


@never_raises("asyncpg")
def _find_owner(pool: Any) -> Owner | None:  # Any: see above
    if pool._queue is None:
        return None
    if owner := pools.find(pool._queue):
        return owner
    stack = _being_made.get(id(pool), ())
    owner = Owner("asyncpg pool", "", clock.monotonic(), ledger.opening, stack, AsyncpgPool(pool))
    pools.add(pool._queue, owner)
    return owner


def _get_new_connection(original: Function) -> Function:
    @wraps(original)
    async def _get_new_connection(self: Any) -> Any:  # Any: see Function
        connection = await original(self)
        if owner := _find_owner(self):
            ledger.belongs(connection, owner)
        return connection

    return _get_new_connection


def _acquire(original: Function) -> Function:
    @wraps(original)
    async def _acquire(self: Any, *args: Any, **kwargs: Any) -> Any:  # Any: see Function
        try:
            proxy = await original(self, *args, **kwargs)
        except TimeoutError as error:
            _explain_dry_pool(error, self)
            raise
        _taken(proxy)
        return proxy

    return _acquire


@never_raises("asyncpg")
def _explain_dry_pool(error: Exception, pool: Any) -> None:  # Any: see above
    explain_dry_pool(error, _find_owner(pool))


@never_raises("asyncpg")
def _taken(proxy: Any) -> None:  # Any: see above
    ledger.taken(proxy._con, skip=3)


def _release(original: Function) -> Function:
    @wraps(original)
    async def release(self: Any, connection: Any, *args: Any, **kwargs: Any) -> Any:  # Any: see Function
        _given_back(connection)
        if not pools.keep_idle:
            await self.expire_connections()  # what is given back to an expired pool is closed
        return await original(self, connection, *args, **kwargs)

    return release


def _given_back(proxy: object) -> None:
    """Whatever was passed: what is no pool's connection the pool refuses, and one given back before has none."""
    ledger.given_back(getattr(proxy, "_con", None))
