"""PostgreSQL: embedded (a server of ours) or external (a server that a URL names)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mintdb.core.names import NAME_LIMIT

if TYPE_CHECKING:
    from mintdb.contract import Reservation
    from mintdb.settings import DatabaseSettings, Settings

__all__ = ["NAME_LIMIT", "reserve", "reserve_running"]


def reserve(database: DatabaseSettings, settings: Settings, *, slot: str) -> Reservation:
    """See contract.DatabaseEngine. Raises DriverMissing: without psycopg no server needs to be started."""
    from mintdb.engines.postgresql.maintenance import require_driver

    require_driver()
    if database.url:
        from mintdb.engines.postgresql.external import reserve_external

        return reserve_external(database.url, slot=slot)
    from mintdb.engines.postgresql import embedded

    return embedded.reserve(
        embedded.settings_for(
            binaries=settings.binaries,
            locale=database.locale,
            timezone=database.timezone,
            server_settings=dict(database.server_settings),
            slot=slot,
        )
    )


def reserve_running(url: str, *, own_url: str) -> Reservation:
    """See contract.DatabaseEngine."""
    from mintdb.engines.postgresql.external import reserve_external

    return reserve_external(url, own_url=own_url)
