"""Where Django's databases are: an alias of DATABASES as mintdb's settings, and the embedded server as an alias."""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mintdb.address import Address
from mintdb.core.names import slug
from mintdb.django import EMBEDDED
from mintdb.mint import Mint
from mintdb.settings import DatabaseSettings, Settings, load

MAINTENANCE = "postgres"  # the database that Django too connects to where it creates others
LOOPBACK = ("127.0.0.1", "::1", "localhost")
# What Django or psycopg is told in OPTIONS, and libpq is not.
NOT_LIBPQ = ("pool", "isolation_level", "server_side_binding", "assume_role", "prepare_threshold", "cursor_factory")


@cache
def run_settings() -> Settings:
    """The settings of the run: those of the nearest [tool.mintdb] and of MINTDB_*; Django names the databases."""
    return replace(load(), databases=MappingProxyType({}))


def settings_for(connection: Any, name: str) -> Settings:  # Any: Django's wrapper is untyped
    """mintdb's settings for the test database `name` of an alias."""
    values, alias = connection.settings_dict, connection.alias
    url = None if is_embedded(connection) else server_of(values).url
    database = DatabaseSettings(alias, url=url, schema=f"django:{alias}", name=name)
    return run_settings().with_database(database)


def is_embedded(connection: Any) -> bool:  # Any: see settings_for
    """Whether an alias is on mintdb's own server."""
    return EMBEDDED in connection.settings_dict


def server_of(values: Mapping[str, Any]) -> Address:  # Any: a setting's value is anything
    """The server that an alias of DATABASES names, with the database that is there on every server."""
    host, port = str(values["HOST"] or ""), int(values["PORT"] or 0)
    options = {key: str(value) for key, value in values["OPTIONS"].items() if _is_libpq(key, value)}
    address = Address(
        "postgresql", MAINTENANCE, host, port, str(values["USER"] or ""), str(values["PASSWORD"] or ""), options
    )
    return address if host and port and "service" not in options else _completed(address)


def place_of(values: Mapping[str, Any]) -> tuple[str, str]:  # Any: see server_of
    """The server of an alias, as far as its host and port tell it from others; all names of loopback are one."""
    host = str(values["HOST"] or "")
    return ("loopback" if host in LOOPBACK else host), str(values["PORT"] or "")


def embedded(start: Path) -> dict[str, Any]:  # Any: see server_of
    """NAME, HOST, PORT, USER and PASSWORD of an alias on the embedded server; nothing is started."""
    settings = load(start)
    # A project's name alone is not enough: all checkouts of a user share the server.
    name = f"{slug(settings.project)}_{zlib.crc32(os.fsencode(settings.root)):08x}"
    plain = replace(settings, databases=MappingProxyType({"default": DatabaseSettings()}))
    address = Mint(plain).reserve()
    return {
        "NAME": name,
        "HOST": address.host,
        "PORT": str(address.port),
        "USER": address.user,
        "PASSWORD": address.password,
    }


def _is_libpq(key: str, value: object) -> bool:
    return key not in NOT_LIBPQ and isinstance(value, str | int) and not isinstance(value, bool)


def _completed(address: Address) -> Address:
    """What libpq itself fills in (a service, PGHOST, the default socket): asked of one connection."""
    import psycopg

    with psycopg.connect(**address.params) as session:  # type: ignore[arg-type]  # libpq's own parameters
        info = session.info
        options = {key: value for key, value in address.options.items() if key != "service"}
        password = address.password or info.password
        return replace(address, host=info.host, port=info.port, user=info.user, password=password, options=options)
