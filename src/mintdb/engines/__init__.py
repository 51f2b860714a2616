"""The kinds of database, one package each, found by name when they are used."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from mintdb.contract import DatabaseEngine, Observing

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
