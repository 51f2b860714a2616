"""Read the configured databases: each from the layers that speak of it."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mintdb.settings.errors import BadSetting, UnknownDatabase, nearest, refuse_unknown
from mintdb.settings.facts import DATABASE_KEYS, DEFAULT, EMPTY, OF_BOTH, DatabaseSettings
from mintdb.settings.layers import Layer, merge_database
from mintdb.settings.values import check_database

Tables = Mapping[str, Mapping[str, Any]]  # Any: as the user wrote them


def read_databases(
    tables: Sequence[tuple[str, Any]], above: Sequence[Layer], where: str, environ: Mapping[str, str]
) -> tuple[dict[str, DatabaseSettings], dict[str, str]]:
    """The databases of `tables` (a file's, highest first, each with what messages call a database in it), and origins.

    `above` speaks of the default database. Raises a SettingsError.
    """
    checked = [(place, _check(databases, place, where)) for place, databases in tables]
    asked = any(key in layer.values for layer in above for key in DATABASE_KEYS)
    of_the_run = {key for layer in above for key in OF_BOTH if key in layer.values}  # whatever a file says
    above = [Layer(layer.origin, _without(layer.values, OF_BOTH), layer.origins) for layer in above]
    aliases = [DEFAULT] if asked else []
    aliases += [alias for _, databases in reversed(checked) for alias in databases]
    found: dict[str, DatabaseSettings] = {}
    origins: dict[str, str] = {}
    for alias in dict.fromkeys(aliases):
        layers = [Layer(place.format(alias), databases.get(alias, EMPTY)) for place, databases in checked]
        keys = (*DATABASE_KEYS, *OF_BOTH)
        given = merge_database(alias, keys, [*(above if alias == DEFAULT else ()), *layers], environ)
        values = {key: check_database(key, value, environ) for key, value in given.items()}
        values = _without(values, of_the_run)
        found[alias] = DatabaseSettings(alias=alias, **values)
        origins |= {f"{alias}.{key}": value.origin for key, value in given.items()}
    return _resolved(found, origins), origins


def _without(values: Mapping[str, Any], keys: Container[str]) -> dict[str, Any]:  # Any: as the user wrote them
    """The values of all other keys."""
    return {key: value for key, value in values.items() if key not in keys}


def _check(databases: Any, place: str, where: str) -> Tables:  # Any: as the user wrote it
    if not isinstance(databases, dict):
        raise BadSetting(setting="databases", where=where, value=databases, expected="one table for each database")
    for alias, table in databases.items():
        if not isinstance(table, dict):
            raise BadSetting(setting=alias, where=where, value=table, expected="a table")
        refuse_unknown(table, (*DATABASE_KEYS, *OF_BOTH), place.format(alias))
    return databases


def _resolved(found: dict[str, DatabaseSettings], origins: Mapping[str, str]) -> dict[str, DatabaseSettings]:
    """With each mirror as the database that it mirrors, and all roles where they are to be made.

    Raises UnknownDatabase, and BadSetting for a mirror of a mirror.
    """
    for alias, database in found.items():
        if database.mirror is not None:
            _check_mirror(database.mirror, found, origins[f"{alias}.mirror"])
    whole = {alias: replace(one, roles=_all_roles(alias, found)) for alias, one in found.items() if not one.mirror}
    return {alias: _reflected(whole[one.mirror], one) if one.mirror else whole[alias] for alias, one in found.items()}


def _check_mirror(of: str, found: Mapping[str, DatabaseSettings], where: str) -> None:
    if of not in found:
        raise UnknownDatabase(name=of, nearest=nearest(of, found), known=", ".join(found))
    if found[of].mirror is not None:
        expected = "the name of a database that is no mirror itself"
        raise BadSetting(setting="mirror", where=where, value=of, expected=expected)


def _reflected(home: DatabaseSettings, mirror: DatabaseSettings) -> DatabaseSettings:
    return replace(
        home,
        alias=mirror.alias,
        mirror=mirror.mirror,
        export=mirror.export,
        role=mirror.role or home.role,
        search_path=mirror.search_path or home.search_path,
    )


def _all_roles(home: str, found: Mapping[str, DatabaseSettings]) -> Sequence[str]:
    """A role that somebody connects as need not be listed too."""
    used = [one.role for alias, one in found.items() if home in (alias, one.mirror) and one.role]
    return tuple(dict.fromkeys([*found[home].roles, *used]))
