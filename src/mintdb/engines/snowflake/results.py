"""What a cursor of an emulated account hands out: rows, tables and what describes them, as the real one does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pyarrow
from fakesnow.cursor import FakeSnowflakeCursor
from fakesnow.rowtype import describe_as_result_metadata
from snowflake.connector.cursor import DictCursor, SnowflakeCursor
from snowflake.connector.errors import ProgrammingError

from mintdb.engines.snowflake.duck import Column, rows_of
from mintdb.engines.snowflake.refusals import not_emulated

if TYPE_CHECKING:
    from mintdb.engines.snowflake.sessions import EmulatedConnection

NOTHING_OPEN = "'NoneType' object is not an iterator"  # as the real cursor says before its first execute
NEGATIVE = 253001  # ER_NOT_POSITIVE_SIZE
# DuckDB's types that fakesnow has no Snowflake type for.
DESCRIBED_AS = {"UUID": "VARCHAR", "FLOAT": "DOUBLE", "TINYINT": "INTEGER", "SMALLINT": "INTEGER"}


class ResultCursor(FakeSnowflakeCursor):
    """fakesnow's cursor, with the real one's facts and exact results. It runs nothing by itself."""

    _conn: EmulatedConnection

    def __init__(self, conn: EmulatedConnection, duck_conn: Any, use_dict_result: bool = False) -> None:  # Any: a Duck
        super().__init__(conn=conn, duck_conn=duck_conn, use_dict_result=use_dict_result)
        self._is_closed = False
        self._arrow_table: Any = None  # Any: pyarrow is not checked
        self._rowcount: int | None = None
        self._columns: Sequence[Column] | None = None
        self._rows: Iterator[Any] | None = None  # Any: tuples or dicts
        self._rownumber = -1
        self._query: str | None = None
        self._waiting: list[str] = []  # statements of a text of several, whose results nextset() brings

    @property  # type: ignore[misc]  # only asked, never set
    def __class__(self) -> Any:  # Any: isinstance() is to say what it says of the real one
        return DictCursor if self._use_dict_result else SnowflakeCursor

    def __getattr__(self, name: str) -> Any:  # Any: never returns
        if not name.startswith("_") and hasattr(SnowflakeCursor, name):
            raise not_emulated(f"cursor.{name}", "no test has needed it yet")
        raise AttributeError(f"'SnowflakeCursor' object has no attribute {name!r}")

    # Facts

    @property
    def connection(self) -> EmulatedConnection:
        return self._conn

    @property
    def query(self) -> str | None:
        return self._query

    @property
    def rownumber(self) -> int | None:
        return self._rownumber if self._rownumber >= 0 else None

    @property
    def _request_id(self) -> UUID:
        """Snowpark keeps it with each query."""
        return uuid4()

    @property
    def lastrowid(self) -> None:
        return None

    @property
    def messages(self) -> list[Any]:  # Any: as the DB-API has it
        return []

    @property
    def description(self) -> Any:  # Any: a list of the connector's ResultMetadata, or None
        """The columns of the last result; None before the first execute."""
        return None if self._columns is None else _describe(self._columns)

    def is_closed(self) -> bool:
        return self._is_closed or self._conn.is_closed()

    def close(self) -> bool | None:
        """Returns whether this call closed it, as the real one does."""
        if self.is_closed():
            return False
        self.reset()
        self._is_closed = True
        return True

    def reset(self, closing: bool = False) -> None:
        """Forget the result."""
        self._rows, self._rownumber = None, -1
        self._arrow_table = None

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close()

    # Results

    def fetchone(self) -> Any:  # Any: a tuple, a dict, or None
        if self._prefetch_hook is not None:
            self._prefetch_hook()
            self._rows, self._rownumber = iter(self._as_rows()), -1
        if self._rows is None:
            raise TypeError(NOTHING_OPEN)
        row = next(self._rows, None)
        self._rownumber += row is not None
        return row

    def fetchmany(self, size: int | None = None) -> list[Any]:  # Any: tuples or dicts
        size = self.arraysize if size is None else size
        if size < 0:
            said = f"The number of rows is not zero or positive number: {size}"
            raise ProgrammingError(msg=said, errno=NEGATIVE)
        rows = (self.fetchone() for _ in range(size))
        return list(iter(lambda: next(rows, None), None))

    def fetchall(self) -> list[Any]:  # Any: tuples or dicts
        return list(iter(self.fetchone, None))

    def __iter__(self) -> Iterator[Any]:  # Any: tuples or dicts
        return iter(self.fetchone, None)

    def __next__(self) -> Any:  # Any: a tuple or a dict
        row = self.fetchone()
        if row is None:
            raise StopIteration
        return row

    def fetch_arrow_all(self, **options: Any) -> pyarrow.Table | None:  # Any: the connector's
        """The whole result; None if it has no rows, as in the real one."""
        return self._open_table() if self._open_table().num_rows else None

    def fetch_arrow_batches(self, **options: Any) -> Iterator[pyarrow.Table]:  # Any: the connector's
        yield from ([self._open_table()] if self._open_table().num_rows else [])

    def fetch_pandas_batches(self, **options: Any) -> Iterator[Any]:  # Any: DataFrames
        yield self.fetch_pandas_all(**options)

    def _open_table(self) -> pyarrow.Table:
        if self._arrow_table is None:
            raise TypeError(NOTHING_OPEN)
        return self._arrow_table

    def _as_rows(self) -> list[Any]:  # Any: tuples or dicts
        rows = rows_of(self._arrow_table)
        if not self._use_dict_result:
            return rows
        names = [field.name for field in self._arrow_table.schema]
        return [dict(zip(names, row, strict=True)) for row in rows]


def _describe(columns: Sequence[Column]) -> Any:  # Any: the connector's ResultMetadata
    def kind(column: Column) -> str:
        found = DESCRIBED_AS.get(column.kind, column.kind)
        return "JSON" if found.endswith("]") or found.startswith(("STRUCT", "MAP")) else found or "VARCHAR"

    rows = [(column.name, kind(column), None, None, None, None) for column in columns]
    return describe_as_result_metadata(rows)
