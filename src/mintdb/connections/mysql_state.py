"""What can be read of a MariaDB session's state, and the statements that lead from one state back to another.

Temporary tables are not among it: MariaDB lists them nowhere before 11.2.
https://mariadb.com/kb/en/information-schema-system_variables-table/ says what is told of a variable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field

from mintdb.facts import dataclass

Ask = Callable[[str], Sequence[Sequence[object]] | None]
"""Runs one statement and returns its rows; None where that cannot be done now."""

PLACE = "select database() from dual where not @@in_transaction"
SETTINGS = """
select variable_name, session_value, variable_type from information_schema.system_variables
where read_only = 'NO' and session_value is not null
and ((variable_scope = 'SESSION' and not session_value <=> global_value)
  or (variable_name = 'SQL_LOG_BIN' and session_value <> 'ON'))"""
VARIABLES = "select variable_name, variable_value, variable_type from information_schema.user_variables"
LOCKS = """
select table_schema from information_schema.metadata_lock_info
where thread_id = connection_id() and lock_type = 'User lock'"""
BARE = ("INT", "DOUBLE", "DECIMAL")  # parts of the names of types whose values are not quoted


@dataclass(frozen=True)
class MysqlState:
    """What was set on a session; values are as a statement takes them."""

    database: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)  # only what is not the server's own
    variables: Mapping[str, str] = field(default_factory=dict)  # @…
    locks: frozenset[str] = frozenset()  # of GET_LOCK; a server of ours shows them


def read(ask: Ask) -> MysqlState | None:
    """The session's state now; None in a transaction, and where it cannot be read, as on MySQL. Four round trips."""
    database, settings, variables, locks = map(ask, (PLACE, SETTINGS, VARIABLES, LOCKS))
    if not database or settings is None or variables is None:
        return None
    return MysqlState(
        None if database[0][0] is None else str(database[0][0]),
        {str(name).lower(): _value(value, kind) for name, value, kind in settings},
        {str(name): _value(value, kind) for name, value, kind in variables if value is not None},
        frozenset(str(lock) for (lock,) in locks or ()),
    )


def differences(now: MysqlState, before: MysqlState) -> Iterator[str]:
    """The statements that lead from one state back to the other."""
    for name in sorted(now.settings.keys() | before.settings.keys()):
        if now.settings.get(name) != before.settings.get(name):
            yield f"set session {name} = {before.settings.get(name, 'default')}"
    for name in sorted(now.variables.keys() | before.variables.keys()):
        if now.variables.get(name) != before.variables.get(name):
            yield f"set @{_name(name)} = {before.variables.get(name, 'null')}"
    yield from (f"do release_lock({_literal(lock)})" for lock in sorted(now.locks - before.locks))
    if before.database is not None and now.database != before.database:
        yield f"use {_name(before.database)}"


def _value(value: object, kind: object) -> str:
    bare = any(part in str(kind).upper() for part in BARE)
    return str(value) if bare else _literal(str(value))


def _name(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _literal(text: str) -> str:
    """In hexadecimal: what a backslash means in quotes depends on the very settings that are put back."""
    return f"_utf8mb4 x'{text.encode().hex()}'" if text else "''"
