"""Facts about one table's rows: what a mark changed, and what putting them back did and has still to do."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from psycopg import sql

from mintdb.engines.postgresql.rewind.blocks import Blocks
from mintdb.engines.postgresql.rewind.wire import Value
from mintdb.facts import dataclass


@dataclass(frozen=True)
class Delta:
    """What one mark changed in one table: a swap brings it along."""

    table: str  # the relation's label: oids may be others in another clone
    born: tuple[tuple[int, Value], ...]
    hidden: tuple[int, ...]  # by number: rows of marks between the floor and this one, or of a floor known as a whole
    hidden_home: tuple[str, ...]  # rows of the floor, by where they lie in a fresh clone

    @property
    def surplus(self) -> int:
        """How many more rows the table has than at the mark below."""
        return len(self.born) - len(self.hidden) - len(self.hidden_home)

    def without(self, gone: Collection[int]) -> Delta:
        """The same, where the rows of a dropped mark need no hiding any more."""
        return replace(self, hidden=tuple(number for number in self.hidden if number not in gone))

    def located(self, homes: Mapping[int, str]) -> Delta:
        """The same, where the places of rows are known that were known by number."""
        hidden = tuple(number for number in self.hidden if number not in homes)
        found = (homes[number] for number in self.hidden if number in homes)
        return replace(self, hidden=hidden, hidden_home=(*self.hidden_home, *found))

    def hiding(self, number: int, home: str | None) -> Delta:
        """The same, with one more row hidden."""
        if home is None:
            return replace(self, hidden=(*self.hidden, number))
        return replace(self, hidden_home=(*self.hidden_home, home))


@dataclass(frozen=True)
class Forgotten:
    """What dropping a mark did to the rows of one table."""

    blocks: Blocks  # where the table may differ now from the newest mark
    gone: frozenset[int]  # the rows that only that mark had
    back: tuple[int, ...]  # rows that it had hidden


@dataclass(frozen=True)
class Undone:
    """What brings one table nearer to the newest mark."""

    deletes: list[sql.Composed]
    missing: list[int]
    beside: list[int]  # rows that are deleted only to make room for the missing ones; they are missing then too


@dataclass(frozen=True)
class Inserted:
    """Where rows that were put back lie, and the transaction that they carry now."""

    at_home: bool  # each where it lay before
    xid: str
