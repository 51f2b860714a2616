"""`${VARIABLES}` in settings, and MINTDB_* variables that give one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from mintdb.settings.errors import UnknownVariable, UnsetVariable, find_nearest
from mintdb.settings.facts import DATABASE_KEYS, RUN_KEYS, TABLES

PREFIX = "MINTDB_"
REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
# Variables of mintdb's own that are no settings.
BETWEEN_PROCESSES = ("HANDOVER", "WATCH", "REPORT_PARTS", "XDIST_WORKER_TAKEN", "LEASED", "OUTCOMES")
FOR_THE_COMMAND = ("PUT_BACK_URL", "KEEP_URL", "WORKER_URL")
OTHERS = ("CACHE_DIR", "ACCOUNT", "EMULATION", "SOAK", *BETWEEN_PROCESSES, *FOR_THE_COMMAND)
NAMES = {f"{PREFIX}{key.upper()}": key for key in (*RUN_KEYS, *DATABASE_KEYS) if key not in TABLES}
LIKENESS = 0.75  # of difflib, without the prefix that all share: what nobody has mistyped is somebody else's variable


def expand(key: str, value: str, where: str, environ: Mapping[str, str]) -> str:
    """A text with its variables' values. Raises UnsetVariable."""

    def look_up(found: re.Match[str]) -> str:
        if found[1] not in environ:
            raise UnsetVariable(variable=found[1], setting=key, where=where, state="not set")
        return environ[found[1]]

    expanded = REFERENCE.sub(look_up, value)
    if value and not expanded:  # how CI systems hand on a secret that is not there
        raise UnsetVariable(variable=REFERENCE.findall(value)[0], setting=key, where=where, state="empty")
    return expanded


def find_expanded(value: object, environ: Mapping[str, str]) -> str | None:
    """A text with its variables' values; None if it is none, or a variable is not set."""
    if not isinstance(value, str) or any(name not in environ for name in REFERENCE.findall(value)):
        return None
    return REFERENCE.sub(lambda found: environ[found[1]], value)


def references(table: object) -> Iterator[str]:
    """The names of all variables in a table's texts, at any depth."""
    if isinstance(table, str):
        yield from REFERENCE.findall(table)
    elif isinstance(table, Mapping):
        for value in table.values():
            yield from references(value)
    elif isinstance(table, list):
        for value in table:
            yield from references(value)


def find_given(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that give a setting, and the settings' names. One that is empty says nothing."""
    return {variable: key for variable, key in NAMES.items() if environ.get(variable)}


def refuse_misspelt(environ: Mapping[str, str], table: object) -> None:
    """Raise UnknownVariable for a MINTDB_* variable that is nearly one of ours, and that `table` does not refer to."""
    used = {*NAMES, *(f"{PREFIX}{other}" for other in OTHERS), *references(table)}
    for variable in find_unknown(environ):
        if variable not in used and (near := _nearest(variable)):
            raise UnknownVariable(variable=variable, near=near)


def find_unknown(environ: Mapping[str, str]) -> list[str]:
    """MINTDB_* variables that mintdb does not read."""
    ours = {*NAMES, *(f"{PREFIX}{other}" for other in OTHERS)}
    return sorted(variable for variable in environ if variable.upper().startswith(PREFIX) and variable not in ours)


def _nearest(variable: str) -> str | None:
    known = [name.removeprefix(PREFIX) for name in (*NAMES, *(f"{PREFIX}{other}" for other in OTHERS))]
    word = variable.upper().removeprefix(PREFIX)
    near = find_nearest(word, known, likeness=LIKENESS)
    return f"{PREFIX}{near}" if near else None
