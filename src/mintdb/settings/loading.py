"""Read all settings: each from the first layer that gives it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mintdb.settings.databases import read_databases
from mintdb.settings.environments import read_environments
from mintdb.settings.errors import CurrentFolderGone, refuse_unknown
from mintdb.settings.expansion import find_given, refuse_misspelt
from mintdb.settings.facts import DATABASE_KEYS, EMPTY, RUN_KEYS, Settings
from mintdb.settings.files import find_file
from mintdb.settings.layers import Given, Layer, merge
from mintdb.settings.values import check_run


def _current_folder() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise CurrentFolderGone from None


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
    start = (start or _current_folder()).absolute()
    environ = os.environ if environ is None else environ
    file, table, project = find_file(start)
    where = str(file) if file else "no file"
    above = _above(call, command_line, environ)
    refuse_unknown(table, (*RUN_KEYS, "databases", "environments"), where)
    refuse_misspelt(environ, table)
    environments = read_environments(table.get("environments", {}), where)
    chosen = merge(["env"], [*above, Layer(where, table)]).get("env")
    if file is None and chosen and chosen.value == environ.get("MINTDB_ENV"):
        chosen = None  # another project's, whose run has started this one
    environment = environments.get(chosen)
    place = environments.place(chosen.value) if chosen else where
    given = merge(RUN_KEYS, [*above, Layer(place, environment), Layer(where, table)])
    run = {key: check_run(key, found, environ) for key, found in given.items() if key != "env"}
    run["is_named"] = bool(project or "project" in run)
    run.setdefault("project", project or (file.parent if file else start).name)
    tables = [
        (place.replace("]", ".databases.{}]", 1), environment.get("databases", {})),
        (f"[databases.{{}}] of {where}", table.get("databases", {})),
    ]
    databases, origins = read_databases(tables, above, where, environ)
    return Settings(
        root=file.parent if file else start,
        file=file,
        databases=MappingProxyType(databases),
        env=chosen.value if chosen else None,
        environments=environments.names,
        protected=chosen is not None and environments.is_protected(chosen.value),
        protected_servers=tuple(environments.protected_servers(environ)),
        origins=MappingProxyType({**_origins(given), **origins}),
        **run,
    )


def list_environments(start: Path) -> Sequence[str]:
    """The names of the configured environments. No other setting is looked at. Raises BadSettingsFile, BadSetting."""
    file, table, _ = find_file(start.absolute())
    return read_environments(table.get("environments", {}), str(file)).names


def _above(
    call: Mapping[str, object], command_line: Mapping[str, object], environ: Mapping[str, str]
) -> Sequence[Layer]:
    """The layers above any file. What is None was not given."""
    keys = (*RUN_KEYS, *DATABASE_KEYS)
    variables = find_given(environ)
    found = [
        Layer("call", {key: value for key, value in call.items() if value is not None}),
        Layer("command line", {key: value for key, value in command_line.items() if value is not None}),
        Layer(
            "environment",
            {key: environ[variable] for variable, key in variables.items()},
            {key: f"variable {variable}" for variable, key in variables.items()},
        ),
    ]
    for layer in found:
        refuse_unknown(layer.values, keys, layer.origin)
    return found


def _origins(given: Mapping[str, Given]) -> dict[str, Any]:
    return {key: found.origin for key, found in given.items()}
