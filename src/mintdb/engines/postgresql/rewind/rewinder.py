"""Put a clone back to its newest mark, exactly, at a cost that follows what was changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

from psycopg import Error, errors, sql

from mintdb.engines.postgresql.rewind import changes as what
from mintdb.engines.postgresql.rewind import wal
from mintdb.engines.postgresql.rewind.blocks import Blocks, joined
from mintdb.engines.postgresql.rewind.catalogs import PG_CLASS, reason, surroundings
from mintdb.engines.postgresql.rewind.changes import Changes
from mintdb.engines.postgresql.rewind.copies import Delta, own_xid
from mintdb.engines.postgresql.rewind.facts import CannotRewind, MarkTaken, PutBack, Trail
from mintdb.engines.postgresql.rewind.floor import Floor, lay
from mintdb.engines.postgresql.rewind.relations import (
    CATALOG,
    Relation,
    SequenceValue,
    read_sequence,
    refiled,
    set_sequence,
)
from mintdb.engines.postgresql.rewind.session import Powers, Session, is_transient, prepare

WHOLESALE_ROWS = 20_000  # re-inserting costs about 5 µs a row: beyond this a swap to a template is cheaper
VACUUM_EVERY = 200  # rewinds of a table; without it a rewind takes 2.5 times as long after 20,000


@dataclass
class Mark:
    """What one mark holds above the mark below it."""

    floor: Floor
    deltas: dict[str, Delta] = field(default_factory=dict)
    sequences: dict[str, SequenceValue] = field(default_factory=dict)
    orders: dict[str, list[int]] = field(default_factory=dict)  # physical order of small tables
    ddl: bool = False


class Rewinder:
    """Rewinds one clone. Used from one thread; between calls the clone belongs to the test.

    `connection` is mintdb's own session on the clone, autocommit, of a superuser. `reference` opens a session on an
    untouched file copy of the same template, from which rows are fetched when they are needed; without it every row
    and catalog is copied at the start. Raises CannotRewind where the role is no superuser.
    """

    def __init__(self, connection: Session, *, reference: Callable[[], Session] | None = None) -> None:
        self._take_bearings(connection, reference)
        self._marks = [Mark(self._lay_floor(0, self._reference if reference else None))]

    # the life of the session

    def _take_bearings(self, connection: Session, reference: Callable[[], Session] | None) -> None:
        self._session = connection
        self._open_reference = reference
        self._reference_session: Session | None = None
        self._temporary: set[str] = set()
        self._pending: dict[int, Blocks] = {}
        self._pending_sequences: set[int] = set()
        self._times: dict[int, int] = {}
        self._swap_needed: str | None = None
        self._powers = _ready(connection, self._temporary)

    def _reference(self) -> Session:
        if self._reference_session is None:
            assert self._open_reference is not None
            self._reference_session = self._open_reference()
            self._reference_session.autocommit = True
            prepare(self._reference_session)
        return self._reference_session

    def _lay_floor(self, level: int, reference: Callable[[], Session] | None) -> Floor:
        self._since = wal.position(self._session, self._powers)
        floor = lay(self._session, reference, level, self._temporary)
        self._own = sorted(self._temporary)
        return floor

    def close(self) -> None:
        """End both sessions."""
        self._session.close()
        self._close_reference()

    def _close_reference(self) -> None:
        if self._reference_session is not None:
            self._reference_session.close()
            self._reference_session = None

    # what a caller asks

    def wrote(self) -> bool:
        """Whether anything was written since the newest mark was taken or returned to."""
        if self._pending or self._pending_sequences or self._swap_needed:
            return True
        look = self._look(act=False)
        return look.verdict != "untouched"

    def put_back(self) -> PutBack:
        """Put the clone back to its newest mark. Raises CannotRewind where only a swap is exact."""
        if self._swap_needed:
            raise CannotRewind(self._swap_needed)
        with _hindrances_told():
            look = self._look(act=not (self._pending or self._pending_sequences))
            if look.verdict in ("untouched", "done"):
                return self._quick(look)
            return self._thorough(look)

    def push_mark(self) -> MarkTaken:
        """Make the present state the newest mark."""
        with _hindrances_told():
            look = self._look(act=False)
            changes = self._changes(look)
            if changes.obstacle:
                return self._push_floor()
            return self._push_rows(look, changes)

    def pop_mark(self) -> None:
        """Drop the newest mark; the next put_back goes to the one below."""
        if len(self._marks) == 1:
            raise ValueError("the base mark cannot be dropped")
        mark = self._marks.pop()
        if mark.ddl:
            self._swap_needed = "the mark that was dropped had changed the schema"
            return
        if not self._swap_needed:
            self._forget(mark)

    def move_to(self, connection: Session, *, reference: Callable[[], Session] | None = None) -> None:
        """Go on with another clone of the newest floor's template, and re-create there what later marks hold."""
        self._close_reference()
        self._take_bearings(connection, reference)
        first = self._floor.level
        floor = self._lay_floor(first, self._reference if reference else None)
        own: list[str] = []
        for level in range(first, len(self._marks)):
            self._marks[level].floor = floor
        for level in range(first + 1, len(self._marks)):
            self._replay(level, self._marks[level])
        self._put_rows(self._replayed(first), own)
        self._own += own + sorted(self._temporary)

    # the way through the WAL

    @property
    def _floor(self) -> Floor:
        return self._marks[-1].floor

    def _look(self, *, act: bool) -> wal.Look:
        return wal.look(self._session, self._powers, self._since, self._own, act=act)

    def _arrive(self, look: wal.Look, own: list[str]) -> None:
        """Take the mark of `look` for the newest. A writer still in progress keeps our earlier transactions known."""
        self._own = (self._own if look.carried else []) + own
        self._since = look.next_mark
        self._pending.clear()
        self._pending_sequences.clear()

    def _quick(self, look: wal.Look) -> PutBack:
        self._arrive(look, [look.own_xid] if look.own_xid else [])
        if look.verdict == "untouched":
            return PutBack(Trail.UNTOUCHED)
        if look.grown:
            self._vacuum([self._floor.relations[oid] for oid in look.grown])
        return PutBack(Trail.WAL, self._labels(look.done), look.rows)

    def _thorough(self, look: wal.Look) -> PutBack:
        changes = self._changes(look)
        if changes.obstacle:
            raise CannotRewind(changes.obstacle)
        before = set(self._temporary)
        own: list[str] = []
        try:
            tables, rows = self._put_rows(changes, own)
        except Exception:
            self._own += sorted(self._temporary - before)
            raise
        self._arrive(look, own + sorted(self._temporary - before))
        names = self._labels([*tables, *changes.sequences])
        return PutBack(Trail.WAL if names else Trail.UNTOUCHED, names, rows, outside=changes.outside)

    def _labels(self, oids: Iterator[int] | tuple[int, ...] | list[int]) -> tuple[str, ...]:
        return tuple(self._floor.relations[oid].label for oid in oids)

    def _changes(self, look: wal.Look) -> Changes:
        if look.verdict == "far":
            raise CannotRewind("too much was written")
        floor = self._floor
        changes = what.gathered(floor.relations, look.touches)
        for oid, blocks in self._pending.items():
            changes.add(floor.relations[oid], blocks)
        changes.sequences |= self._pending_sequences
        if look.shared:
            self._look_around(changes)
        self._look_for_ddl(changes)
        return changes

    def _look_around(self, changes: Changes) -> None:
        now = surroundings(self._session)
        if now.database != self._floor.around.database:
            changes.hinder("settings or the comment of the database itself were changed")
        changes.outside = now.differences(self._floor.around)
        self._floor.around = type(now)(self._floor.around.database, now.outside)

    def _look_for_ddl(self, changes: Changes) -> None:
        floor = self._floor
        for oid, blocks in changes.catalogs.items():
            if floor.catalogs.changed(floor.relations[oid], blocks, self._temporary):
                changes.hinder(reason(floor.relations[oid]))
        if PG_CLASS in changes.catalogs and not changes.obstacle:
            for oid in refiled(self._session):
                if floor.relations[oid].kind == CATALOG:
                    changes.hinder(f"catalog {floor.relations[oid].name} was rewritten")
                changes.add(floor.relations[oid], None)

    # putting back

    def _put_rows(self, changes: Changes, own: list[str]) -> tuple[list[int], int]:
        """Put tables and sequences back; `own` collects the transactions. Returns the tables and a count of rows."""
        floor = self._floor
        tables = {floor.relations[oid]: blocks for oid, blocks in changes.tables.items()}
        self._refuse(tables, changes)
        held = {relation: self._cover(relation, blocks) for relation, blocks in tables.items()}
        with self._transaction(own):
            counts = {relation: self._delete(relation, blocks) for relation, blocks in held.items()}
            absent = {relation: self._absent(relation, blocks) for relation, blocks in held.items()}
            self._refuse_wholesale(absent)
            for relation, numbers in absent.items():
                if numbers and not floor.copies.small[relation.oid]:
                    floor.copies.insert(relation, numbers)
            for oid in changes.sequences:
                set_sequence(self._session, floor.relations[oid], self._value(floor.relations[oid]))
        self._refill({r: n for r, n in absent.items() if n and floor.copies.small[r.oid]}, own)
        self._tidy(tables)
        touched = [r.oid for r in held if counts[r] or absent[r]]
        return touched, sum(counts.values()) + sum(map(len, absent.values()))

    def _refuse(self, tables: dict[Relation, Blocks], changes: Changes) -> None:
        for relation in tables:
            obstacle = what.obstacle_of(relation)
            if obstacle:
                raise CannotRewind(obstacle)
        cached = [oid for oid in changes.sequences if (self._floor.relations[oid].cache or 1) > 1]
        if cached and self._others_live():
            label = self._floor.relations[cached[0]].label
            raise CannotRewind(f"a live session may hold cached values of sequence {label}")

    def _others_live(self) -> bool:
        found = self._session.execute(
            "select from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
            " and backend_type = 'client backend' limit 1"
        )
        return found.rowcount > 0

    def _cover(self, relation: Relation, blocks: Blocks) -> Blocks:
        if relation.empty and not self._floor.copies.has(relation):
            return None
        return self._floor.copies.cover(relation, blocks)

    def _delete(self, relation: Relation, blocks: Blocks) -> int:
        if self._floor.copies.has(relation):
            return self._floor.copies.delete_young(relation, blocks)
        return self._session.execute(sql.SQL("delete from only {}").format(relation.identifier)).rowcount

    def _absent(self, relation: Relation, blocks: Blocks) -> list[int]:
        copies = self._floor.copies
        return self._ranked(relation, copies.missing(relation, blocks)) if copies.has(relation) else []

    def _refuse_wholesale(self, absent: dict[Relation, list[int]]) -> None:
        on_a_template = len(self._marks) - 1 == self._floor.level
        if on_a_template and sum(map(len, absent.values())) > WHOLESALE_ROWS:
            most = max(absent, key=lambda relation: len(absent[relation]))
            raise CannotRewind(f"{len(absent[most])} rows of {most.label} were changed: a swap is cheaper")

    def _ranked(self, relation: Relation, numbers: list[int]) -> list[int]:
        """Rows in the physical order that they have at the newest mark."""
        order = self._order(relation)
        if order is None:
            return numbers
        rank = {number: place for place, number in enumerate(order)}
        return sorted(numbers, key=lambda number: rank.get(number, len(rank)))

    def _order(self, relation: Relation) -> list[int] | None:
        return next((m.orders[relation.label] for m in reversed(self._marks) if relation.label in m.orders), None)

    def _refill(self, absent: dict[Relation, list[int]], own: list[str]) -> None:
        """Put rows of small tables back where they lay: VACUUM frees the places first."""
        if not absent:
            return
        self._vacuum(list(absent))
        copies = self._floor.copies
        with self._transaction(own):
            for relation, numbers in absent.items():
                copies.insert(relation, numbers)
        astray = [relation for relation in absent if not self._in_order(relation)]
        if astray:
            self._rewrite(astray, own)

    def _in_order(self, relation: Relation) -> bool:
        lying = self._floor.copies.in_place(relation)
        return lying == self._ranked(relation, sorted(lying))

    def _rewrite(self, tables: list[Relation], own: list[str]) -> None:
        with self._transaction(own):
            for relation in tables:
                self._session.execute(sql.SQL("delete from only {}").format(relation.identifier))
        self._vacuum(tables)
        with self._transaction(own):
            for relation in tables:
                copies = self._floor.copies
                copies.insert(relation, self._ranked(relation, sorted(copies.in_place(relation))))

    def _tidy(self, tables: dict[Relation, Blocks]) -> None:
        for relation in tables:
            self._times[relation.oid] = self._times.get(relation.oid, 0) + 1
        due = [relation for relation in tables if self._times[relation.oid] >= VACUUM_EVERY]
        if due:
            self._vacuum(due)

    def _vacuum(self, tables: list[Relation]) -> None:
        for relation in tables:
            self._times[relation.oid] = 0
        names = sql.SQL(", ").join(relation.identifier for relation in tables)
        quick = sql.SQL("(skip_database_stats) " if self._powers.version >= 160000 else "")
        self._session.execute(sql.SQL("vacuum {}{}").format(quick, names))

    @contextmanager
    def _transaction(self, own: list[str]) -> Iterator[None]:
        with self._session.transaction():
            yield
            own.append(own_xid(self._session))

    # marks

    def _value(self, relation: Relation) -> SequenceValue:
        above = (m.sequences[relation.label] for m in reversed(self._marks) if relation.label in m.sequences)
        value = next(above, relation.value)
        assert value is not None
        return value

    def _push_floor(self) -> MarkTaken:
        level = len(self._marks)
        floor = self._lay_floor(level, None)
        self._pending.clear()
        self._pending_sequences.clear()
        self._marks.append(Mark(floor, ddl=True))
        return MarkTaken(ddl=True)

    def _push_rows(self, look: wal.Look, changes: Changes) -> MarkTaken:
        floor, level = self._floor, len(self._marks)
        before = set(self._temporary)
        mark = Mark(floor)
        blocks = {floor.relations[oid]: self._held(floor.relations[oid], b) for oid, b in changes.tables.items()}
        own: list[str] = []
        with self._transaction(own):
            for relation, touched in blocks.items():
                delta = floor.copies.take(relation, touched, level)
                if delta:
                    mark.deltas[relation.label] = delta
            self._take_sequences(mark, changes)
        self._marks.append(mark)
        self._note(mark)
        self._arrive(look, own + sorted(self._temporary - before))
        return MarkTaken((*mark.deltas, *mark.sequences))

    def _held(self, relation: Relation, blocks: Blocks) -> Blocks:
        return self._floor.copies.cover(relation, blocks)

    def _take_sequences(self, mark: Mark, changes: Changes) -> None:
        for oid in changes.sequences:
            relation = self._floor.relations[oid]
            value, ahead = read_sequence(self._session, relation)
            if ahead:
                set_sequence(self._session, relation, value)
            if value != self._value(relation):
                mark.sequences[relation.label] = value

    def _note(self, mark: Mark) -> None:
        """Tell the session's map what the newest mark holds, and remember the order of small tables."""
        for label in mark.deltas:
            relation = self._floor.named(label)
            if self._floor.copies.small[relation.oid]:
                mark.orders[label] = self._floor.copies.in_place(relation)
            self._map_emptiness(relation)
        for label in mark.sequences:
            self._map_sequence(self._floor.named(label))

    def _map_emptiness(self, relation: Relation) -> None:
        copies = self._floor.copies
        empty = relation.empty and not (copies.has(relation) and copies.count(relation))
        self._session.execute("update pg_temp.mint_rel set empty = %s where rel = %s", (empty, relation.oid))

    def _map_sequence(self, relation: Relation) -> None:
        value = self._value(relation)
        self._session.execute(
            "update pg_temp.mint_rel set last = %s, called = %s where rel = %s",
            (value.last, value.called, relation.oid),
        )

    def _forget(self, mark: Mark) -> None:
        level = len(self._marks)
        for label in mark.deltas:
            relation = self._floor.named(label)
            blocks = self._floor.copies.forget(relation, level)
            self._pending[relation.oid] = joined(self._pending.get(relation.oid, frozenset()), blocks)
            self._map_emptiness(relation)
        for label in mark.sequences:
            relation = self._floor.named(label)
            self._pending_sequences.add(relation.oid)
            self._map_sequence(relation)

    # another clone

    def _replay(self, level: int, mark: Mark) -> None:
        copies = self._floor.copies
        for label, delta in mark.deltas.items():
            relation = self._floor.named(label)
            copies.cover(relation, None)
            copies.replay(relation, level, delta)

    def _replayed(self, first: int) -> Changes:
        changes = Changes()
        for mark in self._marks[first + 1 :]:
            for label in mark.deltas:
                changes.add(self._floor.named(label), None)
            for label in mark.sequences:
                changes.add(self._floor.named(label), None)
        for oid in changes.tables:
            self._map_emptiness(self._floor.relations[oid])
        for oid in changes.sequences:
            self._map_sequence(self._floor.relations[oid])
        return changes


def _ready(connection: Session, temporary: set[str]) -> Powers:
    powers = prepare(connection)
    if not powers.superuser:
        raise CannotRewind("the role is no superuser: a role with only CREATEDB gets clone and swap")
    with suppress(errors.UndefinedFile), connection.transaction():
        wal.install(connection, powers)
        temporary.add(own_xid(connection))
        return replace(powers, wal=True)
    return powers


@contextmanager
def _hindrances_told() -> Iterator[None]:
    """Any error while putting back means that only a swap is exact; a lock or a deadlock may be gone in a moment."""
    try:
        yield
    except Error as error:
        first = str(error).partition("\n")[0] or type(error).__name__
        raise CannotRewind(first, transient=is_transient(error)) from error
