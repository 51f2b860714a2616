"""Whether a value can be used for a setting, and what it then is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from mintdb.settings.errors import BadSetting
from mintdb.settings.facts import ENGINES, ISOLATIONS, POLICIES, SECONDS


def check_run(key: str, value: object, where: str) -> Any:  # Any: the type depends on the key
    """The value of a setting of the run, as its type. Raises BadSetting."""
    if key in SECONDS:
        return _seconds(key, value, where)
    if key == "keep_idle":
        return _truth(key, value, where)
    if key == "max_connections":
        return _positive(key, value, where)
    choices = {"isolation": ISOLATIONS, "leaks": POLICIES}.get(key)
    return _choice(key, value, where, choices) if choices else _text(key, value, where)


def check_database(key: str, value: object, where: str) -> Any:  # Any: the type depends on the key
    """The value of a setting of a database, as its type. Raises BadSetting."""
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
