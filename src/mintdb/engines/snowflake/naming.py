"""How Snowflake keeps the names that a statement writes: in capitals, unless they are quoted."""

from __future__ import annotations

from typing import Any

# Expressions are `Any` here: sqlglot is not checked.


def spelled(identifier: Any) -> str:
    """A name as it is kept; empty for none."""
    if identifier is None:
        return ""
    return str(identifier.name if identifier.args.get("quoted") else identifier.name.upper())


def whole_name(table: Any, database: str | None, schema: str | None) -> list[str]:
    """Database, schema and name of a table; where it is named alone, it is in `schema` of `database`."""
    places = [spelled(table.args.get("catalog")) or database or "", spelled(table.args.get("db")) or schema or ""]
    return [*places, spelled(table.args.get("this"))]
