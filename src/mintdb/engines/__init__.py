"""The kinds of database, one package each, found by name when they are used."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from mintdb.contract import DatabaseEngine


def get_engine(name: str) -> DatabaseEngine:
    """The engine of that name; only now are its package, and later its driver, imported."""
    return cast(DatabaseEngine, import_module(f"mintdb.engines.{name}"))
