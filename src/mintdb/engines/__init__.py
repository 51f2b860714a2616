"""The kinds of database, one package each, found by name when they are used."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, cast

from mintdb.contract import DatabaseEngine, Observing, Visiting

if TYPE_CHECKING:
    from mintdb.engines.running import Inventory

WITH_SERVERS = ("postgresql", "mysql")


def get_engine(name: str) -> DatabaseEngine:
    """The engine of that name; only now are its package, and later its driver, imported."""
    return cast(DatabaseEngine, import_module(f"mintdb.engines.{name}"))


def find_observing(name: str) -> Observing | None:
    """How to look at an engine's servers; None where its driver is not installed: no server was ever used from here."""
    try:
        return cast(Observing, import_module(f"mintdb.engines.{name}.observing"))
    except ModuleNotFoundError:
        return None


def find_inventories() -> Sequence[Inventory]:
    """How to look after embedded servers: one for each engine that has such, and whose driver is installed."""
    found = []
    for name in WITH_SERVERS:
        with suppress(ModuleNotFoundError):
            found.append(cast("Inventory", import_module(f"mintdb.engines.{name}.inventory")))
    return found


def find_visiting(name: str) -> Visiting:
    """How to visit a database that mintdb did not make, on an engine's server."""
    return cast(Visiting, import_module(f"mintdb.engines.{name}.visiting").visit)
