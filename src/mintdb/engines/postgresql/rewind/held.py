"""Remember where every row of a table's marks lies, so that those of the newest mark in a few blocks are found at once.

A row of a mark is *ctid and xmin*: no key and no equality is needed. It is there from the mark in which it was `born`
to the mark that no longer has it (`hidden`), so that marks share what they have in common.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import field
from typing import NamedTuple, TypeAlias

from mintdb.engines.postgresql.rewind.blocks import Blocks, block_of, place
from mintdb.engines.postgresql.rewind.columns import Shape
from mintdb.engines.postgresql.rewind.wire import Value
from mintdb.facts import dataclass

Identity: TypeAlias = tuple[str, str]  # ctid and xmin
SMALL_PAGES = 16
ROWS_OF_SMALL = SMALL_PAGES * 226  # of one column of four bytes each
FLOOR = 0  # the mark in which the floor's rows were born


class Row(NamedTuple):  # thousands are made at once: a frozen dataclass takes four times as long
    """A row of one mark or several, known by its number."""

    born: int
    hidden: int | None  # None: the newest mark has it
    lies: Identity | None  # None: it is still to be put there
    home: str | None  # of a row of the floor: its ctid in the reference

    @property
    def block(self) -> int | None:
        """Where it lies."""
        return block_of(self.lies[0]) if self.lies else None


@dataclass
class Held:
    """The rows of one table."""

    shape: Shape
    small: bool  # at the floor
    covered: Blocks  # of the floor
    rows: dict[int, Row] = field(default_factory=dict)
    values: dict[int, Value] = field(default_factory=dict)  # of those that no reference has
    strayed: bool = False  # rows were put elsewhere while the table was too large to keep its order
    last_of_floor: int = 0  # numbers given to the floor's rows so far
    _newest: dict[int | None, set[int]] = field(default_factory=dict)  # by block
    _journal: list[tuple[int, Row | None]] | None = field(default=None)

    def put(self, number: int, row: Row | None) -> None:
        """Remember a row, or forget it."""
        old = self.rows.pop(number, None)
        if self._journal is not None:
            self._journal.append((number, old))
        if old and old.hidden is None:
            self._newest[old.block].remove(number)
            if not self._newest[old.block]:
                del self._newest[old.block]
        if row:
            self.rows[number] = row
            if row.hidden is None:
                self._newest.setdefault(row.block, set()).add(number)

    def newest(self, blocks: Blocks = None) -> list[int]:
        """The newest mark's rows in `blocks`, and those that are still to be put there."""
        found = self._newest.values() if blocks is None else (self._newest.get(block, ()) for block in (None, *blocks))
        return [number for numbers in found for number in numbers]

    def occupied(self, blocks: Blocks) -> frozenset[int]:
        """Those of `blocks` where the newest mark has rows."""
        pages = self._newest.keys() - {None} if blocks is None else self._newest.keys() & blocks
        return frozenset(page for page in pages if page is not None)

    @property
    def keeps_order(self) -> bool:
        """Whether its physical order is kept: a table that is small at the newest mark too."""
        rows = sum(map(len, self._newest.values())) if len(self._newest) <= SMALL_PAGES + 1 else ROWS_OF_SMALL + 1
        return self.small and rows <= ROWS_OF_SMALL

    def neighbours(self, numbers: Collection[int]) -> list[int]:
        """One more of the newest mark's rows on each page of these, where there is one."""
        pages = {self.rows[number].block for number in numbers} - {None}
        others = (self._newest[page].difference(numbers) for page in pages)
        return [min(other) for other in others if other]

    def in_place(self) -> list[int]:
        """The newest mark's rows as they lie in the table, those that are still to be put there behind."""
        return sorted(self.newest(), key=self._order)

    def _order(self, number: int) -> tuple[bool, tuple[int, int]]:
        lies = self.rows[number].lies
        return (lies is None, place(lies[0]) if lies else (0, 0))

    @contextmanager
    def journaled(self) -> Iterator[None]:
        """What is put in the block is taken back if it fails."""
        journal: list[tuple[int, Row | None]] = []
        self._journal = journal
        try:
            yield
        except BaseException:
            self._journal = None
            for number, row in reversed(journal):
                self.put(number, row)
                if row is None:
                    self.values.pop(number, None)
            raise
        finally:
            self._journal = None
