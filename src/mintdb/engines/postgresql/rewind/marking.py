"""Take a mark of rows, drop one, and bring those that stand on a floor along to a fresh clone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import field

from mintdb.engines.postgresql.rewind.blocks import Blocks, joined
from mintdb.engines.postgresql.rewind.changes import Changes
from mintdb.engines.postgresql.rewind.copies import own_xid
from mintdb.engines.postgresql.rewind.floor import Floor
from mintdb.engines.postgresql.rewind.marks import Mark, Marks
from mintdb.engines.postgresql.rewind.relations import Relation, read_sequence, set_sequence
from mintdb.engines.postgresql.rewind.session import Session
from mintdb.facts import dataclass


@dataclass
class Marking:
    """The marks on one session."""

    session: Session
    marks: Marks
    pending: dict[int, Blocks] = field(default_factory=dict)  # what marks that were dropped had changed

    def take(self, changes: Changes) -> tuple[Mark, str]:
        """Put a mark with what was changed on the stack; returns it and the transaction that took it."""
        floor, mark = self.marks.floor, Mark(self.marks.floor, self.marks.draw())
        tables = {floor.relations[oid]: blocks for oid, blocks in changes.tables.items()}
        held = {relation: floor.copies.cover(relation, blocks) for relation, blocks in tables.items()}
        with floor.copies.journaled(), self.session.transaction():
            deltas = {relation: floor.copies.take(relation, blocks, mark.number) for relation, blocks in held.items()}
            mark.deltas = {relation.label: delta for relation, delta in deltas.items() if delta}
            self._take_sequences(mark, [floor.relations[oid] for oid in changes.sequences])
            xid = own_xid(self.session)
        self.marks.stack.append(mark)
        self._note(mark)
        return mark, xid

    def _take_sequences(self, mark: Mark, sequences: Iterable[Relation]) -> None:
        for relation in sequences:
            value, ahead = read_sequence(self.session, relation)
            if ahead:
                self.session.execute(set_sequence(relation, value))
            if value != self.marks.value(relation):
                mark.sequences[relation.label] = value

    def _note(self, mark: Mark) -> None:
        """Remember the physical order of small tables, and what the newest mark holds where."""
        floor = self.marks.floor
        for relation in map(floor.named, mark.deltas):
            if floor.copies.keeps_order(relation):
                mark.orders[relation.label] = floor.copies.in_place(relation)
        self._map(mark)

    def _map(self, mark: Mark) -> None:
        floor = self.marks.floor
        for relation in map(floor.named, mark.deltas):
            floor.standing.fill(relation, empty=relation.empty and not floor.copies.count(relation))
        for relation in map(floor.named, mark.sequences):
            floor.standing.move(relation, self.marks.value(relation))

    def forget(self, mark: Mark, index: int) -> None:
        """Take a mark, which was at `index`, out of what those above it hold."""
        floor = self.marks.floor
        for relation in map(floor.named, mark.deltas):
            forgotten = floor.copies.forget(relation, mark.number)
            for later in self.marks.above(index, relation.label):
                later.deltas[relation.label] = later.deltas[relation.label].without(forgotten.gone)
            self._give_way(relation, forgotten.back, index)
            self.pending[relation.oid] = joined(self.pending.get(relation.oid, frozenset()), forgotten.blocks)
        for relation in map(floor.named, mark.sequences):
            self.pending[relation.oid] = None
        self._map(mark)

    def _give_way(self, relation: Relation, back: Sequence[int], index: int) -> None:
        later = {mark.number: mark for mark in self.marks.above(index, relation.label)}
        if later:
            for number, home, heir in self.marks.floor.copies.give_way(relation, back):
                deltas = later[heir].deltas
                deltas[relation.label] = deltas[relation.label].hiding(number, home)

    def locate(self, before: Floor, floor: Floor) -> None:
        """Say where rows lie that marks hide, on a floor that was dumped from one where they were known by number."""
        marks = self.marks.stack[floor.level + 1 :]
        for label in {label for mark in marks for label in mark.deltas}:
            said = before.copies.held_of_floor(before.named(label))
            homes, numbers = floor.copies.find(floor.named(label), said) if said else ({}, {})
            for mark in (mark for mark in marks if label in mark.deltas):
                mark.deltas[label] = mark.deltas[label].located(homes)
                if label in mark.orders:
                    mark.orders[label] = [numbers.get(number, number) for number in mark.orders[label]]

    def replayed(self) -> Changes:
        """Learn again, on a fresh clone, what the marks above the floor hold; all of it is still to be put there."""
        floor, changes = self.marks.floor, Changes()
        for mark in self.marks.above_the_floor():
            for relation, delta in ((floor.named(label), delta) for label, delta in mark.deltas.items()):
                changes.add(relation, floor.copies.replay(relation, mark.number, delta))
            for relation in map(floor.named, mark.sequences):
                changes.add(relation, None)
            self._map(mark)
        return changes
