"""Snowflake, without Snowflake: an account emulated by fakesnow and DuckDB, within the process that tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mintdb.core.names import NAME_LIMIT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mintdb.address import Address
    from mintdb.contract import Reservation
    from mintdb.settings import DatabaseSettings, Settings

__all__ = ["NAME_LIMIT", "dump", "reserve", "reserve_running"]

USELESS = {
    "url": "the account is emulated, and no real one is ever connected to",
    "locale": "texts are compared as DuckDB does",
    "timezone": "the emulated account's is UTC",
    "server_settings": "there is no server",
}


def reserve(database: DatabaseSettings, settings: Settings, *, slot: str) -> Reservation:
    """See contract.DatabaseEngine. From now on no Snowflake connection of this process reaches the network.

    Raises NotHere, EmulationMissing, UnsupportedVersions and ConnectorMissing.
    """
    from mintdb.engines.snowflake import compat
    from mintdb.engines.snowflake.errors import NotHere
    from mintdb.engines.snowflake.server import AccountReservation
    from mintdb.snowflake import shut

    for setting, why in USELESS.items():
        if getattr(database, setting):
            raise NotHere(setting=setting, why=why)
    compat.check()
    shut()
    compat.make_importable()
    return AccountReservation(database)


def reserve_running(url: str, *, own_url: str) -> Reservation:
    """See contract.DatabaseEngine. Raises OnlyThisProcess, always."""
    from mintdb.engines.snowflake.errors import OnlyThisProcess

    raise OnlyThisProcess()


def dump(database: Address) -> Sequence[str]:
    """See contract.DatabaseEngine. Raises NotHere, always."""
    from mintdb.engines.snowflake.errors import NotHere

    raise NotHere(setting="template verify", why="the emulation has no dump to compare")
