"""What the drivers on libpq have in common: where their parameters lead."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from mintdb.connections.facts import NOWHERE, Place


def database_of(params: Mapping[str, Any]) -> str:  # Any: texts, and what only the driver knows
    """The database that libpq would choose."""
    return str(params.get("dbname") or os.environ.get("PGDATABASE") or params.get("user") or "")


def find_place(params: Mapping[str, Any]) -> Place:  # Any: see above
    """Where they lead; NOWHERE if they do not say it all themselves: then the environment or a service file does."""
    host, port, database = params.get("host"), params.get("port"), params.get("dbname")
    if not (host and port and database) or "," in host or not str(port).isdigit():
        return NOWHERE
    return host, int(port), database


def place_finder(parse: Callable[[str], Mapping[str, Any]]) -> Callable[[str], Place]:  # Any: see above
    """What `find_place` finds for a text of parameters, which is parsed once: most of a run's are the same."""
    return lru_cache(maxsize=64)(lambda text: find_place(parse(text)))
