"""Keep the lengths of texts with their columns: DuckDB has none, and fakesnow notes them where a table is made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlglot import exp

from mintdb.engines.snowflake.naming import spelled, whole_name

KEPT = "_fs_global._fs_information_schema._fs_columns_ext"
OF_SCHEMA = "(ext_table_catalog, ext_table_schema) = (?, ?)"
OF_TABLE = "(ext_table_catalog, ext_table_schema, ext_table_name) = (?, ?, ?)"
OF_COLUMN = f"{OF_TABLE} and ext_column_name = ?"
Step = tuple[str, list[str]]
"""A statement and its parameters."""

# Expressions are `Any` here: sqlglot is not checked.


def follow(statement: Any, database: str | None, schema: str | None) -> Iterator[Step]:
    """What has to be written down after a statement that renames, drops or copies columns."""
    kind = str(statement.args.get("kind") or "").upper()
    if isinstance(statement, exp.Alter) and kind == "TABLE":
        for action in statement.args.get("actions") or ():
            yield from _altered(whole_name(statement.this, database, schema), action)
    elif isinstance(statement, exp.Drop) and kind in ("TABLE", "SCHEMA"):
        for named in statement.args.get("tables") or ():
            place = whole_name(named, database, schema)
            yield _forget(OF_TABLE, place) if kind == "TABLE" else _forget(OF_SCHEMA, place[:2])
    elif isinstance(statement, exp.Create) and kind == "TABLE" and isinstance(statement.this, exp.Table):
        yield from _copied(statement, database, schema)


def _altered(table: list[str], action: Any) -> Iterator[Step]:
    if isinstance(action, exp.RenameColumn):
        old, new = spelled(action.this.this), spelled(action.args["to"].this)
        yield _forget(OF_COLUMN, [*table, new])
        yield f"update {KEPT} set ext_column_name = ? where {OF_COLUMN}", [new, *table, old]  # noqa: S608  # constants
    elif isinstance(action, exp.AlterRename):
        renamed = whole_name(action.this, table[0], table[1])
        yield _forget(OF_TABLE, renamed)
        changes = "ext_table_catalog = ?, ext_table_schema = ?, ext_table_name = ?"
        yield f"update {KEPT} set {changes} where {OF_TABLE}", [*renamed, *table]  # noqa: S608  # constants
    elif isinstance(action, exp.Drop):
        for column in action.args.get("tables") or ():
            yield _forget(OF_COLUMN, [*table, spelled(column.this)])


def _copied(statement: Any, database: str | None, schema: str | None) -> Iterator[Step]:
    """A table that was made of another, or of a query: the query's columns have no lengths."""
    if statement.args.get("exists"):
        return  # nobody knows whether it was there before
    table = whole_name(statement.this, database, schema)
    yield _forget(OF_TABLE, table)
    source = statement.find(exp.LikeProperty) or statement.args.get("clone")
    if source is not None:
        columns = "ext_column_name, ext_character_maximum_length, ext_character_octet_length"
        read = f"select ?, ?, ?, {columns} from {KEPT} where {OF_TABLE}"  # noqa: S608  # constants
        yield f"insert into {KEPT} {read}", [*table, *whole_name(source.this, database, schema)]


def _forget(which: str, place: list[str]) -> Step:
    return f"delete from {KEPT} where {which}", place  # noqa: S608  # constants
