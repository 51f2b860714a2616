"""What a rewind tells its caller: what was put back, what a mark holds, and why only a swap is exact."""

from __future__ import annotations

from enum import StrEnum

from mintdb.errors import MintdbError
from mintdb.facts import dataclass


class Trail(StrEnum):
    """How the changes since the mark were found."""

    UNTOUCHED = "untouched"  # nothing had been written
    WAL = "wal"  # the write-ahead log named the changed blocks
    SWEEP = "sweep"  # every table was visited


@dataclass(frozen=True)
class PutBack:
    """What one put-back did. `tables` names tables and sequences; `rows` were deleted or re-inserted."""

    trail: Trail
    tables: tuple[str, ...] = ()
    rows: int = 0
    outside: tuple[str, ...] = ()  # what changed outside any database, and stays: roles, tablespaces
    horizon_held_by: int | None = None  # backend whose old snapshot keeps VACUUM from freeing dead rows
    order_kept: bool = True  # whether small tables have their physical order again


@dataclass(frozen=True)
class MarkTaken:
    """What was written since the mark below; with `ddl` the mark needs a template of its own to be swapped to,
    because the schema was changed, or rows that cannot be put into a fresh clone one by one."""

    tables: tuple[str, ...] = ()
    ddl: bool = False


class CannotRewind(MintdbError):
    """Only a swap puts this clone back exactly; where `transient` is true, trying again may work. Nothing was lost."""

    text = "the clone cannot be rewound: {reason}"

    def __init__(self, reason: str, *, transient: bool = False) -> None:
        super().__init__(reason=reason, transient=transient)
        self.reason = reason
        self.transient = transient

    def __reduce__(self) -> tuple[type[CannotRewind], tuple[str]]:
        return type(self), (self.reason,)
