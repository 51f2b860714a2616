"""Two aliases of one database share one connection in a test, so that both see what its transaction has done."""

from __future__ import annotations

from typing import Any

from django.db import connections

from mintdb.django import managed

OWN = ("alias", "settings_dict", "creation")


class Mirror:
    """An alias that uses another one's connection; only its name and its settings are its own."""

    def __init__(self, own: Any, shared: Any) -> None:  # Any: Django's wrappers are untyped
        vars(self).update(own=own, shared=shared, alias=own.alias, settings_dict=own.settings_dict)
        vars(self).update(creation=own.creation)

    def __getattr__(self, name: str) -> Any:  # Any: whatever the connection has
        return getattr(vars(self)["shared"], name)

    def __setattr__(self, name: str, value: object) -> None:
        if name in OWN:
            vars(self)[name] = value
        else:
            setattr(vars(self)["shared"], name, value)


def share(allowed: set[str]) -> None:
    """Let each allowed alias of a database share the connection of the first one that is allowed."""
    first: dict[str, Any] = {}  # Any: see Mirror
    for alias in connections:
        connection = connections[alias]
        found = managed.find_same(connection, connection.settings_dict["NAME"]) if alias in allowed else None
        if found is None:
            continue
        primary = first.setdefault(found.alias, connection)
        if primary is not connection and not isinstance(connection, Mirror):
            connection.close()
            connections[alias] = Mirror(connection, primary)


def part() -> None:
    """Give every alias of this thread its own connection back."""
    for alias in connections:
        if isinstance(connection := connections[alias], Mirror):
            connections[alias] = vars(connection)["own"]


def is_mirror(connection: Any) -> bool:  # Any: see Mirror
    """Whether an alias leads to a database that another alias stands for."""
    found = managed.find_same(connection, connection.settings_dict["NAME"])
    return found is not None and found.alias != connection.alias
