"""See PyMySQL connections, whatever their class was called where it was imported, and also when one reconnects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

# The driver's objects are `Any` here: mintdb is type-checked where PyMySQL is not installed.


class PyMySQL(MysqlDriver):
    """What the ledger asks of PyMySQL."""

    name = "PyMySQL"

    def is_closed(self, connection: object) -> bool:
        return not cast(Any, connection).open

    def find_fileno(self, connection: object) -> int | None:
        sock = cast(Any, connection)._sock
        return None if sock is None or sock.fileno() < 0 else int(sock.fileno())

    def ask(self, connection: object, statement: str) -> Sequence[Sequence[object]] | None:
        """See connections.facts.SpeaksMysql. Without a cursor: the application's own class may give rows as dicts."""
        pymysql = cast(Any, connection)
        if not pymysql.open or (pymysql._result is not None and pymysql._result.unbuffered_active):
            return None
        pymysql.query(statement)
        return pymysql._result.rows or ()

    def finish(self, connection: object) -> None:
        cast(Any, connection)._force_close()
        ledger.closed(connection)


_explain = never_raises("pymysql")(explain_full_server)
_draft = never_raises("pymysql")(ledger.draft)
DRIVER = PyMySQL()


def install(pymysql: ModuleType) -> Callable[[], None]:
    """Hook the class of all connections: `pymysql.connect` is one more name for it."""
    patches = Patches()
    connection = pymysql.connections.Connection
    patches.replace(connection, "connect", _connect)
    patches.replace(connection, "_force_close", ending(first=True))
    patches.replace(connection, "__del__", telling(teller()))
    return patches.undo


def adopt(pymysql: ModuleType, thing: Any) -> None:  # Any: see above
    """Who opened it is not known."""
    if issubclass(type(thing), pymysql.connections.Connection) and thing.open:
        _opened(thing, ledger.draft(DRIVER, stack=()))


def _connect(original: Function) -> Function:
    @wraps(original)
    def connect(self: Any, sock: Any = None) -> None:  # Any: see Function
        if gate.keeper is not None:
            gate.keeper.wait(lambda: as_text(self.db))
        draft = _draft(DRIVER)
        try:
            original(self, sock)
        except Exception as error:
            _explain(error, (str(self.host), self.port, ""))
            raise
        _opened(self, draft)

    return connect


@never_raises("pymysql")
def _opened(connection: Any, draft: Entry | None) -> None:  # Any: see above
    place = connection.unix_socket or connection.host or "", int(connection.port or 0), as_text(connection.db)
    ledger.opened(connection, DRIVER, place, connection.thread_id(), draft)
