"""Whether a value can be used for a setting, and what it then is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mintdb.settings.errors import BadSetting
from mintdb.settings.expansion import expand
from mintdb.settings.facts import ENGINES, ISOLATIONS, LISTS, POLICIES, SECONDS, TERMINATIONS, TRUTHS
from mintdb.settings.layers import Given

REPORTS = (".json", ".html")


def check_run(key: str, given: Given, environ: Mapping[str, str]) -> Any:  # Any: the type depends on the key
    """The value of a setting of the run, as its type. Raises BadSetting and UnsetVariable."""
    value, where = given.value, given.origin
    if key in SECONDS:
        return _seconds(key, value, where)
    if key in TRUTHS:
        return check_truth(key, value, where)
    if key == "max_connections":
        return _positive(key, value, where)
    if key == "report":
        return _files(key, value, where)
    choices = {"isolation": ISOLATIONS, "leaks": POLICIES, "terminate": TERMINATIONS}.get(key)
    return _choice(key, value, where, choices) if choices else _expanded(key, value, where, environ)


def check_database(key: str, given: Given, environ: Mapping[str, str]) -> Any:  # Any: the type depends on the key
    """The value of a setting of a database, as its type. Raises BadSetting and UnsetVariable."""
    value, where = given.value, given.origin
    if key == "engine":
        return _choice(key, value, where, ENGINES)
    if key == "leaks":
        return _choice(key, value, where, POLICIES)
    if key == "export":
        return _exports(value, where)
    if key in LISTS:
        return tuple(_expanded(key, item, where, environ) for item in _list(key, value, where))
    if key == "server_settings":
        if not isinstance(value, dict):
            raise BadSetting(setting=key, where=where, value=value, expected="a table of server parameters")
        return {str(k): _server_value(v, where, environ) for k, v in value.items()}
    return _expanded(key, value, where, environ)


def _expanded(key: str, value: object, where: str, environ: Mapping[str, str]) -> str:
    return expand(key, _text(key, value, where), where, environ)


def _list(key: str, value: object, where: str) -> Sequence[object]:
    """A list, or one text, which holds several only where a comma cannot be part of one."""
    if isinstance(value, list | tuple):
        return value
    if isinstance(value, str) and key != "seed":
        return [word.strip() for word in value.split(",")]
    if isinstance(value, str):
        return [value]
    raise BadSetting(setting=key, where=where, value=value, expected="a list of texts")


def _exports(value: object, where: str) -> Mapping[str, str]:
    exports = {value: "libpq"} if isinstance(value, str) else value
    if isinstance(exports, dict) and all(map(_is_export, exports.items())):
        return dict(exports)
    expected = 'a variable name, or a table such as { DATABASE_URL = "libpq", ASYNC_URL = "postgresql+asyncpg" }'
    raise BadSetting(setting="export", where=where, value=value, expected=expected)


def _is_export(item: tuple[str, object]) -> bool:
    """Whether a shell could set the variable (PG* and MYSQL* stand for several), and the form is a text."""
    variable, form = item
    return variable.removesuffix("*").isidentifier() and isinstance(form, str)


def _seconds(key: str, value: object, where: str) -> float:
    try:
        seconds = float(str(value))
    except ValueError:
        seconds = -1
    if isinstance(value, bool) or not 0 <= seconds < float("inf"):
        raise BadSetting(setting=key, where=where, value=value, expected="a number of seconds, 0 or more")
    return seconds


def check_truth(key: str, value: object, where: str) -> bool:
    """Yes or no. Raises BadSetting."""
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if str(value).lower() not in words:
        raise BadSetting(setting=key, where=where, value=value, expected="true or false")
    return words[str(value).lower()]


def _positive(key: str, value: object, where: str) -> int:
    if isinstance(value, bool) or not str(value).isdigit() or int(str(value)) < 1:
        raise BadSetting(setting=key, where=where, value=value, expected="a whole number, 1 or more")
    return int(str(value))


def _files(key: str, value: object, where: str) -> tuple[str, ...]:
    files = [str(file) for file in _list(key, value, where)]
    if not all(file.endswith(REPORTS) for file in files):
        expected = f"files whose names end in {' or '.join(REPORTS)}"
        raise BadSetting(setting=key, where=where, value=value, expected=expected)
    return tuple(files)


def _choice(key: str, value: object, where: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise BadSetting(setting=key, where=where, value=value, expected=f"one of {', '.join(choices)}")
    return str(value)


def _text(key: str, value: object, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise BadSetting(setting=key, where=where, value=value, expected="a text")
    return value


def _server_value(value: object, where: str, environ: Mapping[str, str]) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return expand("server_settings", str(value), where, environ)
