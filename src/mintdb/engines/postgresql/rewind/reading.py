"""Ask which rows lie in a table and what they say, and get no more than there is room for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from psycopg import Cursor, sql
from psycopg.rows import TupleRow

from mintdb.engines.postgresql.rewind.blocks import Blocks, live
from mintdb.engines.postgresql.rewind.held import Identity
from mintdb.engines.postgresql.rewind.relations import Relation
from mintdb.engines.postgresql.rewind.session import Session
from mintdb.engines.postgresql.rewind.wire import Value

Wanted: TypeAlias = tuple[Relation, Blocks]

# One text of them all is read in a quarter of the time that a row for each takes.
LYING = sql.SQL("""
select count(*), case when count(*) <= {most} then string_agg(mint_at::text || mint_x::text, ' ') end
  from ({rows} limit {most} + 1) r
""")
WEIGHED = sql.SQL("""
select mint_at::text || mint_x::text, case when sum(octet_length(said)) over () <= {room} then said end
  from ({rows} offset 0) r order by mint_at
""")
ANY_NUMBER = 1 << 40


def lying(session: Session, relation: Relation, blocks: Blocks, most: int = ANY_NUMBER) -> list[Identity] | None:
    """The rows in `blocks`, in no order; None if there are more than `most`."""
    return _identities(session.execute(_lying(relation, blocks, most)))


def all_lying(session: Session, wanted: Iterable[Wanted]) -> list[list[Identity]]:
    """The rows in blocks of several tables, in one trip."""
    statements = [_lying(relation, blocks, ANY_NUMBER) for relation, blocks in wanted]
    if not statements:
        return []
    cursor = session.execute(sql.SQL(";").join(statements))
    return [_identities(result) or [] for result in cursor.results()]


def _lying(relation: Relation, blocks: Blocks, most: int) -> sql.Composed:
    return LYING.format(rows=live(relation, blocks), most=most)


def _identities(cursor: Cursor[TupleRow]) -> list[Identity] | None:
    count, text = cursor.fetchone() or (0, None)
    return text.split(" ") if text else None if count else []


def weighed(session: Session, rows: sql.Composed, room: int) -> dict[Identity, Value] | None:
    """Rows as they lie and what they say; None, and nothing is sent, if that has more bytes than `room`."""
    found: Sequence[TupleRow] = session.execute(WEIGHED.format(rows=rows, room=room), binary=True).fetchall()
    return None if found and found[0][1] is None else dict(found)
