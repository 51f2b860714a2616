"""Put a clone back to its newest mark, exactly, at a cost that follows what was changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from psycopg import Error, errors

from mintdb.engines.postgresql.rewind import wal
from mintdb.engines.postgresql.rewind.bearings import Bearings
from mintdb.engines.postgresql.rewind.changes import Changes, accept, found
from mintdb.engines.postgresql.rewind.copies import own_xid
from mintdb.engines.postgresql.rewind.facts import CannotRewind, MarkTaken, PutBack, Trail
from mintdb.engines.postgresql.rewind.floor import Floor
from mintdb.engines.postgresql.rewind.foresight import can_be_inserted_again
from mintdb.engines.postgresql.rewind.housekeeping import Housekeeper
from mintdb.engines.postgresql.rewind.marking import Marking
from mintdb.engines.postgresql.rewind.marks import Mark, Marks
from mintdb.engines.postgresql.rewind.putting import Putter
from mintdb.engines.postgresql.rewind.relations import (
    Relation,
    Survey,
)
from mintdb.engines.postgresql.rewind.session import Powers, Session, is_transient, prepare
from mintdb.engines.postgresql.rewind.wal import Look, Question


class Rewinder:
    """Rewinds one clone. Used from one thread; between calls the clone belongs to the test.

    `connection` is mintdb's own session on the clone, autocommit, of a superuser; CannotRewind is raised where it is
    none. `reference` opens a session on an untouched file copy of the same template, from which rows are fetched when
    they are needed; without it every catalog is held from the start, and the rows of all tables but the large ones.
    `kept` is the `map` of an earlier clone.
    """

    def __init__(
        self, connection: Session, *, reference: Callable[[], Session] | None = None, kept: bytes = b""
    ) -> None:
        self._swap_needed: str | None = None
        self._reference_session: Session | None = None
        self._take_bearings(connection, reference)
        self._marks = Marks([Mark(self._lay_floor(0, kept=kept))])
        self._marking = Marking(connection, self._marks)
        # The mark whose floor was laid on a fresh copy of its template: what was learnt there holds for the next copy.
        self._copied: Mark | None = self._marks.newest if reference else None

    # what a caller asks

    @property
    def map(self) -> bytes:
        """What was learnt of the relations below all marks: it holds for every file copy of the same template."""
        return self._marks.stack[0].floor.survey.map

    def wrote(self) -> bool:
        """Whether anything was written since the newest mark was taken or returned to."""
        if self._marking.pending or self._swap_needed:
            return True
        try:
            look = self._look(act=False)
            return (look.verdict == "slow" and self._found(look).any()) or self._unlogged_written()
        except Error:  # a table that the look wanted to visit is gone: then something was written
            if self._session.closed:
                raise
            return True

    def put_back(self, seen: Look | None = None) -> PutBack:
        """Put the clone back to its newest mark; `seen` is what was found just before. Raises CannotRewind where only
        a swap is exact.
        """
        if self._swap_needed:
            raise CannotRewind(self._swap_needed)
        with _hindrances_told():
            look = seen or self._look(act=not self._marking.pending)
            return self._thorough(look) if look.verdict == "slow" or self._marking.pending else self._quick(look)

    def put_back_beside(self, question: Question) -> tuple[Sequence[Any], PutBack | Look | None]:  # Any: see wal
        """Ask the server something, and in the same trip put back what is simple, if the answer's `quiet` is true.

        Returns the answer, and what was put back or, where that takes more, found. Raises CannotRewind where it cannot
        be asked so.
        """
        if self._marking.pending or self._swap_needed or self._bearings.sweep_next:
            raise CannotRewind("it takes more than one trip")
        with _hindrances_told():
            answer, look = self._bearings.look_beside(question, self._marks)
            if not answer[-1] or look.verdict == "far":
                return answer, None
            return answer, look if look.verdict == "slow" else self._quick(look)

    def push_mark(self) -> MarkTaken:
        """Make the present state the newest mark, and tell what it holds that the mark below does not."""
        with _hindrances_told():
            try:
                look = self._look(act=False)
                changes = self._all_changes(look)
                if not (changes.obstacle or self._swap_needed) and self._can_replay(changes):
                    return self._push_rows(look, changes)
            except (Error, CannotRewind):  # what cannot be told apart from the mark below, or copied, stands on its own
                if self._session.closed:
                    raise
            return self._push_floor()

    def drop_mark(self, index: int) -> None:
        """Drop any mark but the base (0): what was written for it is gone after the next put_back, or swap.

        After a mark with DDL the next put_back asks for a swap. What later marks hold stays; where they replaced a row
        of it, theirs is what remains. Raises ValueError for the base, and for a mark that a floor stands on, or that is
        a floor with marks on it.
        """
        last = len(self._marks) - 1
        if not 1 <= index <= last or index < self._marks.floor.level or (index == self._marks.floor.level < last):
            raise ValueError(f"mark {index} of {last} cannot be dropped")
        below, mark = self._marks.stack[index - 1 : index + 1]
        known = "the mark that was dropped had changed the schema" if mark.ddl else self._swap_needed
        self._swap_needed = known or "dropping a mark was interrupted"  # until it is done
        if not mark.ddl:
            self._marks.half_dropped.append((mark, below))
        del self._marks.stack[index]
        if not known:
            try:
                with _hindrances_told():
                    self._marking.forget(mark, index)
                self._swap_needed = None
                self._marks.half_dropped.pop()
            except CannotRewind as obstacle:
                self._swap_needed = obstacle.reason

    def move_to(self, connection: Session, *, reference: Callable[[], Session] | None = None) -> tuple[str, ...]:
        """Go on with a fresh clone of the newest floor's template, and re-create there what later marks hold.

        The earlier session may be closed, or lost: marks are kept outside of the clone. Returns what has changed
        outside any database and was not told yet.
        """
        before = self._marks.floor
        bottom = self._marks.stack[before.level]
        again = bottom is self._copied
        if not again:
            self._close_reference()
        self._take_bearings(connection, reference)
        self._marking = Marking(connection, self._marks)
        floor = self._lay_floor(before.level, before.survey if again else None)
        self._copied = bottom if reference else None
        with self._taking_up_again(before) as dropped:
            if reference and before.copies.reference is None:
                self._marking.locate(before, floor)
            for mark in self._marks.stack[floor.level :]:
                mark.floor = floor
            if not self._marks.on_a_floor:
                with self._bearings.remembering():
                    putter = self._putter()
                    putter.put(self._marking.replayed())
                    self._bearings.own += putter.own
            for mark in dropped:
                self._marking.forget(mark, self._marks.drop_again(mark))
            if dropped:
                self.put_back()
        return floor.around.differences(before.around)

    def come_back(self, connection: Session, *, reference: Callable[[], Session] | None = None) -> None:
        """Go on with the same clone after `leave`: what others have written meanwhile is still to be put back.

        Only where there is no mark but the base.
        """
        assert len(self._marks) == 1
        before = self._bearings
        self.move_to(connection, reference=reference)
        now = self._bearings
        now.since, now.horizon, now.own = before.since, before.horizon, before.own + now.own

    def leave(self) -> None:
        """End the session on the clone; `move_to` or `come_back` goes on. The one on the reference stays warm."""
        self._session.close()

    def close(self) -> None:
        """End both sessions."""
        self.leave()
        self._close_reference()

    # the sessions

    def _take_bearings(self, connection: Session, reference: Callable[[], Session] | None) -> None:
        self._session = connection
        self._open_reference = reference
        self._swap_needed = None
        temporary: set[str] = set()
        powers = _ready(connection, temporary)
        self._bearings = Bearings(connection, powers, temporary)
        self._housekeeper = Housekeeper(connection, powers)

    def _reference(self) -> Session:
        if self._reference_session is None or self._reference_session.closed:
            assert self._open_reference is not None
            self._reference_session = self._open_reference()
            self._reference_session.autocommit = True
            prepare(self._reference_session)
        return self._reference_session

    def _close_reference(self) -> None:
        if self._reference_session is not None:
            self._reference_session.close()
            self._reference_session = None

    def _lay_floor(self, level: int, known: Survey | None = None, kept: bytes = b"") -> Floor:
        return self._bearings.lay_floor(level, self._reference if self._open_reference else None, known, kept)

    # what was changed

    def _look(self, *, act: bool) -> Look:
        return self._bearings.look(self._marks, act=act)

    def _found(self, look: Look) -> Changes:
        return found(self._session, self._marks.floor, look, self._bearings.temporary)

    def _all_changes(self, look: Look) -> Changes:
        """With what leaves no trail: unlogged relations, and marks that were dropped."""
        relations, changes = self._marks.floor.relations, self._found(look)
        for relation in self._marks.floor.survey.unlogged:
            changes.add(relation, None)
        for oid, blocks in self._marking.pending.items():
            changes.add(relations[oid], blocks)
        return changes

    def _can_replay(self, changes: Changes) -> bool:
        """Whether a mark's rows could be put into a fresh clone; otherwise it needs a template of its own."""
        floor = self._marks.floor
        touched = [floor.relations[oid] for oid in changes.tables]
        return can_be_inserted_again(self._session, touched, dumped=floor.copies.reference is None)

    def _unlogged_written(self) -> bool:
        unlogged = {relation.oid for relation in self._marks.floor.survey.unlogged}
        touches = self._bearings.sweep(self._marks).touches if unlogged else ()
        return not unlogged.isdisjoint(touch.oid for touch in touches)

    # putting back

    def _quick(self, look: Look) -> PutBack:
        """The trip has put everything back already."""
        self._arrive(look, Changes(), [look.own_xid] if look.own_xid else [])
        if look.verdict == "untouched":
            return PutBack(Trail.UNTOUCHED)
        relations = self._marks.floor.relations
        holder = self._housekeeper.shorten(relations[oid] for oid in look.grown)
        return PutBack(Trail.WAL, _labels(relations[oid] for oid in look.done), look.rows, horizon_held_by=holder)

    def _thorough(self, look: Look) -> PutBack:
        with self._bearings.remembering() as own:
            changes = self._all_changes(look)
            if changes.obstacle:
                raise CannotRewind(changes.obstacle)
            putter = self._putter()
            putter.put(changes)
        self._arrive(look, changes, own + putter.own)
        return self._told(look, changes, putter)

    def _told(self, look: Look, changes: Changes, putter: Putter) -> PutBack:
        relations = self._marks.floor.relations
        copies = self._marks.floor.copies
        due = self._housekeeper.count(relations[oid] for oid in changes.tables)
        if due:
            self._housekeeper.vacuum([relation.identifier for relation in due])
        emptied = [r for r in putter.tables if r.empty and not copies.has(r)]
        holder = self._housekeeper.shorten(self._housekeeper.grown(emptied))
        names = _labels([*putter.tables, *(relations[oid] for oid in sorted(changes.sequences))])
        trail = Trail.SWEEP if look.swept else Trail.WAL
        return PutBack(
            trail if names else Trail.UNTOUCHED,
            names,
            putter.rows,
            outside=changes.outside,
            horizon_held_by=holder or putter.horizon_held_by,
            order_kept=putter.in_order,
        )

    def _putter(self) -> Putter:
        return Putter(self._session, self._marks, self._housekeeper)

    def _arrive(self, look: Look, changes: Changes, own: list[str]) -> None:
        accept(self._marks.floor, changes)
        self._bearings.arrive(look, own)
        self._marking.pending.clear()

    # marks

    def _push_floor(self) -> MarkTaken:
        floor = self._bearings.lay_floor(len(self._marks), None)
        self._marking.pending.clear()
        self._swap_needed = None
        self._marks.stack.append(Mark(floor, ddl=True))
        return MarkTaken(ddl=True)

    def _push_rows(self, look: Look, changes: Changes) -> MarkTaken:
        with self._bearings.remembering() as own:
            mark, xid = self._marking.take(changes)
            own.append(xid)
        self._arrive(look, changes, own)
        return MarkTaken((*mark.deltas, *mark.sequences))

    @contextmanager
    def _taking_up_again(self, floor: Floor) -> Iterator[list[Mark]]:
        dropped = self._marks.take_up_again(floor)
        try:
            yield dropped
        except BaseException:
            if dropped:
                self._marks.give_up(dropped)
                self._swap_needed = "a mark could not be dropped"  # the next swap is one without it
            raise


def _labels(relations: Iterable[Relation]) -> tuple[str, ...]:
    return tuple(relation.label for relation in relations)


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
