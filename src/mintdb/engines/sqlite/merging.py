"""Take what one mark had written out of a mark above it, row by row, so that wide fixtures may end in any order."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from mintdb.engines.sqlite import databases
from mintdb.facts import dataclass

NUMBERS = ("user_version", "application_id")
LAST = "sqlite_sequence"  # after the rows, whose insertion may move it
ROWID = ("rowid", "_rowid_", "oid")  # https://www.sqlite.org/rowidtable.html: whichever is not a column's name


class CannotTakeOut(Exception):
    """The two marks differ in more than rows, or the rows depend on each other."""


@dataclass(frozen=True)
class Table:
    """One table, and what tells its rows apart."""

    name: str
    columns: Sequence[str]
    key: Sequence[str]
    is_ordinary: bool  # and no part of a virtual table's inner life

    def rows(self, schema: str) -> str:
        """All rows with their types: to SQLite 1 and 1.0 are equal."""
        values = [*self.key, *self.columns, *(f"typeof({column})" for column in self.columns)]
        return f"select {', '.join(values)} from {schema}.{self.name}"  # noqa: S608  quoted names

    def keys_that_differ(self, one: str, other: str) -> str:
        """The keys of rows that only one of two schemas has."""
        keys = ", ".join(f"k{number}" for number in range(len(self.key)))
        values = [f"v{number}" for number in range(2 * len(self.columns))]
        names = ", ".join([keys, *values])
        sides = (f"{self.rows(a)} except {self.rows(b)}" for a, b in ((one, other), (other, one)))
        # A compound select is one flat list: each side has to be a table of its own.
        parts = " union ".join(f"select {keys} from side{number}" for number in (0, 1))  # noqa: S608  see above
        tables = ", ".join(f"side{number}({names}) as ({side})" for number, side in enumerate(sides))
        return f"with {tables} {parts}"


def take_out(lower: Path, written: Path, upper: Path, target: Path) -> None:
    """Make `target` what `upper` holds without what was written between `lower` and `written`.

    A row that was changed again above stays as it is there. Raises CannotTakeOut, and then leaves nothing.
    """
    databases.copy(upper, target)
    try:
        with closing(databases.connect(target.as_uri(), uri=True)) as connection:
            connection.execute("pragma journal_mode = memory")
            connection.execute("attach ? as lower", [f"{lower.as_uri()}?immutable=1"])
            connection.execute("attach ? as written", [f"{written.as_uri()}?immutable=1"])
            _take_out(connection)
            connection.execute("pragma journal_mode = delete")
    except (sqlite3.Error, CannotTakeOut) as error:
        databases.remove(target)
        raise CannotTakeOut(str(error)) from None


def _take_out(connection: sqlite3.Connection) -> None:
    schema = _schema(connection, "main")
    if not schema == _schema(connection, "lower") == _schema(connection, "written"):
        raise CannotTakeOut("the schema was changed")
    triggers = [(name, sql) for kind, name, sql in schema if kind == "trigger"]
    connection.execute("begin")
    for name, _ in triggers:
        connection.execute(f"drop trigger {quote(name)}")
    for table in _tables(connection):
        _take_out_rows(connection, table)
    for _, sql in triggers:
        connection.execute(str(sql))
    for number in NUMBERS:
        _take_out_number(connection, number)
    connection.execute("commit")


def _take_out_rows(connection: sqlite3.Connection, table: Table) -> None:
    moved = set(connection.execute(table.keys_that_differ("lower", "written")))
    if moved and not table.is_ordinary:
        raise CannotTakeOut(f"{table.name} is part of a virtual table")
    moved -= set(connection.execute(table.keys_that_differ("written", "main")))
    where = " and ".join(f"{key} is ?" for key in table.key)
    names = ", ".join([*table.key, *(column for column in table.columns if column not in table.key)])
    connection.executemany(f"delete from main.{table.name} where {where}", moved)  # noqa: S608  quoted names
    connection.executemany(
        f"insert into main.{table.name} ({names}) select {names} from lower.{table.name} where {where}",  # noqa: S608
        sorted(moved, key=repr),
    )


def _take_out_number(connection: sqlite3.Connection, name: str) -> None:
    lower, written, main = (
        connection.execute(f"pragma {schema}.{name}").fetchone()[0] for schema in ("lower", "written", "main")
    )
    if main == written != lower:
        connection.execute(f"pragma main.{name} = {lower}")


def _schema(connection: sqlite3.Connection, schema: str) -> list[tuple[str, str, str]]:
    return connection.execute(f"select type, name, sql from {schema}.sqlite_master order by 1, 2").fetchall()  # noqa: S608


def _tables(connection: sqlite3.Connection) -> Iterable[Table]:
    found = connection.execute("select name, type, wr from pragma_table_list where schema = 'main'").fetchall()
    tables = [
        _table(connection, name, kind=kind, without_rowid=bool(without))
        for name, kind, without in found
        if kind in ("table", "shadow") and name not in ("sqlite_schema", "sqlite_master")
    ]
    return sorted(tables, key=lambda table: table.name == quote(LAST))


def _table(connection: sqlite3.Connection, name: str, *, kind: str, without_rowid: bool) -> Table:
    columns = connection.execute("select name, pk, hidden from pragma_table_xinfo(?)", [name]).fetchall()
    plain = [quote(column) for column, _, hidden in columns if hidden == 0]
    if name == LAST:
        key = [quote("name")]
    elif without_rowid:
        key = [quote(column) for column, place, _ in sorted(columns, key=lambda c: c[1]) if place]
    else:
        key = list(_rowid(column for column, _, _ in columns))
    return Table(quote(name), plain, key, is_ordinary=kind == "table")


def _rowid(columns: Iterable[str]) -> Iterator[str]:
    taken = {column.lower() for column in columns}
    free = [name for name in ROWID if name not in taken]
    if not free:
        raise CannotTakeOut("a table's rows cannot be told apart")
    yield free[0]


def quote(name: str) -> str:
    """A name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'
