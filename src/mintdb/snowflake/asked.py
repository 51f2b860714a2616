"""What one call of Snowflake's connect asks for, its named connection looked up, and no secret kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mintdb.connections.stack import Site, find_app_site, take
from mintdb.facts import dataclass

# What a connections.toml may add to a call: where the connection leads, never whom it lets in.
FROM_FILE = ("account", "host", "user", "database", "schema", "warehouse", "role", "paramstyle", "autocommit")


@dataclass(frozen=True)
class Asked:
    """One call: `arguments` as they were given, `wanted` with what its named or default connection adds."""

    arguments: Mapping[str, Any]  # Any: whatever the application passes
    wanted: Mapping[str, Any]
    site: Site | None
    kind: type  # the connector's class, or the subclass that was called

    @property
    def account(self) -> str:
        """The account as it was written, or the host; empty if there is neither."""
        return str(self.wanted.get("account") or self.wanted.get("host") or "")

    @property
    def locator(self) -> str:
        """The account without its region, organization's case and spelling: `ACME.eu-west-1` and `acme` are one."""
        return re.sub(r"_", "-", self.account.partition(".")[0].lower())

    @property
    def asked_at(self) -> str:
        """The application's line, for messages."""
        return str(self.site or "a line outside the application")


def read(arguments: Mapping[str, Any], kind: type, *, skip: int) -> Asked:  # Any: see Asked
    """`skip` frames of the door are left out of the stack."""
    given = {**_from_file(arguments), **_from_config(arguments.get("config")), **arguments}
    return Asked(dict(arguments), given, find_app_site(take(skip=skip + 1)), kind)


def _from_file(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """A connection of connections.toml, asked for by name or by no argument at all; its secrets stay there."""
    from snowflake.connector import config_manager

    name = arguments.get("connection_name")
    if arguments and name is None:
        return {}
    try:
        found = (
            config_manager._get_default_connection_params()
            if name is None
            else dict(config_manager.CONFIG_MANAGER["connections"][name])
        )
    except Exception:  # noqa: BLE001  # no such file, or none that can be read: nothing is added
        return {}
    return {key: found[key] for key in FROM_FILE if key in found}


def _from_config(config: object) -> dict[str, Any]:
    """A ConnectionConfig object, which connector 5 takes in the place of arguments."""
    found = {key: getattr(config, key, None) for key in FROM_FILE} if config is not None else {}
    return {key: value for key, value in found.items() if value is not None}
