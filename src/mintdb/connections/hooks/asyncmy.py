"""See asyncmy connections."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Any, cast

from mintdb.connections import gate
from mintdb.connections.facts import Entry
from mintdb.connections.hooks.mysql import MysqlDriver, ending
from mintdb.connections.hooks.patch import Function, Patches, as_text, never_raises
from mintdb.connections.ledger import ledger
from mintdb.connections.shortage import explain_full_server
from mintdb.connections.sockets import close_on_a_dead_loop

# The driver's objects are `Any` here: it is compiled, and has no types.


class Asyncmy(MysqlDriver):
    """What the ledger asks of asyncmy."""

    name = "asyncmy"

    def is_closed(self, connection: object) -> bool:
        return not cast(Any, connection).connected

    def find_fileno(self, connection: object) -> int | None:
        transport = cast(Any, connection)._transport
        sock = None if transport is None else transport.get_extra_info("socket")
        return None if sock is None or sock.fileno() < 0 else int(sock.fileno())

    def is_async(self, connection: object) -> bool:
        return True

    def silence(self, connection: object) -> None:
        """`finish` does: it is always called where it may be."""

    def finish(self, connection: object) -> None:
        asyncmy = cast(Any, connection)
        if asyncmy._loop.is_closed():
            _finish_on_a_dead_loop(asyncmy)
        else:
            asyncmy.close()
        ledger.closed(connection)


def _finish_on_a_dead_loop(connection: Any) -> None:  # Any: see above
    # close() would ask the loop to call it back.
    close_on_a_dead_loop(connection._transport)
    connection._transport = None
    connection._connected = False


_explain = never_raises("asyncmy")(explain_full_server)
_draft = never_raises("asyncmy")(ledger.draft)
DRIVER = Asyncmy()


def install(asyncmy: ModuleType) -> Callable[[], None]:
    """Hook the class of all connections, pooled ones included."""
    patches = Patches()
    connection = asyncmy.connection.Connection
    patches.replace(connection, "connect", _connect)
    patches.replace(connection, "close", ending(first=False))
    return patches.undo


def adopt(asyncmy: ModuleType, thing: Any) -> None:  # Any: see above
    """Who opened it is not known."""
    if issubclass(type(thing), asyncmy.connection.Connection) and thing.connected:
        _opened(thing, ledger.draft(DRIVER, stack=()))


def _connect(original: Function) -> Function:
    @wraps(original)
    async def connect(self: Any) -> Any:  # Any: see Function
        if self.connected:
            return await original(self)
        if gate.keeper is not None:
            await gate.keeper.wait_async(lambda: as_text(self._db))
        draft = _draft(DRIVER)
        try:
            result = await original(self)
        except Exception as error:
            _explain(error, (str(self._host), self._port, ""))
            raise
        _opened(self, draft)
        return result

    return connect


@never_raises("asyncmy")
def _opened(connection: Any, draft: Entry | None) -> None:  # Any: see above
    host = connection._unix_socket or connection._host or ""
    place = host, int(connection._port or 0), as_text(connection._db)
    ledger.opened(connection, DRIVER, place, connection.thread_id(), draft)
