"""See aiomysql connections, pooled ones included, and also when one reconnects."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Any, cast

from mintdb.connections import gate
from mintdb.connections.facts import Entry
from mintdb.connections.hooks.collecting import teller, telling
from mintdb.connections.hooks.mysql import MysqlDriver, ending
from mintdb.connections.hooks.patch import Function, Patches, as_text, never_raises
from mintdb.connections.ledger import ledger
from mintdb.connections.shortage import explain_full_server
from mintdb.connections.sockets import close_on_a_dead_loop, shut

# The driver's objects are `Any` here: it has no types.


class Aiomysql(MysqlDriver):
    """What the ledger asks of aiomysql."""

    name = "aiomysql"

    def is_closed(self, connection: object) -> bool:
        return bool(cast(Any, connection).closed)

    def find_fileno(self, connection: object) -> int | None:
        writer = cast(Any, connection)._writer
        sock = None if writer is None else writer.transport.get_extra_info("socket")
        return None if sock is None or sock.fileno() < 0 else int(sock.fileno())

    def is_async(self, connection: object) -> bool:
        return True

    def silence(self, connection: object) -> None:
        """`finish` does: it is always called where it may be."""

    def finish(self, connection: object) -> None:
        aiomysql = cast(Any, connection)
        shut(DRIVER, connection)  # the server sees it now: the loop may not run again for a while
        writer = aiomysql._writer
        if writer is not None:
            aiomysql._writer = None  # which is what "closed" means to it; its pool asks the reader, and throws it away
            if aiomysql._loop.is_closed():
                close_on_a_dead_loop(writer.transport)
            else:
                writer.transport.close()
        ledger.closed(connection)


_explain = never_raises("aiomysql")(explain_full_server)
_draft = never_raises("aiomysql")(ledger.draft)
DRIVER = Aiomysql()


def install(aiomysql: ModuleType) -> Callable[[], None]:
    """Hook the class of all connections: whatever its pool or SQLAlchemy opens comes by its `_connect`."""
    patches = Patches()
    connection = aiomysql.connection.Connection
    patches.replace(connection, "_connect", _connect)
    patches.replace(connection, "close", ending(first=False))
    patches.replace(connection, "__del__", telling(teller(DRIVER.is_closed)))
    return patches.undo


def adopt(aiomysql: ModuleType, thing: Any) -> None:  # Any: see above
    """Who opened it is not known."""
    if issubclass(type(thing), aiomysql.connection.Connection) and not thing.closed:
        _opened(thing, ledger.draft(DRIVER, stack=()))


def _connect(original: Function) -> Function:
    @wraps(original)
    async def _connect(self: Any) -> None:  # Any: see Function
        if gate.keeper is not None:
            await gate.keeper.wait_async(lambda: as_text(self._db))
        draft = _draft(DRIVER)
        try:
            await original(self)
        except Exception as error:
            _explain(error, (str(self._host), self._port, ""))
            raise
        _opened(self, draft)

    return _connect


@never_raises("aiomysql")
def _opened(connection: Any, draft: Entry | None) -> None:  # Any: see above
    place = connection._unix_socket or connection._host or "", int(connection._port or 0), as_text(connection._db)
    ledger.opened(connection, DRIVER, place, connection.thread_id(), draft)
