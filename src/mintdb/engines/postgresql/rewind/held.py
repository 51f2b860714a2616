"""Remember where every row of a table's marks lies, so that those of the newest mark in a few blocks are found at once.

A row of a mark is *ctid and xmin*: no key and no equality is needed. It is there from the mark in which it was `born`
to the mark that no longer has it (`hidden`), so that marks share what they have in common. Rows of a large table that
were never changed are kept as a text for each page, a dozen bytes a row, and compared as sets.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field
from typing import NamedTuple, TypeAlias

from mintdb.engines.postgresql.rewind.blocks import Blocks, at_of, block_of, joined, place
from mintdb.engines.postgresql.rewind.columns import Shape
from mintdb.engines.postgresql.rewind.wire import Value
from mintdb.facts import dataclass

Identity: TypeAlias = str  # ctid and xmin: (0,1)743
SMALL_PAGES = 16
ROWS_OF_SMALL = SMALL_PAGES * 226  # of one column of four bytes each
FLOOR = 0  # the mark in which the floor's rows were born
OFFSET_BITS = 9  # of a row on its page: there are 291 at most, MaxHeapTuplesPerPage


class Row(NamedTuple):  # thousands are made at once: a frozen dataclass takes four times as long
    """A row of one mark or several, known by its number."""

    born: int
    hidden: int | None  # None: the newest mark has it
    lies: Identity | None  # None: it is still to be put there
    home: str | None  # of a row of the floor: its ctid in the reference

    @property
    def block(self) -> int | None:
        """Where it lies."""
        return block_of(self.lies) if self.lies else None


@dataclass
class Held:
    """The rows of one table."""

    shape: Shape
    small: bool  # at the floor
    covered: Blocks  # of the floor
    rows: dict[int, Row] = field(default_factory=dict)
    values: dict[int, Value] = field(default_factory=dict)  # of those that no reference has, and some that were fetched
    strayed: bool = False  # rows were put elsewhere while the table was too large to keep its order
    learnt: int = 0  # rows of the floor that are known
    _untouched: dict[int, str] = field(default_factory=dict)  # by block, where the table is large: rows still at home
    _newest: dict[int | None, set[int]] = field(default_factory=dict)  # the others, by block
    _journal: list[tuple[int, Row | None]] | None = field(default=None)

    def learn(self, found: Iterable[Identity], blocks: Blocks) -> None:
        """Know the floor's rows in `blocks`, as they lie in the reference and so in a fresh clone."""
        pages: dict[int, list[Identity]] = {}
        for identity in found:
            pages.setdefault(block_of(identity), []).append(identity)
        if self.covered:  # a wider question tells of them again
            pages = {block: rows for block, rows in pages.items() if block not in self.covered}
        if self.small:
            identities = sorted((i for rows in pages.values() for i in rows), key=place)
            self.add({number: _at_home(i) for number, i in enumerate(identities, start=1)})
        else:
            self._untouched |= {block: " ".join(identities) for block, identities in pages.items()}
        self.learnt += sum(map(len, pages.values()))
        self.covered = joined(self.covered, blocks)  # last: what is covered and not known would be taken for young

    def learn_all(self, found: Iterable[Identity]) -> None:
        """Know the floor's rows, in order, of which no reference will tell."""
        self.add({number: Row(FLOOR, None, lies, None) for number, lies in enumerate(found, start=1)})
        self.learnt, self.covered = len(self.rows), None

    def at_home(self, homes: Collection[str]) -> list[int]:
        """The floor's rows of these places, on a fresh clone."""
        if self.small:
            numbers = {row.home: number for number, row in self.rows.items()}
            return [numbers[home] for home in homes]
        blocks, wanted = frozenset(map(block_of, homes)), set(homes)
        self._wake({identity for identity in self._still_at_home(blocks) if at_of(identity) in wanted})
        return list(map(number_of, homes))

    def compare(self, blocks: Blocks, found: Iterable[Identity]) -> tuple[list[int], list[Identity]]:
        """The newest mark's rows in `blocks` that are not among those found there, and what is there instead."""
        now, at_home = set(found), self._still_at_home(blocks)
        there = {number: self.rows[number].lies for number in self.newest(blocks)}
        gone = [number for number, lies in there.items() if lies not in now]
        return gone + self._wake(at_home - now), list(now - at_home - set(there.values()))

    def _still_at_home(self, blocks: Blocks) -> set[Identity]:
        pages = self._untouched.keys() if blocks is None else self._untouched.keys() & blocks
        return {identity for block in pages for identity in self._untouched[block].split(" ")}

    def _wake(self, identities: Collection[Identity]) -> list[int]:
        """Know these rows one by one from now on: they are no longer at home, or not in every mark."""
        blocks = {block_of(identity) for identity in identities}
        left = {b: [i for i in self._untouched[b].split(" ") if i not in identities] for b in blocks}
        others = {block: page for block, page in self._untouched.items() if block not in blocks}
        woken = {number_of(identity): _at_home(identity) for identity in identities}
        self.rows |= woken  # not `add`: to tell them apart is no change that a failure has to take back
        self._index(woken)
        self._untouched = others | {block: " ".join(rows) for block, rows in left.items() if rows}
        return list(woken)

    def add(self, rows: Mapping[int, Row]) -> None:
        """Remember rows that are new."""
        self.rows |= rows
        if self._journal is not None:
            self._journal += [(number, None) for number in rows]
        self._index(rows)

    def _index(self, rows: Mapping[int, Row]) -> None:
        for number, row in rows.items():
            self._newest.setdefault(row.block, set()).add(number)

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
        """The newest mark's rows in `blocks` that are known one by one, and those that are still to be put there."""
        found = self._newest.values() if blocks is None else (self._newest.get(block, ()) for block in (None, *blocks))
        return [number for numbers in found for number in numbers]

    def count(self, blocks: Blocks = None) -> int:
        """How many of the newest mark's rows are known there."""
        untouched = self._untouched
        pages = untouched.keys() if blocks is None else untouched.keys() & blocks
        return len(self.newest(blocks)) + sum(untouched[block].count(" ") + 1 for block in pages)

    def occupied(self, blocks: Blocks) -> frozenset[int]:
        """Those of `blocks` where the newest mark has rows."""
        pages = self._newest.keys() - {None} | self._untouched.keys()
        return frozenset(page for page in pages if page is not None and (blocks is None or page in blocks))

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
        return (lies is None, place(lies) if lies else (0, 0))

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


def number_of(place_or_identity: str) -> int:
    """The number of a large table's row of the floor, in physical order."""
    block, offset = place(place_or_identity)
    return block << OFFSET_BITS | offset


def _at_home(identity: Identity) -> Row:
    return Row(FLOOR, None, identity, at_of(identity))
