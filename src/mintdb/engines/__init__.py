"""The kinds of database, one package each, found by name when they are used."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from mintdb.contract import DatabaseEngine, Observing, Visiting

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


def find_visiting(name: str) -> Visiting:
    """How to visit a database that mintdb did not make, on an engine's server."""
    return cast(Visiting, import_module(f"mintdb.engines.{name}.visiting").visit)
