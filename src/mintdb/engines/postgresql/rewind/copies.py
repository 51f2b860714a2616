"""Hold the rows of every mark outside of the clone, so that exactly those can be put back and no catalog shows them.

Where the rows lie is known here, of the blocks that were ever written to. What they say is fetched from the reference
when it is needed; only rows that the reference does not have are kept, in this process.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import field

from psycopg import sql

from mintdb.engines.postgresql.rewind import wire
from mintdb.engines.postgresql.rewind.blocks import Blocks, array, between, in_order, joined, lies_in, live, ranges
from mintdb.engines.postgresql.rewind.columns import Shape, keys, names, shape
from mintdb.engines.postgresql.rewind.deltas import Delta, Forgotten, Inserted, Undone
from mintdb.engines.postgresql.rewind.facts import CannotRewind
from mintdb.engines.postgresql.rewind.held import FLOOR, SMALL_PAGES, Held, Identity, Row
from mintdb.engines.postgresql.rewind.relations import Relation
from mintdb.engines.postgresql.rewind.session import Session, names_as_the_user
from mintdb.engines.postgresql.rewind.wire import Value
from mintdb.facts import dataclass

PAGE = 8192
NO_BLOCK = 0xFFFFFFFF  # InvalidBlockNumber: behind any other
FEW_RANGES = 4  # to be emptied by a statement each
SMALL_BYTES = SMALL_PAGES * PAGE  # a seed whose physical order is kept: about 2,000 narrow rows
FIRST_BORN = 1 << 40  # row numbers below are the floor's rows in physical order
MOST_BORN = 200_000  # rows of one mark in one table; held here they take about 500 bytes each, and what they say
MOST_KNOWN = 200_000  # rows of the floor's large tables: to know where one lies takes about 450 bytes
MOST_BYTES = 16 << 20  # of what is held: tables without a reference, and what one mark wrote to one table
ROWS_OF_PAGE = 291  # MaxHeapTuplesPerPage


INSERT = sql.SQL("""
insert into {table} ({written}) overriding system value
select {written} from {rows} with ordinality w ({names}, "mint o") order by "mint o"
returning ctid, pg_current_xact_id()::xid
""")
WEIGHED = sql.SQL("""
select mint_at, mint_x, case when sum(octet_length(said)) over () <= {room} then said end
  from ({rows} offset 0) r order by 1
""")
DIFFERS = sql.SQL("""
select true from rows from ({rows}, unnest($2::text[]::tid[])) w ({names}, "mint at")
  join only {table} t on t.ctid = w."mint at"
 where row(t.{name})::text collate "C" <> row(w.{name})::text collate "C" limit 1
""")
REPLACED = sql.SQL("""
select s."mint o", v."mint o" from {mine} with ordinality s ({names}, "mint o")
  join {theirs} with ordinality v ({names}, "mint o") on {same}
""")


@dataclass
class Copies:
    """The rows of one floor (the template's state, or that of a mark with DDL) and of the marks on it, on one session.

    A statement with a name of the user's in it has no parameters of psycopg's: % in a name would be taken for one.
    """

    session: Session
    reference: Callable[[], Session] | None
    tables: dict[int, Held] = field(default_factory=dict)
    next_born: int = FIRST_BORN

    def has(self, relation: Relation) -> bool:
        """Whether anything is known of its rows."""
        return relation.oid in self.tables

    def keeps_order(self, relation: Relation) -> bool:
        """Whether its physical order at the newest mark is kept."""
        return self.tables[relation.oid].keeps_order

    def has_strayed(self, relation: Relation) -> bool:
        """Whether its rows may lie in another order than the newest mark's, which has to be kept again."""
        held = self.tables.get(relation.oid)
        return held is not None and held.strayed and held.keeps_order

    @contextmanager
    def journaled(self) -> Iterator[None]:
        """What is learnt in the block is forgotten if it fails: it goes with a transaction."""
        with ExitStack() as stack:
            for held in self.tables.values():
                stack.enter_context(held.journaled())
            yield

    def hold(self, relations: Iterable[Relation]) -> None:
        """Without a reference there is nothing to fetch from later: hold every row of these tables now.

        Not of large ones: where they are written to, only a swap is exact.
        """
        tables, left = {relation.oid: relation for relation in relations}, MOST_BYTES
        sizes = self.session.execute(
            "select oid, pg_table_size(oid) from unnest(%s::oid[]) oid order by 2, 1", (list(tables),)
        )
        for oid, size in sizes.fetchall():
            if size <= left:
                left -= max(size, self._hold(tables[oid], left))

    def _hold(self, relation: Relation, room: int) -> int:
        """How many bytes the rows took, which may have been compressed in the table; 0 if they are not held."""
        held = self._begin(relation)
        found = self._weighed(self._all(relation), room)
        if found is None:
            del self.tables[relation.oid]
            return 0
        # No home: a swap may be to what was dumped, where rows lie elsewhere, in the same order.
        held.values.update(enumerate(found.values(), start=1))
        self._learn(held, [(lies, None) for lies in found], None)
        return sum(map(len, found.values()))

    def _weighed(self, rows: sql.Composed, room: int) -> dict[Identity, Value] | None:
        """Rows as they lie and what they say; None, and nothing is sent, if that has more bytes than `room`."""
        found = {(at, xid): said for at, xid, said in self.session.execute(WEIGHED.format(rows=rows, room=room))}
        return None if None in found.values() else found

    def cover(self, relation: Relation, blocks: Blocks) -> Blocks:
        """Make sure that the floor's rows in `blocks` are known; returns the blocks to look at."""
        if relation.oid not in self.tables and self.reference is None and not relation.empty:
            raise CannotRewind(f"{relation.label} is too large to be held without a template to fetch its rows from")
        held = self.tables.get(relation.oid) or self._begin(relation)
        if held.covered is not None:
            wanted = None if held.small or blocks is None else blocks - held.covered
            if wanted is None or wanted:
                self._fetch(relation, held, wanted)
        return blocks

    def _fetch(self, relation: Relation, held: Held, blocks: Blocks) -> None:
        """Learn where the floor's rows in `blocks` lie, of which the reference tells what they say."""
        assert self.reference is not None  # else all are known
        known = sum(other.last_of_floor for other in self.tables.values() if not other.small)
        if not held.small and _crowded(self.reference(), relation, blocks, max(MOST_KNOWN - known, 0)):
            raise CannotRewind(f"{relation.label} may have changed in more rows than mintdb remembers the places of")
        found = self.reference().execute(in_order(live(relation, blocks)))
        had = held.covered or frozenset()
        self._learn(held, [((at, xid), at) for at, xid in found if not (had and lies_in(had, at))], blocks)

    def _learn(self, held: Held, new: Sequence[tuple[Identity, str | None]], blocks: Blocks) -> None:
        for number, (lies, home) in enumerate(new, start=held.last_of_floor + 1):
            held.put(number, Row(FLOOR, None, lies, home))
        held.last_of_floor += len(new)
        held.covered = joined(held.covered, blocks)

    def _begin(self, relation: Relation) -> Held:
        small = self._size(relation) <= SMALL_BYTES
        held = Held(shape(self.session, relation), small, covered=None if relation.empty else frozenset())
        return self.tables.setdefault(relation.oid, held)

    def _size(self, relation: Relation) -> int:
        source = self.reference() if self.reference and not relation.empty else self.session
        row = source.execute("select pg_relation_size(%s::oid)", (relation.oid,)).fetchone()
        return int(row[0]) if row else 0

    def _live(self, relation: Relation, blocks: Blocks) -> dict[Identity, None]:
        if blocks == frozenset():
            return {}
        return dict.fromkeys(self.session.execute(in_order(live(relation, blocks))).fetchall())

    def undo(self, relation: Relation, blocks: Blocks) -> Undone:
        """Delete what is there now and not in the newest mark; find what is in the mark and not there now."""
        held = self.tables[relation.oid]
        mixed, vacant = _split(blocks, held.occupied(blocks))
        gone, young = _compared(held, blocks, self._live(relation, mixed))
        missing = sorted(gone)
        # One neighbour of the missing rows on each of their pages goes with them: the map of free space counts in steps
        # of 32 bytes, rounded down, so where one row was it sees room for none.
        beside = held.neighbours(missing) if held.keeps_order else []
        self._delete(relation, [*young, *(lies for number in beside if (lies := held.rows[number].lies))])
        return Undone(len(young) + self._vacate(relation, vacant), missing, beside)

    def _delete(self, relation: Relation, rows: Sequence[Identity]) -> None:
        if rows:
            statement = sql.SQL("delete from only {} where ctid = any ({})")
            self.session.execute(statement.format(relation.identifier, array(at for at, _ in rows)))

    def _vacate(self, relation: Relation, spans: list[tuple[int, int]]) -> int:
        """Delete whatever lies there."""
        head = sql.SQL("delete from only {} where ").format(relation.identifier)
        return sum(self.session.execute(head + between("ctid", *span)).rowcount for span in spans)

    def insert(self, relation: Relation, numbers: Sequence[int]) -> Inserted:
        """Put rows of the newest mark back, in this order, and remember where they lie now."""
        form = self.tables[relation.oid].shape
        if not form.written:
            raise CannotRewind(f"rows without a column that can be written are missing from {relation.label}")
        if not form.is_exact:
            raise CannotRewind(f"{relation.label} has xml within a type of your own, whose declaration would be lost")
        with names_as_the_user(self.session) if relation.calls else nullcontext():
            return self._insert(relation, form, numbers)

    def _insert(self, relation: Relation, form: Shape, numbers: Sequence[int]) -> Inserted:
        held, values = self.tables[relation.oid], self._values(relation, numbers)
        statement = INSERT.format(
            table=relation.identifier, written=names(form.written), rows=form.unnest("$1"), names=form.names
        )
        lie: list[Identity] = [(at, xid) for at, xid in wire.execute(self.session, statement, form.rows(values))]
        before = [held.rows[number].lies for number in numbers]
        for number, lies in zip(numbers, lie, strict=True):
            held.put(number, held.rows[number]._replace(lies=lies))
        self._check_generated(relation, form, values, lie)
        at_home = all(old is not None and old[0] == new[0] for old, new in zip(before, lie, strict=True))
        held.strayed = not held.keeps_order and (held.strayed or not at_home)
        return Inserted(at_home, lie[0][1])

    def _values(self, relation: Relation, numbers: Iterable[int]) -> list[Value]:
        """What rows say."""
        held, numbers = self.tables[relation.oid], list(numbers)
        homes = [home for number in numbers if number not in held.values and (home := held.rows[number].home)]
        fetched = self.reference().execute(self._lying(relation, homes)) if homes and self.reference else ()
        by_home = {at: value for at, _, value in fetched}
        return [held.values[n] if n in held.values else by_home[held.rows[n].home or ""] for n in numbers]

    def _lying(self, relation: Relation, places: list[str]) -> sql.Composed:
        """The rows that lie in these places, and what they say."""
        return sql.SQL("{} where t.ctid = any ({})").format(self._all(relation), array(places))

    def _all(self, relation: Relation) -> sql.Composed:
        return live(relation, None, sql.SQL("{} as said").format(self.tables[relation.oid].shape.value))

    def _check_generated(self, relation: Relation, form: Shape, values: list[Value], lie: list[Identity]) -> None:
        # A function that is falsely declared immutable gives another value now.
        for name in form.generated:
            statement = DIFFERS.format(
                rows=form.unnest("$1"), names=form.names, table=relation.identifier, name=sql.Identifier(name)
            )
            if wire.execute(self.session, statement, form.rows(values), [at for at, _ in lie]):
                raise CannotRewind(f"generated column {name!r} of {relation.label} is computed differently now")

    def in_place(self, relation: Relation) -> list[int]:
        """The newest mark's rows as they lie in the table."""
        return self.tables[relation.oid].in_place()

    def count(self, relation: Relation) -> int:
        """How many of the newest mark's rows are known."""
        return len(self.tables[relation.oid].newest())

    def take(self, relation: Relation, blocks: Blocks, mark: int) -> Delta | None:
        """Make what lies in `blocks` the state of a new mark; None where it is the state of the mark below."""
        held = self.tables[relation.oid]
        if _crowded(self.session, relation, blocks, MOST_BORN + len(held.newest(blocks))):
            raise CannotRewind(f"more than {MOST_BORN} rows of {relation.label} are new")
        gone, young = _compared(held, blocks, self._live(relation, blocks))
        born = self._bear(relation, young, mark)
        hidden = [held.rows[number] for number in gone]
        for number, row in zip(gone, hidden, strict=True):
            held.put(number, row._replace(hidden=mark))
        if not born and not gone:
            return None
        return Delta(
            relation.label,
            born,
            tuple(number for number, row in zip(gone, hidden, strict=True) if row.home is None),
            tuple(row.home for row in hidden if row.home is not None),
        )

    def _bear(self, relation: Relation, young: Sequence[Identity], mark: int) -> tuple[tuple[int, Value], ...]:
        held = self.tables[relation.oid]
        # What is gone by now was deleted by a late writer: the mark has been without it all the same.
        found = self._weighed(self._lying(relation, [at for at, _ in young]), MOST_BYTES) if young else {}
        if found is None:
            raise CannotRewind(f"the new rows of {relation.label} are larger than what is held")
        born = list(enumerate((lies for lies in young if lies in found), start=self.next_born + 1))
        self.next_born += len(born)
        for number, lies in born:
            held.put(number, Row(mark, None, lies, home=None))
            held.values[number] = found[lies]
        return tuple((number, found[lies]) for number, lies in born)

    def forget(self, relation: Relation, mark: int) -> Forgotten:
        """Drop a mark's changes of one table."""
        held = self.tables[relation.oid]
        gone = {number: row for number, row in held.rows.items() if row.born == mark}
        back = {number: row for number, row in held.rows.items() if row.hidden == mark and row.born != mark}
        for number in gone:
            held.put(number, None)
            del held.values[number]
        for number, row in back.items():
            held.put(number, row._replace(hidden=None))
        blocks = {row.block for row in (*gone.values(), *back.values())}
        return Forgotten(frozenset(block for block in blocks if block is not None), frozenset(gone), tuple(back))

    def give_way(self, relation: Relation, back: Sequence[int]) -> list[tuple[int, str | None, int]]:
        """Hide those of `back` that a row of a later mark has replaced: two rows of one key cannot both be there.

        Returns number, home and the later mark of each.
        """
        held, mine = self.tables[relation.oid], set(back)
        later = [number for number in held.newest() if held.rows[number].born != FLOOR and number not in mine]
        heirs = self._replaced(relation, back, later) if back and later else {}
        for number, heir in heirs.items():
            held.put(number, held.rows[number]._replace(hidden=held.rows[heir].born))
        return [(number, held.rows[number].home, held.rows[heir].born) for number, heir in heirs.items()]

    def _replaced(self, relation: Relation, back: Sequence[int], later: Sequence[int]) -> dict[int, int]:
        """Those of `back` that have a key in common with one of `later`, and with which."""
        form = self.tables[relation.oid].shape
        same = [form.same(key, "v", "s") for key in keys(self.session, relation)]
        if not same:
            return {}
        statement = REPLACED.format(
            mine=form.unnest("$1"), theirs=form.unnest("$2"), names=form.names, same=sql.SQL(" or ").join(same)
        )
        values = [form.rows(self._values(relation, numbers)) for numbers in (back, later)]
        with names_as_the_user(self.session):  # citext has an = of its own, and an expression may call anything
            found = wire.execute(self.session, statement, *values)
        return {back[mine - 1]: later[its - 1] for mine, its in found}

    def replay(self, relation: Relation, mark: int, delta: Delta) -> Blocks:
        """Learn, on a fresh clone, what a mark changed; the rows themselves are still to be put there.

        Returns where those lie that the mark does not have.
        """
        self.cover(relation, delta.blocks_at_home)
        held = self.tables[relation.oid]
        homes = {row.home: number for number, row in held.rows.items()}
        known = (number for number in delta.hidden if number in held.rows)  # the others' mark was dropped in the end
        hidden = [*known, *(homes[home] for home in delta.hidden_home)]
        blocks = {held.rows[number].block for number in hidden}
        for number in hidden:
            held.put(number, held.rows[number]._replace(hidden=mark))
        for number, value in delta.born:
            held.put(number, Row(mark, None, None, home=None))
            held.values[number] = value
        # Rows that are born from now on must not be given the numbers of these.
        self.next_born = max([self.next_born, *(number for number, _ in delta.born)])
        return frozenset(block for block in blocks if block is not None)


def _compared(held: Held, blocks: Blocks, now: Collection[Identity]) -> tuple[list[int], list[Identity]]:
    """The newest mark's rows in `blocks` that are not there now, and what is there instead, as it lies."""
    there = {number: held.rows[number].lies for number in held.newest(blocks)}
    known = set(there.values())
    gone = [number for number, lies in there.items() if lies not in now]
    return gone, [lies for lies in now if lies not in known]


def _crowded(source: Session, relation: Relation, blocks: Blocks, most: int) -> bool:
    """Whether more rows than that lie there."""
    if blocks is not None and len(blocks) <= most // ROWS_OF_PAGE:
        return False
    rows = sql.SQL("select from ({} limit {}) r having count(*) > {}").format(live(relation, blocks), most + 1, most)
    return source.execute(rows).rowcount > 0


def _split(blocks: Blocks, occupied: frozenset[int]) -> tuple[Blocks, list[tuple[int, int]]]:
    """Where rows of the newest mark may lie, and the ranges where all that is there is young: it need not be read."""
    if blocks is None:
        end = max(occupied, default=-1) + 1
        return frozenset(range(end)), [(end, NO_BLOCK)]
    spans = ranges(blocks - occupied)
    return (occupied, spans) if len(spans) <= FEW_RANGES else (blocks, [])


def own_xid(session: Session) -> str:
    """The number of the transaction that is going on, as WAL records carry it."""
    row = session.execute("select pg_current_xact_id()::xid::text").fetchone()
    assert row is not None
    return str(row[0])
