"""Know which of Django's aliases a connection is of."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from mintdb.connections.ledger import ledger


def install(db: ModuleType) -> Callable[[], None]:
    """Listen to Django's own signal; it is sent when the connection has been initialised."""
    signal = db.backends.signals.connection_created
    signal.connect(_created, weak=False, dispatch_uid=__name__)

    def undo() -> None:
        signal.disconnect(dispatch_uid=__name__)

    return undo


def _created(connection: Any = None, **_: Any) -> None:  # Any: Django's wrapper, which is untyped
    if entry := ledger.find(getattr(connection, "connection", None)):
        entry.alias = connection.alias
