"""Which tables hold something else than their mark has, by all of their rows: for servers where nothing else tells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from mintdb.engines.mysql.schema import Schema
from mintdb.engines.mysql.session import Session, name, names

Source = Callable[[str], str | None]
"""The database that has the rows of a table at the mark; None if there are none."""


def find_changed(session: Session, database: str, schema: Schema, source: Source) -> set[str]:
    """Tables of `database`, which has `schema`, whose rows are not those of the mark. Raises what the server raises.

    The server sums its rows' CRCs, whatever their order: one change in some billions is missed.
    """
    plain = [table for table, definition in schema.tables.items() if not definition.keeps_history]
    filled = {table: name(each, table) for table in plain if (each := source(table))}
    sums = _checksums(session, [*(name(database, table) for table in plain), *filled.values()])
    then = dict(zip(filled, sums[len(plain) :], strict=True))
    changed = {table for table, now in zip(plain, sums[: len(plain)], strict=True) if now != then.get(table, 0)}
    versioned = schema.tables.keys() - plain
    return changed | {table for table in versioned if _differs(session, schema, table, database, source(table))}


def _checksums(session: Session, tables: Sequence[str]) -> list[int | None]:
    return [told for _, told in session.rows(f"checksum table {', '.join(tables)}")] if tables else []


def _differs(session: Session, schema: Schema, table: str, database: str, source: str | None) -> bool:
    """Of a system-versioned table, whose checksum has the times of its rows in it."""

    def rows(owner: str) -> Counter[tuple[object, ...]]:
        return Counter(session.rows(f"select {names(schema.columns[table])} from {name(owner, table)}"))

    return rows(database) != (rows(source) if source else Counter())
