"""What a scripted row is read as: a tuple, or what the application asked its driver to make of every row."""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any

from mintdb.script.answers import Row
from mintdb.script.errors import NotScripted

Shape = Callable[[object, Sequence[str], Row], Any]  # Any: of a cursor, the columns and a row, what is fetched
# Arguments of connect and of cursor by which drivers are told; psycopg2, PyMySQL, psycopg and sqlite3.
ARGUMENTS = ("cursor_factory", "cursorclass", "row_factory")


def find_shape(asked: Iterable[object], *, is_sqlite: bool) -> Shape:
    """The last that was asked for. Raises NotScripted for a row factory that cannot be followed."""
    shape: Shape = as_it_is
    for factory in asked:
        if factory is not None:
            shape = _of_sqlite(factory) if is_sqlite else _by_name(factory)
    return shape


def named(arguments: Mapping[str, Any]) -> list[object]:  # Any: the driver's
    """What these arguments ask for."""
    return [arguments[name] for name in ARGUMENTS if name in arguments]


def as_it_is(cursor: object, columns: Sequence[str], row: Row) -> Row:
    return row


def as_dict(cursor: object, columns: Sequence[str], row: Row) -> dict[str, Any]:  # Any: see Row
    return dict(zip(columns, row, strict=True))


def as_named(cursor: object, columns: Sequence[str], row: Row) -> Any:  # Any: a class of its own
    return namedtuple("Record", columns, rename=True)(*row)


def _first(cursor: object, columns: Sequence[str], row: Row) -> Any:  # Any: see Row
    return row[0]


def _by_name(factory: object) -> Shape:
    """psycopg's factories read the server's own answer, and cannot be called without one; their names tell enough."""
    name = getattr(factory, "__name__", type(factory).__name__).lower()
    for part, shape in (("namedtuple", as_named), ("dict", as_dict), ("scalar_row", _first), ("tuple_row", as_it_is)):
        if part in name:
            return shape
    if isinstance(factory, type):  # another kind of cursor, not of row
        return as_it_is
    raise NotScripted(name=name, kind="a row factory")


def _of_sqlite(factory: Any) -> Shape:  # Any: called with a cursor and a row
    if isinstance(factory, type) and issubclass(factory, sqlite3.Row):
        return lambda cursor, columns, row: _real_row(factory, columns, row)
    return lambda cursor, columns, row: factory(cursor, row)


def _real_row(kind: type, columns: Sequence[str], row: Row) -> Any:  # Any: a sqlite3.Row
    """Only a real cursor makes one."""
    names = ", ".join('? as "{}"'.format(name.replace('"', '""')) for name in columns)
    with closing(sqlite3.Connection(":memory:")) as connection:
        connection.row_factory = kind
        return connection.execute(f"select {names}", row).fetchone()  # quoted
