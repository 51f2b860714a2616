"""One SQLAlchemy engine for each URL and process: the answer to where an application's engine should live."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from mintdb.address import Address, BadUrl, parse_url
from mintdb.facts import dataclass
from mintdb.settings import DEFAULT, DatabaseSettings, load
from mintdb.sqlalchemy.engines import create_engine
from mintdb.sqlalchemy.errors import NoUrlHere, OtherOptions
from mintdb.variables import LEASED


@dataclass(frozen=True)
class _Shared:
    engine: sa.Engine
    options: Mapping[str, Any]  # Any: create_engine's own


_shared: dict[str, _Shared] = {}
_lock = threading.Lock()


def engine(name: str = DEFAULT, *, driver: str = "", **options: Any) -> sa.Engine:  # Any: create_engine's own
    """The process's one engine for a configured database, made when it is first asked for.

    In a test run, and in what it starts, it leads to the leased database; elsewhere to the URL that the settings give,
    in the environment that MINTDB_ENV names, or else to that in a variable that they export. Nothing is connected to.
    `driver` is `psycopg2`, say; else an exported form names it, or the first that is installed is taken. `options` are
    sqlalchemy.create_engine's: who asks first gives them. It stays for the life of the process; a forked child starts
    with an empty pool.

    Raises UnknownDatabase, NoUrlHere, DriverNotInstalled, and OtherOptions where a later caller gives other ones.
    """
    settings = load()
    database = settings.get_database(name)
    address = _find_address(name, database)
    if address is None:
        raise NoUrlHere(name=name)
    wanted = options | ({"driver": driver} if driver else {})
    with _lock:
        if address.url not in _shared:
            made = create_engine(address, driver or _exported_driver(database, address), **options)
            _shared[address.url] = _Shared(made, wanted)
        shared = _shared[address.url]
    if wanted and wanted != shared.options:
        raise OtherOptions(name=name, given=wanted, before=dict(shared.options))
    return shared.engine


def _find_address(name: str, database: DatabaseSettings) -> Address | None:
    leased = json.loads(os.environ.get(LEASED, "{}"))
    candidates = [leased.get(name), database.url, *map(os.environ.get, database.export)]
    for url in filter(None, candidates):
        try:
            return parse_url(url)
        except BadUrl:  # a variable that holds a path, say
            if url == database.url:
                raise
    return None


def _exported_driver(database: DatabaseSettings, address: Address) -> str:
    """The driver of the first exported form that names a blocking one; empty if none does."""
    for form in database.export.values():
        dialect, _, driver = form.partition("+")
        if driver and not sa.make_url(f"{form}://").get_dialect().is_async and dialect == address.engine:
            return driver
    return ""


def _empty_the_pools() -> None:
    """A forked child's connections are its parent's: they are forgotten, not closed."""
    for shared in _shared.values():
        shared.engine.dispose(close=False)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_empty_the_pools)
