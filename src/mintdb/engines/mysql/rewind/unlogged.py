"""What tables hold that InnoDB does not count, as MyISAM's: a session without log leaves no other trace in them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from mintdb.engines.mysql.session import Session, literal, name

Held = Mapping[str, tuple[object, object]]
"""A checksum of each table's rows, which the server reads them all for, and its AUTO_INCREMENT."""


def read_held(session: Session, database: str, tables: Collection[str]) -> Held:
    """What they hold now, in one round trip; none where there is no such table. Raises what the server raises."""
    if not tables:
        return {}
    sums, numbers = session.run_all(
        [
            f"checksum table {', '.join(name(database, table) for table in tables)}",
            "select table_name, auto_increment from information_schema.tables"
            f" where table_schema = {literal(database)} and table_name in ({', '.join(map(literal, tables))})",
        ]
    )
    next_ones = {str(table): value for table, value in numbers}
    return {table: (told, next_ones.get(table)) for table, (_, told) in zip(tables, sums, strict=True)}
