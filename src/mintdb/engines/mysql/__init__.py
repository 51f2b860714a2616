"""MariaDB and MySQL: embedded (a server of ours) or external (a server that a URL names)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mintdb.address import Address
    from mintdb.contract import Reservation
    from mintdb.settings import DatabaseSettings, Settings

__all__ = ["NAME_LIMIT", "dump", "reserve", "reserve_running"]

NAME_LIMIT = 64  # characters: https://mariadb.com/kb/en/identifier-names/#maximum-length


def reserve(database: DatabaseSettings, settings: Settings, *, slot: str) -> Reservation:
    """See contract.DatabaseEngine. Raises DriverMissing and NameTooLong: nothing needs to be started for those."""
    from mintdb.engines.mysql.errors import require_driver, require_short

    require_driver()
    require_short(database.name, limit=NAME_LIMIT)
    if database.url:
        from mintdb.engines.mysql.external import reserve_external

        return reserve_external(database.url, slot=slot)
    from mintdb.engines.mysql import embedded

    return embedded.reserve(
        embedded.settings_for(
            binaries=settings.binaries,
            timezone=database.timezone,
            server_settings=dict(database.server_settings),
            slot=slot,
        )
    )


def reserve_running(url: str, *, own_url: str) -> Reservation:
    """See contract.DatabaseEngine."""
    from mintdb.engines.mysql.external import reserve_external

    return reserve_external(url, own_url=own_url)


def dump(database: Address) -> Sequence[str]:
    """See contract.DatabaseEngine. Every object as the server tells it, then the rows of each table."""
    from mintdb.engines.mysql.schema import read_schema
    from mintdb.engines.mysql.session import Session, name

    session = Session(database)
    try:
        schema = read_schema(session, database.database)
        told = [line for _, each in sorted(schema.objects.items()) for line in f"{each.sql};".splitlines()]
        for table in sorted(schema.tables):
            rows = session.rows(f"select * from {name(database.database)}.{name(table)}")
            told += [f"{table}: {row!r}" for row in rows]
        return told
    finally:
        session.close()
