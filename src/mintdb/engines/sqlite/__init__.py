"""SQLite: files of mintdb's own, on tmpfs where there is room, put back by the backup API. No server, no process.

This is the smallest whole engine, to be read after `contract`: `server` is a folder, `databases` are its files,
`sessions` are locks on them, `rewind` puts one back, and `clone` ties the four together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mintdb.core.names import NAME_LIMIT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mintdb.address import Address
    from mintdb.contract import Reservation
    from mintdb.settings import DatabaseSettings, Settings

__all__ = ["NAME_LIMIT", "dump", "reserve", "reserve_running"]


def reserve(database: DatabaseSettings, settings: Settings, *, slot: str) -> Reservation:
    """See contract.DatabaseEngine. Raises FolderUnusable, NotAFolder and FixedFileForWorkers."""
    from mintdb.engines.sqlite import server

    return server.reserve(database, root=settings.root_of(database), slot=slot)


def reserve_running(url: str, *, own_url: str) -> Reservation:
    """See contract.DatabaseEngine: the starter's folder is open to its children."""
    from mintdb.engines.sqlite import server

    return server.reserve_folder(own_url)


def dump(database: Address) -> Sequence[str]:
    """See contract.DatabaseEngine."""
    from contextlib import closing

    from mintdb.engines.sqlite.databases import connect

    with closing(connect(database.database)) as connection:
        return list(connection.iterdump())
