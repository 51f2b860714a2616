"""What one statement is answered with: columns and rows, a number of rows, or an error of the driver's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mintdb.facts import dataclass

Row = tuple[Any, ...]  # Any: values of whatever type the driver gives


@dataclass(frozen=True)
class Asked:
    """One statement as the application executed it; `many` where by executemany."""

    statement: str
    params: Any = None  # Any: whatever the application binds
    many: bool = False


@dataclass(frozen=True)
class Answer:
    """Columns of None: a statement that returns no rows, in a driver that then has no result."""

    columns: Sequence[str] | None = None
    rows: Sequence[Row] = ()
    rowcount: int | None = None
    error: Exception | None = None
    frame: Any = None  # Any: a DataFrame, as it was given

    @property
    def count(self) -> int:
        """The rowcount that a cursor shows."""
        return len(self.rows) if self.rowcount is None else self.rowcount


def of_rows(rows: Sequence[Sequence[Any]], columns: Sequence[str] | None) -> Answer:  # Any: see Row
    """Rows; without names, columns are numbered."""
    found = [tuple(row) for row in rows]
    width = len(found[0]) if found else 0
    names = list(columns) if columns is not None else [f"COLUMN{number}" for number in range(1, width + 1)]
    return Answer(names, found)


def of_dicts(rows: Sequence[Mapping[str, Any]]) -> Answer:  # Any: see Row
    """Rows as dicts; the first one's keys are the columns."""
    names = list(rows[0]) if rows else []
    return Answer(names, [tuple(row[name] for name in names) for row in rows])


def of_frame(frame: Any) -> Answer:  # Any: a DataFrame
    """The rows of a DataFrame, without its index."""
    rows = list(frame.itertuples(index=False, name=None))
    return Answer([str(name) for name in frame.columns], rows, frame=frame)
