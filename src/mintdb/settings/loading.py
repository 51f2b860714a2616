"""Read all settings: each from the first layer that gives it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mintdb.settings.errors import BadSetting, UnknownSetting, nearest
from mintdb.settings.facts import DATABASE_KEYS, DEFAULT, EMPTY, RUN_KEYS, DatabaseSettings, Settings
from mintdb.settings.files import find_file
from mintdb.settings.values import check_database, check_run


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
    file, table, project = find_file(start)
    layers = [
        ("call", dict(call)),
        ("command line", dict(command_line)),
        ("environment", _from_environment(os.environ if environ is None else environ)),
    ]
    layers = [(where, {k: v for k, v in values.items() if v is not None}) for where, values in layers]
    where_file = str(file) if file else "no file"
    _refuse_unknown(table, (*RUN_KEYS, "databases"), where_file)
    values, origins = _merge(RUN_KEYS, layers, table, where_file)
    run = {key: check_run(key, value, origins[key]) for key, value in values.items()}
    run.setdefault("project", project or (file.parent if file else start).name)
    databases = _databases(table.get("databases", {}), layers, where_file, origins)
    return Settings(
        root=file.parent if file else start,
        file=file,
        databases=MappingProxyType(databases),
        origins=MappingProxyType(origins),
        **run,
    )


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
            alias=alias, **{key: check_database(key, value, sources[key]) for key, value in values.items()}
        )
    return found


def _refuse_unknown(table: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    known = tuple(known)
    for key in table:
        if key not in known:
            raise UnknownSetting(setting=key, where=where, nearest=nearest(key, known), known=", ".join(known))
