"""Carry whole rows out of a table and into a statement, in a form that is exact and binds no type of the user's."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TypeAlias

from psycopg import RawCursor, sql
from psycopg.adapt import Dumper
from psycopg.pq import Format
from psycopg.rows import TupleRow

from mintdb.engines.postgresql.rewind.session import Session
from mintdb.facts import dataclass

Value: TypeAlias = bytes  # a row, as record_send writes it, or alone in an array, as array_out does

# What array_recv reads: dimensions, whether there are nulls, the elements' type, the length and the first index.
HEAD = struct.Struct("!iiIii")
LENGTH = struct.Struct("!i")


@dataclass(frozen=True)
class Rows:
    """Rows of one table as one parameter, an array."""

    values: Sequence[Value]
    element: int  # the oid of their type


class RowsDumper(Dumper):
    """Writes rows as an array in binary form; of which type it is, the statement says by a cast."""

    format = Format.BINARY

    def dump(self, obj: Rows) -> bytes:
        head = HEAD.pack(1, 0, obj.element, len(obj.values), 1)
        return head + b"".join(LENGTH.pack(len(value)) + value for value in obj.values)


@dataclass(frozen=True)
class Literals:
    """Rows of one table as one parameter, an array in text form. Of what type it is, the statement alone says."""

    values: Sequence[Value]


class LiteralsDumper(Dumper):
    """Joins arrays of one row each."""

    def dump(self, obj: Literals) -> bytes:
        return b"{" + b",".join(value[1:-1] for value in obj.values) + b"}"


def execute(session: Session, statement: sql.Composed, *parameters: object) -> list[TupleRow]:
    """Run a statement whose parameters are $1, $2 …, so that a % in a name of the user's is nothing special."""
    with RawCursor(session) as cursor:
        cursor.adapters.register_dumper(Rows, RowsDumper)
        cursor.adapters.register_dumper(Literals, LiteralsDumper)
        return cursor.execute(statement, parameters).fetchall()
