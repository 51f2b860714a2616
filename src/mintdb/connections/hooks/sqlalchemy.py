"""Know SQLAlchemy's engines and pools as owners of their connections, and where each engine was created."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from types import ModuleType
from typing import Any

from mintdb import clock
from mintdb.connections.facts import Entry, Owner
from mintdb.connections.hooks.collecting import Collector
from mintdb.connections.hooks.likeness import likeness
from mintdb.connections.hooks.patch import Moved, Patches, never_raises
from mintdb.connections.ledger import ledger
from mintdb.connections.pools import pools
from mintdb.connections.shortage import explain_dry_pool
from mintdb.connections.stack import Frames, take

# SQLAlchemy's objects are `Any` here: mintdb is type-checked where SQLAlchemy is not installed.
_collector = Collector()


class SqlalchemyPool:
    """What mintdb asks of an `Engine`'s pool, or of a pool without an engine.

    An engine's `dispose()` puts a new pool in place of its old one: it is asked for its pool each time.
    """

    def __init__(self, engine: Any = None, pool: Any = None) -> None:  # Any: see above
        self._engine = None if engine is None else weakref.ref(engine)
        self._first_pool = None if engine is None else weakref.ref(engine.pool)
        self._only_pool = None if pool is None else weakref.ref(pool)

    def _pool(self) -> Any:  # Any: see above
        if self._only_pool is not None:
            return self._only_pool()
        engine = self._engine() if self._engine else None
        return None if engine is None else engine.pool

    def is_alive(self) -> bool:
        pool = self._pool()
        return pool is not None and not (self._was_disposed(pool) and _is_empty(pool))

    def _was_disposed(self, pool: Any) -> bool:  # Any: see above
        return self._first_pool is not None and self._first_pool() is not pool

    def has_replaced(self, pool: Any) -> bool:  # Any: see above
        """Whether a pool was the engine's, which has another one since it was disposed of."""
        return self._engine is not None and self._pool() not in (None, pool)

    def is_dressed(self) -> bool:
        pool = self._pool()
        return pool is not None and bool(_listeners(pool))

    def is_async(self) -> bool:
        engine = self._engine() if self._engine else None
        return engine is not None and bool(engine.dialect.is_async)

    def find_url(self) -> str | None:
        engine = self._engine() if self._engine else None
        if engine is None or _backend(engine.url) == "sqlite":  # a file's connections are in nobody's way
            return None
        if type(engine.pool).__name__ == "NullPool":  # a migration's, say: it keeps nothing
            return None
        return str(engine.url.set(drivername=_backend(engine.url)).render_as_string())

    def find_likeness(self) -> object:
        engine, pool = self._engine() if self._engine else None, self._pool()
        return None if engine is None else likeness(_find_connect_args(engine), *_listeners(pool))

    def visit_idle(self, keep: Callable[[object], bool]) -> None:
        pool = self._pool()
        taken = [] if pool is None else list(_take_idle(pool))
        for record in taken:
            try:
                _visit(record, keep)
            finally:
                pool._do_return_conn(record)

    def write_off(self, connection: object, slip: Any) -> None:  # Any: see above
        if slip is None:
            return
        entry = ledger.find(connection)
        if entry is not None and entry.driver.is_async(connection) and not _runs(entry.loop):
            _finish(entry, connection, slip._connection_record)  # invalidate() would ask a loop that stands still
            slip.dbapi_connection = None
        slip._checkin() if slip.dbapi_connection is None else slip.invalidate()


def _is_empty(pool: Any) -> bool:  # Any: see above
    """Whether it has no connection; one that does not count them may have some."""
    return hasattr(pool, "checkedout") and pool.checkedin() + pool.checkedout() == 0


def _backend(url: Any) -> str:  # Any: see above
    """The drivers of one database's engines may differ; the place that they lead to does not."""
    return str(url.get_backend_name())


def _find_connect_args(engine: Any) -> object:  # Any: see above
    """What the engine connects with beyond its URL: `connect_args`, which only its creator knows; or a `creator`."""
    creator = engine.pool._creator
    if not str(getattr(creator, "__module__", "")).startswith("sqlalchemy."):
        return creator
    with suppress(AttributeError, TypeError, KeyError, ValueError):  # a version in which it is written otherwise
        closed_over = dict(zip(creator.__code__.co_freevars, creator.__closure__, strict=True))
        of_the_url = engine.dialect.create_connect_args(engine.url)[1]
        given = closed_over["cparams"].cell_contents.items()
        return {name: value for name, value in given if of_the_url.get(name) != value}
    return None


def _listeners(pool: Any) -> list[Any]:  # Any: see above
    """What the application does to each new connection."""
    return [listener for listener in pool.dispatch.connect if _is_of_the_application(listener)]


def _is_of_the_application(listener: Any) -> bool:  # Any: see above
    module = getattr(listener, "__module__", "") or ""
    return not module.startswith(("sqlalchemy.", "mintdb.connections."))


def _take_idle(pool: Any) -> Iterator[Any]:  # Any: see above
    """Take what is idle out of the pool, so that nobody else can."""
    queue: Any = getattr(pool, "_pool", None)  # Any: its class differs
    if queue is None or not hasattr(queue, "get"):
        yield from _find_single(pool)
        return
    for _ in range(queue.qsize()):
        try:
            yield queue.get(False)
        except Exception:  # noqa: BLE001  Empty, of a class that differs between versions: somebody was faster
            return


def _find_single(pool: Any) -> Iterator[Any]:  # Any: see above
    """A StaticPool's connection, or a SingletonThreadPool's of this thread, where nobody uses it: it may be shared."""
    of_thread = getattr(getattr(pool, "_conn", None), "current", None)
    record = of_thread() if callable(of_thread) else vars(pool).get("connection")
    # Each who uses it refers to it; `fairy_ref` tells of the last one only.
    if record is not None and sys.getrefcount(record) <= 3:  # the pool's, `record` and the argument
        yield record


def _visit(record: Any, keep: Callable[[object], bool]) -> None:  # Any: see above
    connection = record.driver_connection if record.dbapi_connection is not None else None
    entry = None if connection is None else ledger.find(connection)
    if entry is None or (entry.driver.is_async(connection) and _runs(entry.loop)) or keep(connection):
        return
    if entry.driver.is_async(connection):
        _finish(entry, connection, record)
    else:
        record.close()


def _finish(entry: Entry, connection: object, record: Any) -> None:  # Any: see above
    entry.driver.finish(connection)
    record.dbapi_connection = None  # a record without a connection makes one when it is next taken


def _runs(loop: Any) -> bool:  # Any: an event loop of any make
    return loop is not None and loop.is_running()


def install(sqlalchemy: ModuleType) -> Callable[[], None]:
    """Hook what creates engines, and listen to all pools."""
    for name in ("event", "exc", "pool", "engine"):
        if not hasattr(sqlalchemy, name):
            raise Moved(f"sqlalchemy has no {name!r}")
    patches = Patches()
    # Not Engine.__init__: wrapping it breaks create_engine(echo=…) and Flask-SQLAlchemy.
    patches.replace(sqlalchemy.engine.Dialect, "engine_created", _engine_created)
    patches.replace(sqlalchemy.util.queue.AsyncAdaptedQueue, "get", _waits_on_its_own_loop)
    patches.replace(sqlalchemy.pool.QueuePool, "_do_get", partial(_says_who_has_them, sqlalchemy.exc.TimeoutError))
    events = [
        (sqlalchemy.pool.Pool, "connect", _connected),
        (sqlalchemy.pool.Pool, "checkout", _stands_still(sqlalchemy.exc.DisconnectionError)),
        (sqlalchemy.pool.Pool, "checkout", _checked_out),
        (sqlalchemy.pool.Pool, "checkin", _checked_in),
        (sqlalchemy.pool.Pool, "close_detached", _about_to_close),
    ]
    for target, name, listener in events:
        sqlalchemy.event.listen(target, name, listener)
    follow_no_more = _collector.follow()

    def undo() -> None:
        follow_no_more()
        for target, name, listener in events:
            sqlalchemy.event.remove(target, name, listener)
        patches.undo()

    return undo


def _engine_created(original: Any) -> Any:  # Any: a classmethod object
    def engine_created(cls: Any, engine: Any) -> None:  # Any: see above
        original.__func__(cls, engine)
        _made(engine)

    return classmethod(engine_created)


@never_raises("sqlalchemy")
def _made(engine: Any) -> None:  # Any: see above
    if pools.find(engine) is None:  # it is told for the dialect and for the URL's entry point
        pools.add(engine, _owner(engine, take(skip=3)))


def adopt(sqlalchemy: ModuleType, thing: Any) -> None:  # Any: see above
    """Where it was created is not known."""
    if issubclass(type(thing), sqlalchemy.engine.Engine) and pools.find(thing) is None:
        pools.add(thing, _owner(thing, ()))


def _owner(engine: Any, stack: Frames) -> Owner:  # Any: see above
    name = engine.url.render_as_string()
    return Owner("SQLAlchemy engine", name, clock.monotonic(), ledger.opening, stack, SqlalchemyPool(engine))


@never_raises("sqlalchemy")
def _connected(dbapi_connection: Any, record: Any) -> None:  # Any: see above
    connection = record.driver_connection or dbapi_connection
    pool = getattr(record, "_ConnectionRecord__pool", None)
    if pool is not None and ledger.find(connection) is not None:
        ledger.belongs(connection, _find_owner(pool) or _owner_of_pool(pool))


def _find_owner(pool: Any) -> Owner | None:  # Any: see above
    """The engine that the pool is of now."""
    if owner := pools.find(pool):
        return owner
    for owner in pools.known():
        if isinstance(owner.pool, SqlalchemyPool) and owner.pool._pool() is pool:
            pools.add(pool, owner)  # found at once the next time
            return owner
    return None


def _owner_of_pool(pool: Any) -> Owner:  # Any: see above
    owner = Owner("SQLAlchemy pool", "", clock.monotonic(), ledger.opening, (), SqlalchemyPool(pool=pool))
    pools.add(pool, owner)
    return owner


def _stands_still(disconnected: type[Exception]) -> Callable[[Any, Any, Any], None]:  # Any: see above
    """A pool that outlives an event loop never hands out a connection of one that stands still: it opens another."""

    def checked_out(dbapi_connection: Any, record: Any, proxy: Any) -> None:  # Any: see above
        if _let_go_of_another_loop(record):
            raise disconnected  # which is how a listener asks the pool for a new connection

    return checked_out


@never_raises("sqlalchemy")
def _let_go_of_another_loop(record: Any) -> bool:  # Any: see above
    connection = record.driver_connection
    entry = ledger.find(connection)
    if entry is None or entry.loop_ref is None or not entry.driver.is_async(connection):
        return False
    loop = entry.loop
    if loop is not None and loop.is_running():  # here, or in another thread: then it is not ours to end
        return False
    _finish(entry, connection, record)
    return True


def _waits_on_its_own_loop(original: Any) -> Any:  # Any: a function of SQLAlchemy's
    """A pool at which somebody once had to wait never again binds the waiting to a loop that stands still."""

    def get(queue: Any, *args: Any, **named: Any) -> Any:  # Any: see above
        _unbind(queue)
        return original(queue, *args, **named)

    return get


@never_raises("sqlalchemy")
def _unbind(queue: Any) -> None:  # Any: see above
    bound = queue._queue
    loop = getattr(bound, "_loop", None)  # set by asyncio when somebody first waits
    if loop is None or loop.is_running():
        return
    free = type(bound)(maxsize=bound.maxsize)
    while not bound.empty():
        free.put_nowait(bound.get_nowait())
    queue._queue = free


def _says_who_has_them(timed_out: type[Exception], original: Any) -> Any:  # Any: a function of SQLAlchemy's
    """A pool that has run dry names those who drank."""

    def _do_get(pool: Any) -> Any:  # Any: see above
        try:
            return original(pool)
        except timed_out as error:
            _explain(error, pool)
            raise

    return _do_get


@never_raises("sqlalchemy")
def _explain(error: Exception, pool: Any) -> None:  # Any: see above
    explain_dry_pool(error, _find_owner(pool))


@never_raises("sqlalchemy")
def _checked_out(dbapi_connection: Any, record: Any, proxy: Any) -> None:  # Any: see above
    ledger.taken(record.driver_connection, proxy, skip=2)


def _checked_in(dbapi_connection: Any, record: Any) -> None:  # Any: see above
    if dbapi_connection is None:
        return
    _given_back(record)
    if pools.keep_idle:
        return
    # terminate() of an asynchronous adapter closes gracefully where it may wait, and at once where it may not.
    record.invalidate() if hasattr(dbapi_connection, "terminate") else record.close()


@never_raises("sqlalchemy")
def _given_back(record: Any) -> None:  # Any: see above
    connection = record.driver_connection
    ledger.given_back(connection, by_the_collector=_collector.is_at_work)
    entry = ledger.find(connection)
    if entry is not None and entry.owner is not None and isinstance(entry.owner.pool, SqlalchemyPool):
        # Whoever gives it back after `dispose()` has closed all there was: that pool is dropped as it is.
        entry.told |= entry.owner.pool.has_replaced(record._ConnectionRecord__pool)


@never_raises("sqlalchemy")
def _about_to_close(dbapi_connection: Any) -> None:  # Any: see above
    """What an asynchronous engine handed out, and was forgotten, is ended and not taken back."""
    ledger.forgotten(getattr(dbapi_connection, "driver_connection", dbapi_connection))
