"""Hold the rows of every mark beside the clone, by physical identity, so that exactly those can be put back.

A row of a mark is *ctid and xmin*: no key and no equality is needed. Each table that was ever written gets one side
table in the session's temporary schema. Its rows live from the mark in which they were `born` to the mark that
no longer has them (`hidden`), so that marks share what they have in common and the newest one is `hidden is null`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from dataclasses import field, replace

from psycopg import errors, sql

from mintdb.engines.postgresql.rewind.blocks import Blocks, joined, live, located
from mintdb.engines.postgresql.rewind.columns import Shape, keys, names, shape, values
from mintdb.engines.postgresql.rewind.facts import CannotRewind
from mintdb.engines.postgresql.rewind.relations import Relation
from mintdb.engines.postgresql.rewind.session import Session, names_as_the_user
from mintdb.facts import dataclass

PAGE = 8192
SMALL_BYTES = 16 * PAGE  # a seed whose physical order is kept: about 2,000 narrow rows
FIRST_BORN = 1 << 40  # row numbers below are the floor's rows in physical order


@dataclass(frozen=True)
class Delta:
    """What one mark changed in one table, kept outside of the clone: a swap brings it along."""

    table: str  # the relation's label: oids may be others in another clone
    born: bytes  # COPY BINARY of row number, mark and columns
    born_count: int
    hidden_born: tuple[int, ...]  # rows of marks between the floor and this one
    hidden_home: tuple[str, ...]  # rows of the floor, by where they lie in a fresh clone

    def without(self, gone: Collection[int]) -> Delta:
        """The same, where the rows of a dropped mark need no hiding any more."""
        return replace(self, hidden_born=tuple(number for number in self.hidden_born if number not in gone))

    def hiding(self, number: int, home: str | None) -> Delta:
        """The same, with one more row hidden."""
        if home is None:
            return replace(self, hidden_born=(*self.hidden_born, number))
        return replace(self, hidden_home=(*self.hidden_home, home))


@dataclass(frozen=True)
class Forgotten:
    """What dropping a mark did to one side table."""

    blocks: Blocks  # where the table may differ now from the newest mark
    gone: frozenset[int]  # the rows that only that mark had
    back: tuple[int, ...]  # rows that it had hidden


@dataclass(frozen=True)
class Undone:
    """What bringing one table nearer to the newest mark did, and what is still to do."""

    deleted: int
    missing: list[int]
    beside: list[int]  # rows that were deleted only to make room for the missing ones; they are missing now too


@dataclass(frozen=True)
class Inserted:
    """Where rows that were put back lie, and the transaction that they carry now."""

    at_home: bool  # each where it lay before
    xid: str


UNDO = sql.SQL("""
with now as materialized ({live}),
young as (delete from only {table} where ctid = any (array(select l.mint_at from now l where not exists (
  select from {side} s where s.mint_at = l.mint_at and s.mint_x = l.mint_x and s.mint_hidden is null))) returning true),
missing as materialized (
  select s.mint_n, s.mint_at from {side} s where s.mint_hidden is null and {located} and not exists (
    select from now l where l.mint_at = s.mint_at and l.mint_x = s.mint_x)),
""")
# One neighbour of the missing rows on each of their pages: the map of free space counts in steps of 32 bytes, rounded
# down, so where one row was it sees room for none.
BESIDE = sql.SQL("""
page as (select distinct (mint_at::text::point)[0]::int8 as number from missing where mint_at is not null),
beside as materialized (select s.mint_n, s.mint_at from page, lateral (
  select s.mint_n, s.mint_at from {side} s
   where s.mint_at >= format('(%s,0)', number)::tid and s.mint_at < format('(%s,0)', number + 1)::tid
     and s.mint_hidden is null and s.mint_n not in (select mint_n from missing) limit 1) s),
aside as (delete from only {table} where ctid = any (array(select mint_at from beside)))
""")
RESULT = """
select (select count(*) from young), array(select mint_n from missing order by 1), array(select mint_n from beside)
"""


@dataclass
class SideCopies:
    """The side tables of one floor (the template's state, or that of a mark with DDL) on one session.

    A statement with a name of the user's in it has no parameters: a name may contain %, which would be taken for one.
    """

    session: Session
    prefix: str
    reference: Callable[[], Session] | None
    covered: dict[int, Blocks] = field(default_factory=dict)
    shapes: dict[int, Shape] = field(default_factory=dict)
    small: dict[int, bool] = field(default_factory=dict)  # its physical order is kept
    next_born: int = FIRST_BORN
    next_floor: dict[int, int] = field(default_factory=dict)
    temporary_xids: set[str] = field(default_factory=set)  # of transactions that made temporary tables

    def has(self, relation: Relation) -> bool:
        """Whether there is a side table."""
        return relation.oid in self.covered

    def cover(self, relation: Relation, blocks: Blocks) -> Blocks:
        """Make sure that the floor's rows in `blocks` are held; returns the blocks to look at, all of a small table."""
        if relation.oid not in self.covered:
            self._create(relation)
        wanted = None if self.small[relation.oid] else blocks
        have = self.covered[relation.oid]
        if have is not None and wanted != have:
            self._fetch(relation, None if wanted is None else wanted - have, had=have)
            self.covered[relation.oid] = joined(have, wanted)
        return blocks

    def _create(self, relation: Relation) -> None:
        form = self.shapes[relation.oid] = shape(self.session, relation)
        self.small[relation.oid] = self._size(relation) <= SMALL_BYTES
        with self.session.transaction():
            self.session.execute(
                sql.SQL(
                    "create temp table {side} as select 0::int8 as mint_n, 0 as mint_born, null::int4 as mint_hidden,"
                    " null::tid as mint_at, null::xid as mint_x, null::tid as mint_home {columns} from only {table} t"
                    " with no data"
                ).format(side=self.side(relation), columns=_also(form.kept), table=relation.identifier)
            )
            # A small table is read whole; without an index its rows move at a third of the cost.
            for column in () if self.small[relation.oid] else ("mint_at", "mint_n"):
                self.session.execute(
                    sql.SQL("create index on {} ({})").format(self.side(relation), sql.Identifier(column))
                )
            self.temporary_xids.add(own_xid(self.session))
        self.covered[relation.oid] = None if relation.empty else frozenset()
        self.next_floor[relation.oid] = 0

    def _size(self, relation: Relation) -> int:
        source = self.reference() if self.reference and not relation.empty else self.session
        row = source.execute("select pg_relation_size(%s::oid)", (relation.oid,)).fetchone()
        return int(row[0]) if row else 0

    def _fetch(self, relation: Relation, blocks: Blocks, *, had: frozenset[int]) -> None:
        form = self.shapes[relation.oid]
        known = sql.SQL(" where not {}").format(located("mint_at", had)) if blocks is None and had else sql.SQL("")
        rows = sql.SQL(
            "select {start} + row_number() over (order by mint_at), 0, null::int4, mint_at, mint_x, mint_at {columns}"
            " from ({live}) r{known}"
        ).format(
            start=sql.Literal(self.next_floor[relation.oid]),
            columns=form.more,
            live=live(relation, blocks, form.kept),
            known=known,
        )
        if self.reference is None:
            count = self.session.execute(sql.SQL("insert into {} ").format(self.side(relation)) + rows).rowcount
        else:
            count = self._ship(relation, rows, self.reference())
        self.next_floor[relation.oid] += count

    def _ship(self, relation: Relation, rows: sql.Composed, reference: Session) -> int:
        try:
            return self._ship_as(relation, rows, reference, sql.SQL("binary"))
        except (errors.UndefinedFunction, errors.FeatureNotSupported):  # a type without binary output
            return self._ship_as(relation, rows, reference, sql.SQL("text"))

    def _ship_as(self, relation: Relation, rows: sql.Composed, reference: Session, form: sql.SQL) -> int:
        outward = sql.SQL("copy ({}) to stdout (format {})").format(rows, form)
        inward = sql.SQL("copy {} from stdin (format {})").format(self.side(relation), form)
        with self.session.cursor() as into:
            with reference.cursor() as source, source.copy(outward) as chunks, into.copy(inward) as sink:
                for chunk in chunks:
                    sink.write(chunk)
            return into.rowcount

    def undo(self, relation: Relation, blocks: Blocks) -> Undone:
        """Delete what is there now and not in the newest mark; find what is in the mark and not there now."""
        if self.small[relation.oid]:
            beside = self._filled(BESIDE, relation, blocks)
        else:
            beside = sql.SQL("beside as (select null::int8 as mint_n where false)").format()
        statement = self._filled(UNDO, relation, blocks) + beside + sql.SQL(RESULT)
        row = self.session.execute(statement).fetchone()
        assert row is not None
        return Undone(*row)

    def insert(self, relation: Relation, numbers: Sequence[int]) -> Inserted:
        """Put rows of the newest mark back, in this order, and remember where they lie now."""
        form = self.shapes[relation.oid]
        if not form.written:
            raise CannotRewind(f"rows without a column that can be written are missing from {relation.label}")
        with names_as_the_user(self.session) if relation.calls else nullcontext():
            return self._insert(relation, form, numbers)

    def _insert(self, relation: Relation, form: Shape, numbers: Sequence[int]) -> Inserted:
        row = self.session.execute(
            sql.SQL(
                "with wanted as (select s.*, u.mint_o from unnest({numbers}::int8[]) with ordinality u (n, mint_o)"
                " join {side} s on s.mint_n = u.n),"
                " back as (insert into {table} ({names}) overriding system value select {values}"
                " from wanted w order by w.mint_o returning ctid),"
                " placed as (select w.mint_n, w.mint_at, b.at from wanted w"
                " join (select ctid as at, row_number() over () as mint_o from back) b using (mint_o)),"
                " noted as (update {side} s set mint_at = p.at, mint_x = pg_current_xact_id()::xid"
                " from placed p where s.mint_n = p.mint_n)"
                " select bool_and(at is not distinct from mint_at), pg_current_xact_id()::xid::text from placed"
            ).format(
                table=relation.identifier,
                names=names(form.written),
                values=values(form.written, "w"),
                side=self.side(relation),
                numbers=sql.Literal(list(numbers)),
            )
        ).fetchone()
        assert row is not None
        self._check_generated(relation, numbers)
        return Inserted(*row)

    def _check_generated(self, relation: Relation, numbers: Sequence[int]) -> None:
        # A function that is falsely declared immutable gives another value now.
        for name in self.shapes[relation.oid].generated:
            differs = self.session.execute(
                sql.SQL(
                    "select from {table} t join {side} s on t.ctid = s.mint_at where s.mint_n = any ({numbers}::int8[])"
                    ' and t.{name}::text collate "C" is distinct from s.{name}::text collate "C" limit 1'
                ).format(
                    table=relation.identifier,
                    side=self.side(relation),
                    name=sql.Identifier(name),
                    numbers=sql.Literal(list(numbers)),
                )
            )
            if differs.rowcount:
                raise CannotRewind(f"generated column {name!r} of {relation.label} is computed differently now")

    def in_place(self, relation: Relation) -> list[int]:
        """The newest mark's rows as they lie in the table."""
        return self._numbers(relation, sql.SQL("where mint_hidden is null order by mint_at"))

    def count(self, relation: Relation) -> int:
        """How many of the newest mark's rows are held."""
        return len(self._numbers(relation, sql.SQL("where mint_hidden is null")))

    def _numbers(self, relation: Relation, rest: sql.Composable) -> list[int]:
        found = self.session.execute(sql.SQL("select mint_n from {} ").format(self.side(relation)) + rest)
        return [row[0] for row in found]

    def take(self, relation: Relation, blocks: Blocks, mark: int) -> Delta | None:
        """Make what lies in `blocks` the state of a new mark; None where it is the state of the mark below."""
        side, form = self.side(relation), self.shapes[relation.oid]
        hidden = self.session.execute(
            self._filled(
                sql.SQL(
                    "update {side} s set mint_hidden = {mark} where s.mint_hidden is null and {located}"
                    " and not exists (select from ({live}) l where l.mint_at = s.mint_at and l.mint_x = s.mint_x)"
                    " returning mint_n, mint_home::text"
                ),
                relation,
                blocks,
                mark=sql.Literal(mark),
            )
        ).fetchall()
        born = self.session.execute(
            sql.SQL(
                "insert into {side}"
                " select {first} + row_number() over (order by mint_at), {mark}, null, mint_at, mint_x, null {columns}"
                " from ({live}) l where not exists (select from {side} s"
                " where s.mint_at = l.mint_at and s.mint_x = l.mint_x and s.mint_hidden is null)"
            ).format(
                side=side,
                columns=form.more,
                live=live(relation, blocks, form.kept),
                first=sql.Literal(self.next_born),
                mark=sql.Literal(mark),
            )
        ).rowcount
        self.next_born += born
        if not born and not hidden:
            return None
        return self._delta(relation, mark, born, hidden)

    def _delta(self, relation: Relation, mark: int, born: int, hidden: list[tuple[int, str | None]]) -> Delta:
        rows = sql.SQL(
            "copy (select mint_n, mint_born {} from {} where mint_born = {} order by mint_n) to stdout (format binary)"
        )
        form = self.shapes[relation.oid]
        with self.session.cursor() as cursor:
            query = rows.format(form.more, self.side(relation), sql.Literal(mark))
            with cursor.copy(query) as chunks:
                data = b"".join(bytes(chunk) for chunk in chunks)
        between = tuple(number for number, home in hidden if home is None)
        return Delta(relation.label, data, born, between, tuple(home for _, home in hidden if home is not None))

    def forget(self, relation: Relation, mark: int) -> Forgotten:
        """Drop a mark's changes of one table."""
        rows = self.session.execute(
            sql.SQL(
                "with gone as (delete from {side} where mint_born = %s returning mint_n, mint_at, true as bool),"
                " back as (update {side} set mint_hidden = null where mint_hidden = %s and mint_born <> %s"
                " returning mint_n, mint_at, false)"
                " select mint_n, (mint_at::text::point)[0]::int8, bool from (table gone union all table back) r"
            ).format(side=self.side(relation)),
            (mark, mark, mark),
        ).fetchall()
        return Forgotten(
            blocks=frozenset(block for _, block, _ in rows if block is not None),
            gone=frozenset(number for number, _, is_gone in rows if is_gone),
            back=tuple(number for number, _, is_gone in rows if not is_gone),
        )

    def give_way(self, relation: Relation, back: Sequence[int]) -> list[tuple[int, str | None, int]]:
        """Hide those of `back` that a row of a later mark has replaced: two rows of one key cannot both be there.

        Returns number, home and the later mark of each.
        """
        form = self.shapes[relation.oid]
        same = [form.same(key, "v", "s") for key in keys(self.session, relation)]
        if not back or not same:
            return []
        statement = sql.SQL(
            "update {side} s set mint_hidden = v.mint_born from {side} v where s.mint_n = any ({back}::int8[])"
            " and v.mint_hidden is null and v.mint_n <> all ({back}::int8[]) and ({same})"
            " returning s.mint_n, s.mint_home::text, v.mint_born"
        ).format(side=self.side(relation), same=sql.SQL(" or ").join(same), back=sql.Literal(list(back)))
        with names_as_the_user(self.session):  # citext has an = of its own, and an expression may call anything
            found = self.session.execute(statement).fetchall()
        return [(number, home, mark) for number, home, mark in found]

    def replay(self, relation: Relation, mark: int, delta: Delta) -> None:
        """Learn, on a fresh clone, what a mark changed; the rows themselves are still to be put there."""
        side = self.side(relation)
        self.session.execute(
            sql.SQL(
                "update {} set mint_hidden = %s where mint_home = any (%s::tid[]) or mint_n = any (%s::int8[])"
            ).format(side),
            (mark, list(delta.hidden_home), list(delta.hidden_born)),
        )
        columns = sql.SQL("mint_n, mint_born") + self.shapes[relation.oid].more
        rows = sql.SQL("copy {} ({}) from stdin (format binary)").format(side, columns)
        with self.session.cursor() as cursor, cursor.copy(rows) as sink:
            sink.write(delta.born)
        # Rows that are born from now on must not be given the numbers of these.
        self.next_born = max([self.next_born, *self._numbers(relation, sql.SQL("order by mint_n desc limit 1"))])

    def _filled(self, statement: sql.SQL, relation: Relation, blocks: Blocks, **more: sql.Composable) -> sql.Composed:
        return statement.format(
            **more,
            table=relation.identifier,
            side=self.side(relation),
            live=live(relation, blocks),
            located=located("mint_at", blocks),
        )

    def side(self, relation: Relation) -> sql.Identifier:
        """The side table of `relation`."""
        return sql.Identifier("pg_temp", f"{self.prefix}_{relation.oid}")


def own_xid(session: Session) -> str:
    """The number of the transaction that is going on, as WAL records carry it."""
    row = session.execute("select pg_current_xact_id()::xid::text").fetchone()
    assert row is not None
    return str(row[0])


def _also(columns: sql.Composable | None) -> sql.Composable:
    return sql.SQL(", ") + columns if columns else sql.SQL("")
