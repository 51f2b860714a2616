"""Put a clone back to its newest mark, exactly, at a cost that follows what was changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from psycopg import Error, errors

from mintdb.engines.postgresql.rewind import sweep, wal
from mintdb.engines.postgresql.rewind.blocks import Blocks, joined
from mintdb.engines.postgresql.rewind.catalogs import PG_CLASS, reason, surroundings
from mintdb.engines.postgresql.rewind.changes import Changes, gathered
from mintdb.engines.postgresql.rewind.copies import own_xid
from mintdb.engines.postgresql.rewind.facts import CannotRewind, MarkTaken, PutBack, Trail
from mintdb.engines.postgresql.rewind.floor import Floor, lay
from mintdb.engines.postgresql.rewind.housekeeping import Housekeeper
from mintdb.engines.postgresql.rewind.marks import Mark, Marks
from mintdb.engines.postgresql.rewind.putting import Putter
from mintdb.engines.postgresql.rewind.relations import (
    CATALOG,
    Relation,
    accept_files,
    read_sequence,
    refiled,
    set_sequence,
)
from mintdb.engines.postgresql.rewind.session import Powers, Session, is_transient, prepare


class Rewinder:
    """Rewinds one clone. Used from one thread; between calls the clone belongs to the test.

    `connection` is mintdb's own session on the clone, autocommit, of a superuser; CannotRewind is raised where it is
    none. `reference` opens a session on an untouched file copy of the same template, from which rows are fetched when
    they are needed; without it every row and catalog is copied at the start.
    """

    def __init__(self, connection: Session, *, reference: Callable[[], Session] | None = None) -> None:
        self._swap_needed: str | None = None
        self._take_bearings(connection, reference)
        self._marks = Marks([Mark(self._lay_floor(0))])

    # what a caller asks

    def wrote(self) -> bool:
        """Whether anything was written since the newest mark was taken or returned to."""
        if self._pending or self._swap_needed:
            return True
        with _hindrances_told():
            look = self._look(act=False)
            if look.verdict == "slow" and self._changes(look).any():
                return True
            return self._unlogged_written()

    def put_back(self) -> PutBack:
        """Put the clone back to its newest mark. Raises CannotRewind where only a swap is exact."""
        if self._swap_needed:
            raise CannotRewind(self._swap_needed)
        with _hindrances_told():
            look = self._look(act=not self._pending)
            return self._thorough(look) if look.verdict == "slow" or self._pending else self._quick(look)

    def push_mark(self) -> MarkTaken:
        """Make the present state the newest mark, and tell what it holds that the mark below does not."""
        with _hindrances_told():
            look = self._look(act=False)
            changes = self._all_changes(look)
            alone = changes.obstacle or self._swap_needed
            return self._push_floor() if alone else self._push_rows(look, changes)

    def pop_mark(self) -> None:
        """Drop the newest mark; the next put_back goes to the one below. After a mark with DDL it asks for a swap."""
        if len(self._marks) == 1:
            raise ValueError("the base mark cannot be dropped")
        mark = self._marks.stack.pop()
        if mark.ddl:
            self._swap_needed = "the mark that was dropped had changed the schema"
        elif not self._swap_needed:
            with _hindrances_told():
                self._forget(mark)

    def move_to(self, connection: Session, *, reference: Callable[[], Session] | None = None) -> None:
        """Go on with a fresh clone of the newest floor's template, and re-create there what later marks hold.

        The earlier session may be closed, or lost: marks are kept outside of the clone.
        """
        self._close_reference()
        self._take_bearings(connection, reference)
        floor = self._lay_floor(self._marks.floor.level)
        for mark in self._marks.stack[floor.level :]:
            mark.floor = floor
        if self._marks.on_a_floor:
            return
        before = set(self._temporary)
        putter = self._putter()
        putter.put(self._replayed())
        self._own += putter.own + sorted(self._temporary - before)

    def close(self) -> None:
        """End both sessions."""
        self._session.close()
        self._close_reference()

    # the session

    def _take_bearings(self, connection: Session, reference: Callable[[], Session] | None) -> None:
        self._session = connection
        self._open_reference = reference
        self._reference_session: Session | None = None
        self._temporary: set[str] = set()  # transactions of ours that made temporary things
        self._floors_laid = 0
        self._pending: dict[int, Blocks] = {}  # what marks that were dropped had changed
        self._swap_needed = None
        self._powers = _ready(connection, self._temporary)
        self._housekeeper = Housekeeper(connection, self._powers)
        self._sweep_next = not self._powers.wal

    def _reference(self) -> Session:
        if self._reference_session is None:
            assert self._open_reference is not None
            self._reference_session = self._open_reference()
            self._reference_session.autocommit = True
            prepare(self._reference_session)
        return self._reference_session

    def _close_reference(self) -> None:
        if self._reference_session is not None:
            self._reference_session.close()
            self._reference_session = None

    def _lay_floor(self, level: int, *, local: bool = False) -> Floor:
        reference = None if local or not self._open_reference else self._reference
        # Before anything is read, so that a late writer cannot hide between the two.
        self._since, self._horizon = wal.position(self._session, self._powers)
        self._floors_laid += 1
        floor = lay(self._session, reference, level, self._temporary, f"mint_{self._floors_laid}")
        self._sweeper = sweep.Sweeper(self._session, self._powers, reference)
        if reference is None:
            self._sweeper.hold(floor.relations.values(), self._temporary)
        self._near = wal.NEAR_BYTES + wal.NEAR_BYTES_A_TABLE * len(floor.relations)
        self._own = sorted(self._temporary)
        return floor

    # what was changed

    def _look(self, *, act: bool) -> wal.Look:
        if not self._sweep_next:
            with self._or_sweep():
                look = wal.look(self._session, self._powers, self._since, self._own, act=act, near=self._near)
                if look.verdict != "far":
                    return look
        return self._sweep()

    @contextmanager
    def _or_sweep(self) -> Iterator[None]:
        """An error such as `requested WAL segment has already been removed` is no reason to swap yet."""
        try:
            yield
        except Error as error:
            if self._session.closed or is_transient(error):
                raise

    def _sweep(self) -> wal.Look:
        own = {*self._own, *self._temporary}
        return self._sweeper.look(self._marks.floor.relations, self._horizon, own, self._marks.surplus)

    def _all_changes(self, look: wal.Look) -> Changes:
        """With what leaves no trail: unlogged relations, and marks that were dropped."""
        relations, changes = self._marks.floor.relations, self._changes(look)
        for relation in self._unlogged():
            changes.add(relation, None)
        for oid, blocks in self._pending.items():
            changes.add(relations[oid], blocks)
        return changes

    def _unlogged(self) -> list[Relation]:
        return [relation for relation in self._marks.floor.relations.values() if relation.unlogged]

    def _unlogged_written(self) -> bool:
        unlogged = {relation.oid for relation in self._unlogged()}
        return bool(unlogged) and not unlogged.isdisjoint(touch.oid for touch in self._sweep().touches)

    def _changes(self, look: wal.Look) -> Changes:
        changes = gathered(self._marks.floor.relations, look.touches)
        if look.shared:
            self._look_around(changes)
        self._look_for_ddl(changes)
        return changes

    def _look_around(self, changes: Changes) -> None:
        changes.around, then = surroundings(self._session), self._marks.floor.around
        if changes.around.database != then.database:
            changes.hinder("settings, rights or the comment of the database itself were changed")
        changes.outside = changes.around.differences(then)

    def _look_for_ddl(self, changes: Changes) -> None:
        floor = self._marks.floor
        for oid, blocks in changes.catalogs.items():
            if floor.catalogs.changed(floor.relations[oid], blocks, self._temporary):
                changes.hinder(reason(floor.relations[oid]))
        if PG_CLASS in changes.catalogs and not changes.obstacle:
            self._look_for_new_files(changes)

    def _look_for_new_files(self, changes: Changes) -> None:
        for relation in map(self._marks.floor.relations.__getitem__, refiled(self._session)):
            changes.refiled = True
            changes.add(relation, None)
            if relation.kind == CATALOG:
                changes.hinder(f"catalog {relation.name} was rewritten")

    # putting back

    def _quick(self, look: wal.Look) -> PutBack:
        """The trip has put everything back already."""
        self._arrive(look, [look.own_xid] if look.own_xid else [])
        if look.verdict == "untouched":
            return PutBack(Trail.UNTOUCHED)
        relations = self._marks.floor.relations
        holder = self._housekeeper.shorten(relations[oid] for oid in look.grown)
        return PutBack(Trail.WAL, _labels(relations[oid] for oid in look.done), look.rows, horizon_held_by=holder)

    def _thorough(self, look: wal.Look) -> PutBack:
        before = set(self._temporary)
        changes = self._all_changes(look)
        if changes.obstacle:
            raise CannotRewind(changes.obstacle)
        putter = self._putter()
        try:
            putter.put(changes)
        finally:  # a temporary table that was made is there to stay, whatever comes of the rest
            made = sorted(self._temporary - before)
            self._own += made
        self._accept(changes)
        self._arrive(look, putter.own + made)
        return self._told(look, changes, putter)

    def _told(self, look: wal.Look, changes: Changes, putter: Putter) -> PutBack:
        relations = self._marks.floor.relations
        copies = self._marks.floor.copies
        due = self._housekeeper.count(relations[oid] for oid in changes.tables)
        if due:  # the side tables gather dead rows too
            sides = [copies.side(relation) for relation in due if copies.has(relation)]
            self._housekeeper.vacuum([*(relation.identifier for relation in due), *sides])
        emptied = [r for r in putter.tables if r.empty and not copies.has(r)]
        holder = self._housekeeper.shorten(self._housekeeper.grown(emptied))
        names = _labels([*putter.tables, *(relations[oid] for oid in sorted(changes.sequences))])
        trail = Trail.SWEEP if look.swept else Trail.WAL
        return PutBack(
            trail if names else Trail.UNTOUCHED,
            names,
            putter.rows,
            outside=changes.outside,
            horizon_held_by=holder,
            order_kept=putter.in_order,
        )

    def _putter(self) -> Putter:
        return Putter(self._session, self._marks, self._housekeeper)

    def _arrive(self, look: wal.Look, own: list[str]) -> None:
        """Take the mark of `look` for the newest. A writer still in progress keeps our earlier transactions known."""
        self._own = (self._own if look.carried else []) + own
        self._since, self._horizon = look.next_mark, look.horizon
        self._sweep_next = look.again or not self._powers.wal
        self._pending.clear()

    def _accept(self, changes: Changes) -> None:
        if changes.refiled:
            accept_files(self._session)
        if changes.around:  # told once: nobody can put it back
            self._marks.floor.around = changes.around

    # marks

    def _push_floor(self) -> MarkTaken:
        floor = self._lay_floor(len(self._marks), local=True)
        self._pending.clear()
        self._swap_needed = None
        self._marks.stack.append(Mark(floor, ddl=True))
        return MarkTaken(ddl=True)

    def _push_rows(self, look: wal.Look, changes: Changes) -> MarkTaken:
        before = set(self._temporary)
        floor, level = self._marks.floor, len(self._marks)
        tables = {floor.relations[oid]: blocks for oid, blocks in changes.tables.items()}
        held = {relation: floor.copies.cover(relation, blocks) for relation, blocks in tables.items()}
        mark = Mark(floor)
        with self._session.transaction():
            deltas = {relation: floor.copies.take(relation, blocks, level) for relation, blocks in held.items()}
            mark.deltas = {relation.label: delta for relation, delta in deltas.items() if delta}
            self._take_sequences(mark, [floor.relations[oid] for oid in changes.sequences])
            own = own_xid(self._session)
        self._marks.stack.append(mark)
        self._note(mark)
        self._accept(changes)
        self._arrive(look, [own, *sorted(self._temporary - before)])
        return MarkTaken((*mark.deltas, *mark.sequences))

    def _take_sequences(self, mark: Mark, sequences: Iterable[Relation]) -> None:
        for relation in sequences:
            value, ahead = read_sequence(self._session, relation)
            if ahead:
                set_sequence(self._session, relation, value)
            if value != self._marks.value(relation):
                mark.sequences[relation.label] = value

    def _note(self, mark: Mark) -> None:
        """Remember the physical order of small tables, and tell the session's map what the newest mark holds."""
        floor = self._marks.floor
        for relation in map(floor.named, mark.deltas):
            if floor.copies.small[relation.oid]:
                mark.orders[relation.label] = floor.copies.in_place(relation)
        self._map(mark)

    def _map(self, mark: Mark) -> None:
        floor = self._marks.floor
        for relation in map(floor.named, mark.deltas):
            empty = relation.empty and not floor.copies.count(relation)
            self._session.execute("update pg_temp.mint_rel set empty = %s where rel = %s", (empty, relation.oid))
        for relation in map(floor.named, mark.sequences):
            value = self._marks.value(relation)
            self._session.execute(
                "update pg_temp.mint_rel set last = %s, called = %s where rel = %s",
                (value.last, value.called, relation.oid),
            )

    def _forget(self, mark: Mark) -> None:
        floor, level = self._marks.floor, len(self._marks)
        for relation in map(floor.named, mark.deltas):
            blocks = floor.copies.forget(relation, level)
            self._pending[relation.oid] = joined(self._pending.get(relation.oid, frozenset()), blocks)
        for relation in map(floor.named, mark.sequences):
            self._pending[relation.oid] = None
        self._map(mark)

    def _replayed(self) -> Changes:
        """Learn again, on a fresh clone, what the marks above the floor hold; all of it is still to be put there."""
        floor, changes = self._marks.floor, Changes()
        for level, mark in self._marks.above_the_floor():
            for relation, delta in ((floor.named(label), delta) for label, delta in mark.deltas.items()):
                floor.copies.cover(relation, None)
                floor.copies.replay(relation, level, delta)
                changes.add(relation, None)
            for relation in map(floor.named, mark.sequences):
                changes.add(relation, None)
            self._map(mark)
        return changes


def _labels(relations: Iterable[Relation]) -> tuple[str, ...]:
    return tuple(relation.label for relation in relations)


def _ready(connection: Session, temporary: set[str]) -> Powers:
    powers = prepare(connection)
    if not powers.superuser:
        raise CannotRewind("the role is no superuser: a role with only CREATEDB gets clone and swap")
    with connection.transaction():
        sweep.install(connection)
        temporary.add(own_xid(connection))
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
