"""All that can be set, with its meaning, its unit and its default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mintdb.settings.errors import UnknownDatabase, nearest

ISOLATIONS = ("rewind", "clone", "none")
POLICIES = ("warn", "error", "ignore")
ENGINES = ("postgresql", "sqlite")
DEFAULT = "default"
ALL_LIBPQ = "PG*"  # exported as PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE and what TLS needs
EMPTY: Mapping[str, Any] = MappingProxyType({})
SECONDS = ("settle", "linger", "name_timeout", "connection_timeout")
RUN_KEYS = ("isolation", "leaks", *SECONDS, "keep_idle", "max_connections", "binaries", "project")
DATABASE_KEYS = ("engine", "url", "schema", "name", "export", "locale", "timezone", "server_settings")


@dataclass(frozen=True)
class DatabaseSettings:
    """One configured database."""

    alias: str = DEFAULT
    engine: str = "postgresql"
    url: str | None = None  # None: embedded
    schema: str = "none"
    name: str | None = None  # a name that the application has hard-wired
    export: Mapping[str, str] = field(default_factory=lambda: EMPTY)  # environment variable -> URL form
    locale: str | None = None
    timezone: str | None = None
    server_settings: Mapping[str, str] = field(default_factory=lambda: EMPTY)


@dataclass(frozen=True)
class Settings:
    """All settings, and for each that was given where it came from."""

    root: Path
    file: Path | None = None
    project: str = "mintdb"
    isolation: str = "rewind"
    leaks: str = "warn"
    settle: float = 1.0  # seconds that a session in the middle of something is waited for
    linger: float = 30.0  # seconds that an unused embedded server stays
    name_timeout: float = 300.0  # seconds to wait for another run that holds the same fixed name
    binaries: str | None = None
    keep_idle: bool = True  # False: an application's pools close a connection when it is given back
    max_connections: int | None = (
        None  # at once, to one clone; None: no limit of ours, or what an external server allows
    )
    connection_timeout: float = 30.0  # seconds that an opener waits at the limit
    databases: Mapping[str, DatabaseSettings] = field(default_factory=lambda: MappingProxyType({}))
    origins: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def configured(self) -> bool:
        """Whether anybody has asked for a database in so many words."""
        return bool(self.databases)

    def with_database(self, database: DatabaseSettings) -> Settings:
        """The same, with one more database, unless one of that name is configured."""
        return replace(self, databases=MappingProxyType({database.alias: database, **self.databases}))

    def get_database(self, alias: str) -> DatabaseSettings:
        """The settings of one database; the default one exists unconfigured too. Raises UnknownDatabase."""
        if alias in self.databases:
            return self.databases[alias]
        if alias == DEFAULT and not self.databases:
            return DatabaseSettings()
        known = ", ".join(self.databases) or DEFAULT
        raise UnknownDatabase(name=alias, nearest=nearest(alias, self.databases or [DEFAULT]), known=known)
