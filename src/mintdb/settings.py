"""Where a setting's value comes from: call > command line > MINTDB_* > the nearest [tool.mintdb] > default."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mintdb.errors import SettingsError

ISOLATIONS = ("rewind", "clone", "none")
POLICIES = ("warn", "error", "ignore")
ENGINES = ("postgresql",)
DEFAULT = "default"
ALL_LIBPQ = "PG*"  # exported as PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE and what TLS needs
EMPTY: Mapping[str, Any] = MappingProxyType({})


class UnknownSetting(SettingsError):
    """A setting that mintdb does not know. Facts: setting, where, nearest, known."""

    text = """\
unknown setting {setting!r} in {where}{nearest}
  1. the settings known here: {known}"""


class BadSetting(SettingsError):
    """A setting whose value cannot be used. Facts: setting, where, value, expected."""

    text = """\
setting {setting!r} in {where} is {value!r}, which cannot be used
  1. give it {expected}"""


class BadSettingsFile(SettingsError):
    """A settings file that cannot be read. Facts: file, why."""

    text = """\
cannot read the settings in {file}
  {why}
  1. mend the file: it must be TOML, in UTF-8"""


class UnknownDatabase(SettingsError):
    """A database name that is not in the settings. Facts: name, nearest, known."""

    text = """\
no database {name!r} is configured{nearest}
  1. the configured databases: {known}
  2. or add it:  [tool.mintdb.databases.{name}]"""


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
        raise UnknownDatabase(name=alias, nearest=_nearest(alias, self.databases or [DEFAULT]), known=known)


SECONDS = ("settle", "linger", "name_timeout", "connection_timeout")
RUN_KEYS = ("isolation", "leaks", *SECONDS, "keep_idle", "max_connections", "binaries", "project")
DATABASE_KEYS = ("engine", "url", "schema", "name", "export", "locale", "timezone", "server_settings")


def load(
    start: Path | None = None,
    *,
    call: Mapping[str, object] = EMPTY,
    command_line: Mapping[str, object] = EMPTY,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """The settings for a project, from the nearest settings file at or above `start` (default: the current folder).

    `call` and `command_line` may hold any run setting, and any setting of the default database. Raises a SettingsError.
    """
    start = (start or Path.cwd()).absolute()
    file, table, project = _find_file(start)
    layers = [
        ("call", dict(call)),
        ("command line", dict(command_line)),
        ("environment", _from_environment(os.environ if environ is None else environ)),
    ]
    layers = [(where, {k: v for k, v in values.items() if v is not None}) for where, values in layers]
    where_file = str(file) if file else "no file"
    _refuse_unknown(table, (*RUN_KEYS, "databases"), where_file)
    values, origins = _merge(RUN_KEYS, layers, table, where_file)
    run = {key: _check_run(key, value, origins[key]) for key, value in values.items()}
    run.setdefault("project", project or (file.parent if file else start).name)
    databases = _databases(table.get("databases", {}), layers, where_file, origins)
    return Settings(
        root=file.parent if file else start,
        file=file,
        databases=MappingProxyType(databases),
        origins=MappingProxyType(origins),
        **run,
    )


def _find_file(start: Path) -> tuple[Path | None, dict[str, Any], str | None]:
    for folder in (start, *start.parents):
        own, pyproject = folder / "mintdb.toml", folder / "pyproject.toml"
        if own.is_file():
            return own, _read(own), None
        if pyproject.is_file() and b"mintdb" in pyproject.read_bytes():  # parsing others' files costs more than looking
            content = _read(pyproject)
            tool = content.get("tool", {})
            if "mintdb" in tool:
                return pyproject, tool["mintdb"], content.get("project", {}).get("name")
    return None, {}, None


def _read(file: Path) -> dict[str, Any]:
    import tomllib  # 10 ms, for those who have a settings file

    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise BadSettingsFile(file=file, why=error) from None


def _from_environment(environ: Mapping[str, str]) -> dict[str, object]:
    keys = {f"MINTDB_{key.upper()}": key for key in (*RUN_KEYS, *DATABASE_KEYS) if key != "server_settings"}
    return {key: environ[variable] for variable, key in keys.items() if environ.get(variable)}


def _merge(
    keys: Iterable[str], layers: list[tuple[str, dict[str, object]]], table: Mapping[str, Any], where: str
) -> tuple[dict[str, object], dict[str, str]]:
    values: dict[str, object] = {}
    origins: dict[str, str] = {}
    for key in keys:
        for origin, layer in [*layers, (where, dict(table))]:
            if key in layer:
                values[key], origins[key] = layer[key], origin
                break
    return values, origins


def _databases(
    tables: object, layers: list[tuple[str, dict[str, object]]], where: str, origins: dict[str, str]
) -> dict[str, DatabaseSettings]:
    if not isinstance(tables, dict):
        raise BadSetting(setting="databases", where=where, value=tables, expected="one table for each database")
    asked = any(key in layer for _, layer in layers for key in DATABASE_KEYS)
    if asked and DEFAULT not in tables:
        tables = {DEFAULT: {}, **tables}
    found = {}
    for alias, table in tables.items():
        place = f"[databases.{alias}] of {where}"
        if not isinstance(table, dict):
            raise BadSetting(setting=alias, where=where, value=table, expected="a table")
        _refuse_unknown(table, DATABASE_KEYS, place)
        values, sources = _merge(DATABASE_KEYS, layers if alias == DEFAULT else [], table, place)
        origins.update({f"{alias}.{key}": origin for key, origin in sources.items()})
        found[alias] = DatabaseSettings(
            alias=alias, **{key: _check_database(key, value, sources[key]) for key, value in values.items()}
        )
    return found


def _check_run(key: str, value: object, where: str) -> Any:  # Any: the type depends on the key
    if key in SECONDS:
        return _seconds(key, value, where)
    if key == "keep_idle":
        return _truth(key, value, where)
    if key == "max_connections":
        return _positive(key, value, where)
    choices = {"isolation": ISOLATIONS, "leaks": POLICIES}.get(key)
    return _choice(key, value, where, choices) if choices else _text(key, value, where)


def _check_database(key: str, value: object, where: str) -> Any:  # Any: the type depends on the key
    if key == "engine":
        return _choice(key, value, where, ENGINES)
    if key == "export":
        return _exports(value, where)
    if key == "server_settings":
        if not isinstance(value, dict):
            raise BadSetting(setting=key, where=where, value=value, expected="a table of server parameters")
        return {str(k): _server_value(v) for k, v in value.items()}
    if key == "url":
        return os.path.expandvars(_text(key, value, where))
    return _text(key, value, where)


def _exports(value: object, where: str) -> Mapping[str, str]:
    if isinstance(value, str) and value:
        return {value: "libpq"}
    if isinstance(value, dict) and all(isinstance(form, str) for form in value.values()):
        return dict(value)
    expected = 'a variable name, or a table such as { DATABASE_URL = "libpq", ASYNC_URL = "postgresql+asyncpg" }'
    raise BadSetting(setting="export", where=where, value=value, expected=expected)


def _seconds(key: str, value: object, where: str) -> float:
    try:
        seconds = float(str(value))
    except ValueError:
        seconds = -1
    if isinstance(value, bool) or not 0 <= seconds < float("inf"):
        raise BadSetting(setting=key, where=where, value=value, expected="a number of seconds, 0 or more")
    return seconds


def _truth(key: str, value: object, where: str) -> bool:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if str(value).lower() not in words:
        raise BadSetting(setting=key, where=where, value=value, expected="true or false")
    return words[str(value).lower()]


def _positive(key: str, value: object, where: str) -> int:
    if isinstance(value, bool) or not str(value).isdigit() or int(str(value)) < 1:
        raise BadSetting(setting=key, where=where, value=value, expected="a whole number, 1 or more")
    return int(str(value))


def _choice(key: str, value: object, where: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise BadSetting(setting=key, where=where, value=value, expected=f"one of {', '.join(choices)}")
    return str(value)


def _text(key: str, value: object, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise BadSetting(setting=key, where=where, value=value, expected="a text")
    return value


def _server_value(value: object) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def _refuse_unknown(table: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    known = tuple(known)
    for key in table:
        if key not in known:
            raise UnknownSetting(setting=key, where=where, nearest=_nearest(key, known), known=", ".join(known))


def _nearest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
