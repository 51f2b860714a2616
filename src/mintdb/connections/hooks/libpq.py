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


def place_finder(parse: Callable[[str], Mapping[str, Any]]) -> Callable[[str], Place]:  # Any: see above
    """A function that finds where a connection string leads, and remembers it.

    It is NOWHERE if the string does not say it all itself: then the environment or a service file does.
    """

    @lru_cache(maxsize=64)
    def find_place(conninfo: str) -> Place:
        params = parse(conninfo)
        host, port, database = (str(params.get(name) or "") for name in ("host", "port", "dbname"))
        is_whole = host and port.isdigit() and database and "," not in host
        return (host, int(port), database) if is_whole else NOWHERE

    return find_place
