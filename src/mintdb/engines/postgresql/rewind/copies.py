"""Hold the rows of every mark outside of the clone, so that exactly those can be put back and no catalog shows them.

Where the rows lie is known here, of the blocks that were ever written to. What they say is fetched from the reference
when it is needed; only rows that the reference does not have are kept, in this process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import field
from typing import TypeAlias

from psycopg import sql

from mintdb.engines.postgresql.rewind import wire
from mintdb.engines.postgresql.rewind.blocks import Blocks, array, at_of, between, block_of, live, ranges
from mintdb.engines.postgresql.rewind.columns import Shape, keys, names, shape
from mintdb.engines.postgresql.rewind.deltas import Delta, Forgotten, Inserted, Undone
from mintdb.engines.postgresql.rewind.facts import CannotRewind
from mintdb.engines.postgresql.rewind.held import FLOOR, SMALL_PAGES, Held, Identity, Row
from mintdb.engines.postgresql.rewind.reading import ANY_NUMBER, all_lying, lying, weighed
from mintdb.engines.postgresql.rewind.relations import Relation
from mintdb.engines.postgresql.rewind.session import Session, names_as_the_user
from mintdb.engines.postgresql.rewind.wire import Value
from mintdb.facts import dataclass

PAGE = 8192
Spans: TypeAlias = list[tuple[int, int]]  # half-open ranges of blocks

NO_BLOCK = 0xFFFFFFFF  # InvalidBlockNumber: behind any other
FEW_RANGES = 4  # to be emptied by a statement each
SMALL_BYTES = SMALL_PAGES * PAGE  # a seed whose physical order is kept: about 2,000 narrow rows
FIRST_BORN = 1 << 42  # row numbers below are the floor's rows in physical order
MOST_BORN = 200_000  # rows of one mark in one table; held here they take about 500 bytes each, and what they say
MOST_KNOWN = 200_000  # rows of the floor's large tables: to look at more takes longer than a swap
MOST_BYTES = 16 << 20  # of what is held: tables without a reference, and what one mark wrote to one table
MOST_FETCHED = 64 << 20  # bytes of one table's rows in one put-back: to fetch more takes longer than a swap
MOST_KEPT = 4 << 20  # bytes of the small tables' rows that were fetched once, and need not be again

INSERT = sql.SQL("""
insert into {table} ({written}) overriding system value
select {written} from {rows} with ordinality w ({names}, "mint o") order by "mint o"
returning ctid::text || pg_current_xact_id()::xid::text
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
    kept: int = 0  # bytes

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
        found = weighed(self.session, self._all(relation), room)
        if found is None:
            del self.tables[relation.oid]
            return 0
        # No home: a swap may be to what was dumped, where rows lie elsewhere, in the same order.
        held.learn_all(found)
        held.values.update(zip(held.rows, found.values(), strict=True))
        return sum(map(len, found.values()))

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
        known = sum(other.learnt for other in self.tables.values() if not other.small)
        most = {} if held.small else {"most": max(MOST_KNOWN - known, 0)}
        found = lying(self.reference(), relation, blocks, **most)
        if found is None:
            raise CannotRewind(f"{relation.label} may have changed in more rows than mintdb remembers the places of")
        held.learn(found, blocks)

    def _begin(self, relation: Relation) -> Held:
        small = self._size(relation) <= SMALL_BYTES
        held = Held(shape(self.session, relation), small, covered=None if relation.empty else frozenset())
        return self.tables.setdefault(relation.oid, held)

    def _size(self, relation: Relation) -> int:
        source = self.reference() if self.reference and not relation.empty else self.session
        row = source.execute("select pg_relation_size(%s::oid)", (relation.oid,)).fetchone()
        return int(row[0]) if row else 0

    def undo(self, tables: Mapping[Relation, Blocks]) -> dict[Relation, Undone]:
        """Say how to delete what is there now and not in the newest mark; find what is in the mark and not there."""
        parts = {r: _split(blocks, self.tables[r.oid].occupied(blocks)) for r, blocks in tables.items()}
        wanted = [(relation, mixed) for relation, (mixed, _) in parts.items() if mixed != frozenset()]
        found = dict(zip((relation for relation, _ in wanted), all_lying(self.session, wanted), strict=True))
        return {r: self._undo(r, mixed, vacant, found.get(r, [])) for r, (mixed, vacant) in parts.items()}

    def _undo(self, relation: Relation, mixed: Blocks, vacant: Spans, found: Sequence[Identity]) -> Undone:
        held = self.tables[relation.oid]
        gone, young = held.compare(mixed, found)
        missing = sorted(gone)
        # One neighbour of the missing rows on each of their pages goes with them: the map of free space counts in steps
        # of 32 bytes, rounded down, so where one row was it sees room for none.
        beside = held.neighbours(missing) if held.keeps_order else []
        going = [*young, *(lies for number in beside if (lies := held.rows[number].lies))]
        head = sql.SQL("delete from only {} where ").format(relation.identifier)
        deletes = [head + sql.SQL("ctid = any ({})").format(array(map(at_of, going)))] if going else []
        return Undone([*deletes, *(head + between("ctid", *span) for span in vacant)], missing, beside)

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
        lie: list[Identity] = [lies for (lies,) in wire.execute(self.session, statement, form.rows(values))]
        before = [held.rows[number].lies for number in numbers]
        for number, lies in zip(numbers, lie, strict=True):
            held.put(number, held.rows[number]._replace(lies=lies))
        self._check_generated(relation, form, values, lie)
        at_home = all(old is not None and at_of(old) == at_of(new) for old, new in zip(before, lie, strict=True))
        held.strayed = not held.keeps_order and (held.strayed or not at_home)
        return Inserted(at_home, lie[0].partition(")")[2])

    def _values(self, relation: Relation, numbers: Iterable[int]) -> list[Value]:
        """What rows say."""
        held, numbers = self.tables[relation.oid], list(numbers)
        wanted = {n: home for n in numbers if n not in held.values and (home := held.rows[n].home)}
        fetched = self._fetched(relation, list(wanted.values())) if wanted else {}
        if held.small and self.kept + (size := sum(map(len, fetched.values()))) <= MOST_KEPT:
            self.kept += size
            held.values.update((number, fetched[home]) for number, home in wanted.items())
        return [held.values[n] if n in held.values else fetched[wanted[n]] for n in numbers]

    def _fetched(self, relation: Relation, homes: list[str]) -> dict[str, Value]:
        """What the reference's rows of these places say."""
        assert self.reference is not None  # else all are held
        found = weighed(self.reference(), self._lying(relation, homes), MOST_FETCHED)
        if found is None:
            raise CannotRewind(f"what {relation.label} lacks is larger than what is fetched")
        return {at_of(lies): value for lies, value in found.items()}

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
            if wire.execute(self.session, statement, form.rows(values), list(map(at_of, lie))):
                raise CannotRewind(f"generated column {name!r} of {relation.label} is computed differently now")

    def in_place(self, relation: Relation) -> list[int]:
        """The newest mark's rows as they lie in the table."""
        return self.tables[relation.oid].in_place()

    def count(self, relation: Relation) -> int:
        """How many of the newest mark's rows are known."""
        return self.tables[relation.oid].count()

    def take(self, relation: Relation, blocks: Blocks, mark: int) -> Delta | None:
        """Make what lies in `blocks` the state of a new mark; None where it is the state of the mark below."""
        held = self.tables[relation.oid]
        found = lying(self.session, relation, blocks, MOST_BORN + held.count(blocks)) if blocks != frozenset() else []
        if found is None:
            raise CannotRewind(f"more than {MOST_BORN} rows of {relation.label} are new")
        gone, young = held.compare(blocks, found)
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
        places = self._lying(relation, list(map(at_of, young)))
        found = weighed(self.session, places, MOST_BYTES) if young else {}
        if found is None:
            raise CannotRewind(f"the new rows of {relation.label} are larger than what is held")
        new = set(young)
        said = {lies: value for lies, value in found.items() if lies in new}
        born = dict(enumerate(said, start=self.next_born + 1))
        self.next_born += len(born)
        held.add({number: Row(mark, None, lies, None) for number, lies in born.items()})
        values = tuple(zip(born, said.values(), strict=True))
        held.values.update(values)
        return values

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

    def held_of_floor(self, relation: Relation) -> dict[int, Value]:
        """What those of the floor's rows say that are held."""
        return {number: said for number, said in self.tables[relation.oid].values.items() if number < FIRST_BORN}

    def find(self, relation: Relation, said: Mapping[int, Value]) -> tuple[dict[int, str], dict[int, int]]:
        """Where rows that were held of a clone lie in the template that was dumped from it, and what their numbers are.

        They are told by what they say: COPY puts a short row on an earlier page. Numbers matter of small tables alone.
        """
        assert self.reference is not None  # it is what was dumped
        self.cover(relation, frozenset())
        places: dict[Value, list[str]] = {}
        for lies, value in (weighed(self.reference(), self._all(relation), ANY_NUMBER) or {}).items():
            places.setdefault(value, []).append(at_of(lies))
        homes = {number: places[value].pop(0) for number, value in sorted(said.items())}
        held = self.tables[relation.oid]
        numbers = held.at_home(list(homes.values())) if held.small else ()
        return homes, dict(zip(homes, numbers, strict=False))

    def replay(self, relation: Relation, mark: int, delta: Delta) -> Blocks:
        """Learn, on a fresh clone, what a mark changed; the rows themselves are still to be put there.

        Returns where those lie that the mark does not have.
        """
        self.cover(relation, frozenset(map(block_of, delta.hidden_home)))
        held = self.tables[relation.oid]
        known = (number for number in delta.hidden if number in held.rows)  # the others' mark was dropped in the end
        hidden = [*known, *held.at_home(delta.hidden_home)]
        blocks = {held.rows[number].block for number in hidden}
        for number in hidden:
            held.put(number, held.rows[number]._replace(hidden=mark))
        for number, value in delta.born:
            held.put(number, Row(mark, None, None, home=None))
            held.values[number] = value
        # Rows that are born from now on must not be given the numbers of these.
        self.next_born = max([self.next_born, *(number for number, _ in delta.born)])
        return frozenset(block for block in blocks if block is not None)


def _split(blocks: Blocks, occupied: frozenset[int]) -> tuple[Blocks, Spans]:
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
