"""Know which of Django's aliases a connection is of."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

from mintdb.connections.hooks.patch import never_raises
from mintdb.connections.ledger import ledger


def install(db: ModuleType) -> Callable[[], None]:
    """Listen to Django's own signal; it is sent when the connection has been initialised."""
    signal = import_module(f"{db.__name__}.backends.signals").connection_created  # not imported by django.db itself
    signal.connect(_created, weak=False, dispatch_uid=__name__)

    def undo() -> None:
        signal.disconnect(dispatch_uid=__name__)

    return undo


def adopt(db: ModuleType, thing: object) -> None:
    """Django's connections are accounted for by their driver; only the alias is not known."""


@never_raises("django.db")
def _created(connection: Any = None, **_: Any) -> None:  # Any: Django's wrapper, which is untyped
    if entry := ledger.find(getattr(connection, "connection", None)):
        entry.alias = connection.alias
