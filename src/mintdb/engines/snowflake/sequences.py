"""Name every sequence with its schema: a session may be in another one when the next number is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlglot import exp

from mintdb.engines.snowflake.naming import spelled, whole_name

OF_COUNTING_COLUMNS = "_FS_SEQ_"  # what fakesnow calls those that it makes for AUTOINCREMENT and IDENTITY
NEXT = "NEXTVAL"

# Expressions are `Any` here: sqlglot is not checked.


def qualified(statement: Any, database: str | None, schema: str | None) -> Any:
    """The statement with `s.nextval` as DuckDB has it; a sequence without a schema is one of the current schema."""
    return statement.transform(lambda node: _next_number(node, database, schema), copy=False)


def with_counting_columns(parts: Sequence[Any], database: str | None, schema: str | None) -> Sequence[Any]:
    """What fakesnow makes of a table with a column that counts: its sequence, put where the table is, and the table."""
    sequence, *rest = parts
    made = sequence.this if rest and isinstance(sequence, exp.Create) and sequence.kind == "SEQUENCE" else None
    if made is None or not made.name.upper().startswith(OF_COUNTING_COLUMNS):
        return parts
    name = made.name.upper()
    table = rest[0].find(exp.Table)
    made.replace(exp.table_(name, db=table.args.get("db"), catalog=table.args.get("catalog")))
    for literal in rest[0].find_all(exp.Literal):
        if literal.is_string and literal.this.upper() == name:
            literal.replace(exp.Literal.string(_path(table, name, database, schema)))
    return parts


def _next_number(node: Any, database: str | None, schema: str | None) -> Any:
    if not isinstance(node, exp.Column) or node.name.upper() != NEXT or not node.table:
        return node
    place = exp.Table(db=node.args.get("db"), catalog=node.args.get("catalog"))
    name = spelled(node.args["table"])
    call = exp.Anonymous(this=NEXT, expressions=[exp.Literal.string(_path(place, name, database, schema))])
    return exp.alias_(call, NEXT) if isinstance(node.parent, exp.Select) else call


def _path(place: Any, name: str, database: str | None, schema: str | None) -> str:
    """The whole name of a sequence as far as it is known, where `place` names what it names."""
    in_database, in_schema, _ = whole_name(place, database, schema)
    return ".".join(f'"{part}"' for part in (in_database if in_schema else "", in_schema, name) if part)
