"""All that can be set, with its meaning, its unit and its default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mintdb.address import find_server, redact
from mintdb.facts import dataclass
from mintdb.settings.errors import ProtectedEnvironment, ProtectedServer, UnknownDatabase, nearest

ISOLATIONS = ("rewind", "clone", "transaction", "none")
# Nothing; what a test opened and left open; that by the server, too, and sessions of processes that the test started.
TERMINATIONS = ("never", "own", "database")
POLICIES = ("warn", "error", "ignore")
ENGINES = ("postgresql", "sqlite", "mysql", "snowflake")
DEFAULT = "default"
DEFAULT_ENGINE = "postgresql"
ALL_MYSQL = "MYSQL*"  # exported as MYSQL_HOST and so on
ALL_LIBPQ = "PG*"  # exported as PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE and what TLS needs
EMPTY: Mapping[str, Any] = MappingProxyType({})
SECONDS = ("settle", "linger", "name_timeout", "connection_timeout")
CONNECTION_KEYS = ("leaks", "keep_idle", "max_connections", "terminate", "report")
RUN_KEYS = ("env", "isolation", *SECONDS, *CONNECTION_KEYS, "rewind_examples", "binaries", "project")
TRUTHS = ("keep_idle", "rewind_examples")
# What belongs to an engine: a layer that names another one leaves it behind.
ENGINE_KEYS = ("url", "locale", "timezone", "server_settings", "extensions", "roles", "role", "search_path")
POSTGRESQL_KEYS = ("extensions", "roles", "role", "search_path")  # which no other engine has
MIRROR_KEYS = ("mirror", "export", "role", "search_path")  # the rest is the other database's
DATABASE_KEYS = ("engine", "schema", "seed", "name", "export", "mirror", *ENGINE_KEYS)
OF_BOTH = ("leaks",)  # of the run; in a file a database may have its own
LISTS = ("seed", "extensions", "roles")
TABLES = ("server_settings",)  # no variable can give them


@dataclass(frozen=True)
class DatabaseSettings:
    """One configured database."""

    alias: str = DEFAULT
    engine: str = "postgresql"
    url: str | None = None  # None: embedded
    schema: str = "none"
    seed: Sequence[str] = ()  # schema sources, each of which is a layer of its own on the schema
    name: str | None = None  # a name that the application has hard-wired
    export: Mapping[str, str] = field(default_factory=lambda: EMPTY)  # environment variable -> URL form
    mirror: str | None = None  # the database whose clone this is another name for
    locale: str | None = None
    timezone: str | None = None
    server_settings: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    extensions: Sequence[str] = ()  # created before the schema
    roles: Sequence[str] = ()  # created before anything else, on a server of this project's own
    role: str | None = None  # whom the tests connect as
    search_path: str | None = None  # of the tests' connections
    leaks: str | None = None  # None: as for the run
    root: Path | None = None  # where its paths and imports begin; None: where those of the settings do

    def given(self) -> dict[str, Any]:  # Any: plain values, as JSON has them
        """What differs from the defaults, but for the name, what is exported, and where paths begin."""
        names = {field.name for field in fields(self)} - {"alias", "export", "root"}
        told = {name: getattr(self, name) for name in sorted(names)}
        plain = {name: dict(value) if isinstance(value, Mapping) else value for name, value in told.items()}
        return {name: value for name, value in plain.items() if value}


@dataclass(frozen=True)
class Settings:
    """All settings, and for each that was given where it came from."""

    root: Path
    file: Path | None = None
    env: str | None = None  # the environment's name
    project: str = "mintdb"
    is_named: bool = False  # whether somebody has said that name; else it is the folder's
    isolation: str = "rewind"
    leaks: str = "warn"
    settle: float = 1.0  # seconds that a session in the middle of something is waited for
    linger: float = 30.0  # seconds that an unused embedded server stays
    name_timeout: float = 300.0  # seconds to wait for another run that holds the same fixed name
    rewind_examples: bool = False  # whether each of Hypothesis's examples starts from the same database
    binaries: str | None = None
    keep_idle: bool = True  # False: an application's pools close a connection when it is given back
    max_connections: int | None = (
        None  # at once, to one clone; None: no limit of ours, or what an external server allows
    )
    connection_timeout: float = 30.0  # seconds that an opener waits at the limit
    terminate: str = "never"  # what is ended on databases that mintdb did not make: see TERMINATIONS
    report: Sequence[str] = ()  # files, .json or .html, relative to the root
    databases: Mapping[str, DatabaseSettings] = field(default_factory=lambda: MappingProxyType({}))
    environments: Sequence[str] = ()  # the names of all that are configured
    protected: bool = False  # nothing of mintdb's may touch this environment's databases
    protected_servers: Sequence[tuple[str, tuple[str, int]]] = ()  # environment, (host, port)
    origins: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def configured(self) -> bool:
        """Whether anybody has asked for a database in so many words."""
        return bool(self.databases)

    @property
    def leased(self) -> Sequence[str]:
        """The databases that have a clone of their own: those that mirror no other."""
        return [alias for alias, database in self.databases.items() if database.mirror is None]

    def leaks_of(self, alias: str) -> str:
        """What a connection that is left open on a database means; one that is not configured is as the run."""
        database = self.databases.get(alias)
        return (database and database.leaks) or self.leaks

    def home_of(self, alias: str) -> str:
        """The database whose clone `alias` names: itself, or the one that it mirrors. Raises UnknownDatabase."""
        return self.get_database(alias).mirror or alias

    def root_of(self, database: DatabaseSettings) -> Path:
        """Where the relative paths and the imports of a database's settings begin."""
        return database.root or self.root

    def refuse_protected(self, alias: str = DEFAULT) -> None:
        """Raise ProtectedEnvironment or ProtectedServer where mintdb may not write to a database's server."""
        if self.protected:
            raise ProtectedEnvironment(environment=self.env, where=self.origins["env"])
        if url := self.get_database(alias).url:
            self.refuse_protected_server(url, alias=alias)

    def refuse_protected_server(self, url: str, *, alias: str) -> None:
        """Raise ProtectedServer if a protected environment names the server of a URL."""
        for environment, server in self.protected_servers:
            if find_server(url) == server:
                raise ProtectedServer(alias=alias, url=redact(url), environment=environment)

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
