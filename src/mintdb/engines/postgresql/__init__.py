"""PostgreSQL: embedded (a server of ours) or external (a server that a URL names)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mintdb.address import parse_url
from mintdb.core.names import NAME_LIMIT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mintdb.address import Address
    from mintdb.contract import Reservation
    from mintdb.settings import DatabaseSettings, Settings

__all__ = ["NAME_LIMIT", "dump", "reserve", "reserve_running"]


def reserve(database: DatabaseSettings, settings: Settings, *, slot: str) -> Reservation:
    """See contract.DatabaseEngine. Raises DriverMissing: without psycopg no server needs to be started."""
    from mintdb.engines.postgresql.maintenance import require_driver

    require_driver()
    if database.url:
        from mintdb.engines.postgresql.external import reserve_external

        if settings.isolation == "transaction":
            from mintdb.engines.postgresql.guest import GuestReservation, may_create_databases

            if not may_create_databases(url := parse_url(database.url)):
                return GuestReservation(url)
        return reserve_external(
            database.url, slot=slot, roles=database.roles, role=database.role, search_path=database.search_path
        )
    from mintdb.engines.postgresql import embedded
    from mintdb.engines.postgresql.roles import slot_for

    slot = "-".join(filter(None, [slot, slot_for(settings.root, database.roles)]))
    reservation = embedded.reserve(embedded.settings_of(settings, database, slot=slot))
    return replace(reservation, roles=database.roles, role=database.role, search_path=database.search_path)


def reserve_running(url: str, *, own_url: str) -> Reservation:
    """See contract.DatabaseEngine."""
    from mintdb.engines.postgresql.external import reserve_external

    return reserve_external(url, own_url=own_url)


def dump(database: Address) -> Sequence[str]:
    """See contract.DatabaseEngine. Raises DumpFailed, and BinariesNotFound without pg_dump."""
    from mintdb.engines.postgresql import dumping

    return dumping.read(database)
