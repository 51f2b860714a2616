"""A real database in mint condition for every test: real commits, any number of connections, put back in a moment.

PYTEST_DONT_REWRITE: there is no assertion of a test in here, and below `mintdb run` it is imported before pytest looks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0.dev0"

if TYPE_CHECKING:
    from mintdb.core.lease import Lease
    from mintdb.errors import MintdbError
    from mintdb.mint import Mint, open  # mintdb.open() reads as it should
    from mintdb.play import evolutions
    from mintdb.script import record, replay, scripted
    from mintdb.sqlalchemy.shared import engine

__all__ = [
    "Lease",
    "Mint",
    "MintdbError",
    "__version__",
    "engine",
    "evolutions",
    "open",
    "record",
    "replay",
    "scripted",
]

_HOMES = {
    "Lease": "mintdb.core.lease",
    "Mint": "mintdb.mint",
    "MintdbError": "mintdb.errors",
    "engine": "mintdb.sqlalchemy.shared",
    "evolutions": "mintdb.play",
    "open": "mintdb.mint",
    "record": "mintdb.script",
    "replay": "mintdb.script",
    "scripted": "mintdb.script",
}


def __getattr__(name: str) -> object:
    """Import what is asked for, and nothing else: `import mintdb` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mintdb' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
