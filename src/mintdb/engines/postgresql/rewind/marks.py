"""Stack marks: each holds only what differs from the mark below it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import field

from mintdb.engines.postgresql.rewind.deltas import Delta
from mintdb.engines.postgresql.rewind.floor import Floor
from mintdb.engines.postgresql.rewind.relations import Relation, SequenceValue
from mintdb.facts import dataclass


@dataclass
class Mark:
    """What one mark holds above the mark below it, by the names of its relations."""

    floor: Floor
    number: int = 0  # no other mark's, ever: the rows that were born in it carry it
    deltas: dict[str, Delta] = field(default_factory=dict)
    sequences: dict[str, SequenceValue] = field(default_factory=dict)
    orders: dict[str, list[int]] = field(default_factory=dict)  # physical order of small tables
    ddl: bool = False


@dataclass
class Marks:
    """The stack. The lowest mark is the base; a floor is the base or a mark with DDL."""

    stack: list[Mark]
    drawn: int = 0  # numbers given to marks so far
    half_dropped: list[tuple[Mark, Mark]] = field(
        default_factory=list
    )  # what others hold of them stays; and the next below

    def __len__(self) -> int:
        return len(self.stack)

    @property
    def newest(self) -> Mark:
        """The mark that a rewind returns to."""
        return self.stack[-1]

    @property
    def floor(self) -> Floor:
        """What the newest mark stands on."""
        return self.newest.floor

    @property
    def on_a_floor(self) -> bool:
        """Whether the newest mark is a floor itself, so that a swap needs no rows."""
        return len(self.stack) - 1 == self.floor.level

    def draw(self) -> int:
        """A number for a new mark."""
        self.drawn += 1
        return self.drawn

    def take_up_again(self, floor: Floor) -> list[Mark]:
        """Put the half-dropped marks of `floor` where they were, to be brought along with the others."""
        dropped = [(mark, below) for mark, below in reversed(self.half_dropped) if mark.floor is floor]
        for mark, below in dropped:
            self.stack.insert(self._index(below) + 1, mark)
        return [mark for mark, _ in dropped]

    def drop_again(self, mark: Mark) -> int:
        """Take a mark out; returns where it was."""
        index = self._index(mark)
        self.give_up([mark])
        return index

    def give_up(self, dropped: Sequence[Mark]) -> None:
        """Know these marks no longer."""
        gone = set(map(id, dropped))
        self.stack = [mark for mark in self.stack if id(mark) not in gone]
        self.half_dropped = [(mark, below) for mark, below in self.half_dropped if id(mark) not in gone]

    def _index(self, mark: Mark) -> int:
        return next(index for index, other in enumerate(self.stack) if other is mark)

    def above_the_floor(self) -> Sequence[Mark]:
        """The marks that a fresh clone of the floor's template lacks."""
        return self.stack[self.floor.level + 1 :]

    def above(self, index: int, label: str) -> Sequence[Mark]:
        """The marks from `index` on that changed a table."""
        return [mark for mark in self.stack[index:] if label in mark.deltas]

    def value(self, relation: Relation) -> SequenceValue:
        """Where a sequence stands at the newest mark."""
        return next(self._found(relation), relation.value or SequenceValue(1, called=False))

    def _found(self, relation: Relation) -> Iterator[SequenceValue]:
        return (m.sequences[relation.label] for m in reversed(self._here()) if relation.label in m.sequences)

    def _here(self) -> list[Mark]:
        return self.stack[self.floor.level :]

    def surplus(self, relation: Relation) -> int:
        """How many more rows a table has at the newest mark than at the floor."""
        deltas = [m.deltas[relation.label] for m in self._here() if relation.label in m.deltas]
        return sum(delta.surplus for delta in deltas)

    def ranked(self, relation: Relation, numbers: list[int]) -> list[int]:
        """Rows in the physical order that they have at the newest mark."""
        orders = (m.orders[relation.label] for m in reversed(self._here()) if relation.label in m.orders)
        order = next(orders, None)
        if order is None:
            return numbers
        rank = {number: place for place, number in enumerate(order)}
        return sorted(numbers, key=lambda number: rank.get(number, len(rank)))
