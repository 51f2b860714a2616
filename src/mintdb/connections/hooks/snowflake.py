"""See connections to emulated Snowflake accounts. Real ones are refused before there is a connection to see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from types import ModuleType
from typing import Any, cast

from mintdb.connections.facts import Entry
from mintdb.connections.hooks.collecting import teller, telling
from mintdb.connections.hooks.patch import Function, Patches, never_raises
from mintdb.connections.ledger import ledger

# The emulation's objects are `Any` here: an engine is imported where it is used, and nowhere else.


class Snowflake:
    """What the ledger asks of an emulated connection."""

    name = "snowflake"

    def is_closed(self, connection: object) -> bool:
        return bool(cast(Any, connection).is_closed())

    def find_fileno(self, connection: object) -> int | None:
        """There is no socket."""
        return None

    def is_async(self, connection: object) -> bool:
        return False

    def query(self, connection: object, sql: str) -> Sequence[str | None] | None:
        """A session's state is put back with the account."""
        return None

    def silence(self, connection: object) -> None:
        """It never warns."""

    def finish(self, connection: object) -> None:
        cast(Any, connection).close()


DRIVER = Snowflake()


def install(sessions: ModuleType) -> Callable[[], None]:
    """Hook the emulation's connection class."""
    patches = Patches()
    patches.replace(sessions.EmulatedConnection, "__init__", _hook_opening)
    patches.replace(sessions.EmulatedConnection, "close", _hook_closing)
    patches.replace(sessions.EmulatedConnection, "__del__", telling(teller()))
    return patches.undo


def adopt(sessions: ModuleType, thing: Any) -> None:  # Any: see above
    """Who opened it is not known."""
    if issubclass(type(thing), sessions.EmulatedConnection):
        _opened(thing, ledger.draft(DRIVER, stack=()))


def _hook_opening(original: Function) -> Function:
    @wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # Any: see Function
        original(self, *args, **kwargs)
        _opened(self)

    return __init__


def _hook_closing(original: Function) -> Function:
    @wraps(original)
    def close(self: Any, *args: Any, **kwargs: Any) -> Any:  # Any: see Function
        try:
            return original(self, *args, **kwargs)
        finally:
            ledger.closed(self)

    return close


@never_raises("snowflake")
def _opened(connection: Any, draft: Entry | None = None) -> None:  # Any: see above
    if connection.is_closed():
        return
    ledger.opened(connection, DRIVER, ("", 0, connection.account_of.name), connection.number, draft)
