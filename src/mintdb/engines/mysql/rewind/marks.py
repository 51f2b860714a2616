"""What a database returns to: a stack of marks, each holding only what differs from the one below."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field

from mintdb.engines.mysql.schema import Schema
from mintdb.engines.mysql.sequences import Standing
from mintdb.facts import dataclass


@dataclass(frozen=True)
class Mark:
    """One state. The lowest, of the template, has every table."""

    sources: Mapping[str, str | None]  # table -> the database that has its rows; None: it is empty
    counters: Mapping[str, int] = field(default_factory=dict)  # table -> AUTO_INCREMENT
    sequences: Mapping[str, Standing] = field(default_factory=dict)
    schema: Schema | None = None  # None: that of the mark below
    side: str | None = None  # the database that was made for it


class Marks:
    """The stack. What the newest mark does not know is as the one below has it."""

    def __init__(self, lowest: Mark) -> None:
        self._stack = [lowest]

    @property
    def height(self) -> int:
        """How many marks there are above the lowest."""
        return len(self._stack) - 1

    @property
    def schema(self) -> Schema:
        """All definitions."""
        return next(mark.schema for mark in reversed(self._stack) if mark.schema is not None)

    def source(self, table: str) -> str | None:
        """The database that has the rows of a table; None if it is to be empty."""
        return next((mark.sources[table] for mark in self._newest_first() if table in mark.sources), None)

    def counter(self, table: str) -> int:
        """AUTO_INCREMENT of a table."""
        return next((mark.counters[table] for mark in self._newest_first() if table in mark.counters), 1)

    def sequence(self, each: str) -> Standing:
        """Where a sequence stands."""
        return next(mark.sequences[each] for mark in self._newest_first() if each in mark.sequences)

    def push(self, mark: Mark) -> None:
        """A new newest one."""
        self._stack.append(mark)

    def drop(self, number: int) -> Mark:
        """Take out mark `number` (1 is the first above the lowest).

        Raises ValueError where one above has DDL, or whole tables of rows of which this one wrote some.
        """
        mark = self._stack[number]
        if any(above.schema or above.sources.keys() & mark.sources.keys() for above in self._stack[number + 1 :]):
            raise ValueError(f"mark {number} is below one that stands on it")
        return self._stack.pop(number)

    def sides(self) -> list[str]:
        """The databases that were made for marks."""
        return [mark.side for mark in self._stack if mark.side]

    def _newest_first(self) -> Iterator[Mark]:
        return reversed(self._stack)
