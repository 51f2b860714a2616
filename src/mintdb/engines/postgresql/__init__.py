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
    """See contract.DatabaseEngine. Raises NameTooLong and DriverMissing: no server needs to be started for those."""
    from mintdb.engines.postgresql.connecting import require_driver

    require_driver()
    _require_short(database.name or "")
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


def _require_short(name: str) -> None:
    """What is longer the server would cut off, without a word to anybody."""
    if (length := len(name.encode())) > NAME_LIMIT:
        from mintdb.engines.errors import NameTooLong

        raise NameTooLong(name=name, length=f"{length} bytes", allowed=f"PostgreSQL allows {NAME_LIMIT}")


def reserve_running(url: str, *, own_url: str) -> Reservation:
    """See contract.DatabaseEngine."""
    from mintdb.engines.postgresql.external import reserve_external

    return reserve_external(url, own_url=own_url)


def dump(database: Address) -> Sequence[str]:
    """See contract.DatabaseEngine. Raises DumpFailed, and BinariesNotFound without pg_dump."""
    from mintdb.engines.postgresql import dumping

    return dumping.read(database)
