"""What the drivers of MariaDB and MySQL have in common: when the ledger hears of a connection, and what it may ask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from mintdb.connections.hooks.patch import Function
from mintdb.connections.ledger import ledger


class MysqlDriver:
    """What the ledger asks of any of them."""

    def is_async(self, connection: object) -> bool:
        """See connections.facts.Driver."""
        return False

    def query(self, connection: object, sql: str) -> Sequence[str | None] | None:
        """Its state is read by `ask`: PostgreSQL's question means nothing to it."""
        return None

    def silence(self, connection: object) -> None:
        """It never warns."""


def ending(*, first: bool) -> Callable[[Function], Function]:
    """Replace a driver's `close` by one that tells the ledger, `first` or afterwards."""

    def make(original: Function) -> Function:
        @wraps(original)
        def close(self: Any) -> None:  # Any: see Function
            if first:
                ledger.closed(self)
            original(self)
            if not first:
                ledger.closed(self)

        return close

    return make
