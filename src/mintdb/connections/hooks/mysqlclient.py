"""See connections of mysqlclient, the C driver that is imported as MySQLdb."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from types import ModuleType
from typing import Any, cast

from mintdb.connections import gate
from mintdb.connections.facts import Entry
from mintdb.connections.hooks.mysql import MysqlDriver, ending
from mintdb.connections.hooks.patch import Function, Patches, as_text, never_raises
from mintdb.connections.ledger import ledger
from mintdb.connections.shortage import explain_full_server

# The driver's objects are `Any` here: it is compiled, and has no types.
PLACES = ("host", "user", "password", "database", "port")  # of the arguments that connect takes without names


class Mysqlclient(MysqlDriver):
    """What the ledger asks of mysqlclient."""

    name = "mysqlclient"

    def is_closed(self, connection: object) -> bool:
        return not cast(Any, connection).open

    def find_fileno(self, connection: object) -> int | None:
        return None if self.is_closed(connection) else int(cast(Any, connection).fileno())

    def ask(self, connection: object, statement: str) -> Sequence[Sequence[object]] | None:
        """See connections.facts.SpeaksMysql. Without a cursor: the application's own class may give rows as dicts."""
        if self.is_closed(connection):
            return None
        cast(Any, connection).query(statement)
        result = cast(Any, connection).store_result()
        return [tuple(map(_plain, row)) for row in result.fetch_row(maxrows=0)] if result else ()

    def finish(self, connection: object) -> None:
        cast(Any, connection).close()
        ledger.closed(connection)


_explain = never_raises("MySQLdb")(explain_full_server)
_draft = never_raises("MySQLdb")(ledger.draft)
DRIVER = Mysqlclient()


def install(mysqldb: ModuleType) -> Callable[[], None]:
    """Hook the class that every name of `connect` makes, but for the raw `_mysql.connect`.

    It has no finalizer: that one was collected shows when the ledger takes stock.
    """
    from importlib import import_module

    connection = import_module(f"{mysqldb.__name__}.connections").Connection  # imported when somebody connects
    patches = Patches()
    patches.replace(connection, "__init__", _init)
    patches.replace(connection, "close", ending(first=False))
    return patches.undo


def adopt(mysqldb: ModuleType, thing: Any) -> None:  # Any: see above
    """It does not tell its database: one that was opened before anybody looked stays unknown."""


def _init(original: Function) -> Function:
    @wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # Any: see Function
        given = {**dict(zip(PLACES, args, strict=False)), **kwargs}
        if gate.keeper is not None:
            gate.keeper.wait(lambda: _database(given))
        draft = _draft(DRIVER)
        try:
            original(self, *args, **kwargs)
        except Exception as error:
            _explain(error)
            raise
        _opened(self, given, draft)

    return __init__


@never_raises("MySQLdb")
def _opened(connection: Any, given: dict[str, Any], draft: Entry | None) -> None:  # Any: see above
    host = str(given.get("unix_socket") or given.get("host") or "")
    place = host, int(connection.port or 0), _database(given)
    ledger.opened(connection, DRIVER, place, connection.thread_id(), draft)


def _database(given: dict[str, Any]) -> str:  # Any: see above
    return as_text(given.get("database") or given.get("db"))


def _plain(value: object) -> object:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
