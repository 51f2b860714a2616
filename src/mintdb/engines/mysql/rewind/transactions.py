"""Whether the log tells of every write: InnoDB has numbered no more transactions than the logged ones, and ours.

One takes a number before it first writes, or takes an AUTO_INCREMENT, and another at its end, also where it is rolled
back or nothing of it is logged. Who only reads takes none. To ask for the number takes the server far less than its
counters do, which InnoDB tells of the tables of all databases or of none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from mintdb.engines.mysql.rewind.binlog import Log, Position, Seen

TOLD = re.compile(r"^Trx id counter (\d+)$", re.MULTILINE)
EACH = 2  # trx_t::id and trx_t::no (storage/innobase/include/trx0trx.h)
NEEDLESS = 1  # a DELETE that found nothing
PATIENCE = 2  # a test that was rolled back is no reason to expect another
ALTER = 3  # on MariaDB 10.11; where it is another, the counters are asked for as well


class Transactions:
    """The count of one server's transactions, and what it was at a position in its log."""

    question = "show engine innodb status"

    def __init__(self, log: Log) -> None:
        self._log = log
        self._then: int | None = None  # None: not known
        self._now: int | None = None
        self._in_vain = 0  # times in a row that it was not enough

    def may_explain(self, seen: Seen) -> bool:
        """Whether to ask for the number alone. On a server where others put back as well, it seldom is enough."""
        return self._then is not None and self._in_vain < PATIENCE and seen.is_plain

    def explains(self, rows: Sequence[Any], read: tuple[Seen, Position]) -> bool:  # Any: as the server gives them
        """Whether what was read from the log, before the number was asked for, is all that was written since."""
        seen, position = read
        told = number_in(rows)
        is_explained = self._then is not None and told == self._then + EACH * seen.transactions
        self._in_vain = 0 if is_explained else self._in_vain + (self._then is not None)
        # Who has written to the log since it was read would be counted twice.
        self._now = told if is_explained or self._log.ends_at(position) else None
        return is_explained and seen.is_plain

    def overlook(self) -> None:
        """It was not asked for."""
        self._now = None

    def move_on(self) -> None:
        """What had been written when it was asked for was seen to."""
        self._then = self._now

    def foresee(self, written: Mapping[str, int], numbers: Mapping[str, int]) -> None:
        """So many rows of tables were put back since, in one transaction, and these AUTO_INCREMENTs."""
        if self._then is not None:
            self._then += len(numbers) * ALTER
            if written:
                self._then += EACH if any(written.values()) else NEEDLESS

    def forget(self) -> None:
        """Other things were done since."""
        self._then = None


def number_in(rows: Sequence[Any]) -> int | None:  # Any: see above
    """The number that the next transaction gets."""
    ((*_, status),) = rows
    told = TOLD.search(status)
    return int(told[1]) if told else None
