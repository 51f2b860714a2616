"""One DuckDB session below an emulated connection: exact numbers, no duplicate columns lost, no Python names read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow

from mintdb.facts import dataclass

# What Snowflake computes otherwise than DuckDB does. Temporary: each session has its own, and no database has any.
MACROS = (
    """create temp macro _mint_exact(t) as
         t in ('TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT', 'HUGEINT', 'UTINYINT', 'USMALLINT', 'UINTEGER', 'UBIGINT',
               'UHUGEINT') or starts_with(t, 'DECIMAL')""",
    # https://docs.snowflake.com/en/sql-reference/operators-arithmetic#division
    """create temp macro _mint_scale(t) as case when starts_with(t, 'DECIMAL')
         then greatest(regexp_extract(t, ',([0-9]+)', 1)::int, least(regexp_extract(t, ',([0-9]+)', 1)::int + 6, 12))
         else 6 end""",
    """create temp macro _mint_divide(a, b) as case
         when b = 0 then error('Division by zero')::double
         when _mint_exact(typeof(a)) and _mint_exact(typeof(b)) then round(a / b, _mint_scale(typeof(a)))
         else a / b end""",
    # https://docs.snowflake.com/en/sql-reference/functions/date_trunc: a date stays a date
    """create temp macro _mint_truncate(part, x date) as cast(date_trunc(part, x) as date),
         (part, x timestamp) as date_trunc(part, x), (part, x timestamptz) as date_trunc(part, x),
         (part, x varchar) as date_trunc(part, cast(x as timestamp))""",
    # https://docs.snowflake.com/en/sql-reference/functions/dateadd: and stays one where days or more are added
    """create temp macro _mint_dated(x date, moved) as cast(moved as date),
         (x timestamp, moved) as moved, (x timestamptz, moved) as moved, (x time, moved) as moved,
         (x varchar, moved) as moved""",
    """create temp macro _mint_to_char(x date, format) as strftime(x, format),
         (x timestamp, format) as strftime(x, format), (x timestamptz, format) as strftime(x, format),
         (x time, format) as strftime(date '1970-01-01' + x, format),
         (x double, format) as case when x is not null
           then error('TO_CHAR of a number with a format is not emulated')::varchar end,
         (x varchar, format) as case when x is not null
           then error('TO_CHAR of a text with a format is not emulated')::varchar end""",
    """create temp macro _mint_typeof(x) as case
         when typeof(x) = 'JSON' then case json_type(try_cast(x as json))
           when 'UBIGINT' then 'INTEGER' when 'BIGINT' then 'INTEGER' when 'DOUBLE' then 'DECIMAL'
           when 'NULL' then 'NULL_VALUE' else json_type(try_cast(x as json)) end
         when typeof(x) = 'TIMESTAMP' then 'TIMESTAMP_NTZ'
         when typeof(x) = 'TIMESTAMP WITH TIME ZONE' then 'TIMESTAMP_TZ'
         when starts_with(typeof(x), 'DECIMAL') then case when typeof(x) like '%,0)' then 'INTEGER' else 'DECIMAL' end
         when _mint_exact(typeof(x)) then 'INTEGER' else typeof(x) end""",
)
PLAIN = {
    "BOOLEAN": pyarrow.bool_(),
    "DOUBLE": pyarrow.float64(),
    "FLOAT": pyarrow.float64(),
    "VARCHAR": pyarrow.string(),
    "JSON": pyarrow.string(),
    "UUID": pyarrow.string(),
    "BLOB": pyarrow.binary(),
    "DATE": pyarrow.date32(),
    "TIME": pyarrow.time64("us"),
    "TIMESTAMP": pyarrow.timestamp("us"),
    "TIMESTAMP_NS": pyarrow.timestamp("us"),
    "TIMESTAMP WITH TIME ZONE": pyarrow.timestamp("us", tz="UTC"),
}
WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")
WIDE = ("UBIGINT", "HUGEINT", "UHUGEINT")
NESTED = ("STRUCT", "MAP", "UNION")
INT64 = range(-(2**63), 2**63)
NOWHERE = "memory.main"  # a database of DuckDB's own, with nothing in it
# What makes or drops a schema, or takes such a statement back, or makes another schema the session's.
CHANGES_SCHEMAS = re.compile(r"\b(schema|rollback)\b", re.IGNORECASE)
TEMPORARY = re.compile(r"\btemp(orary)?\b", re.IGNORECASE)
PLAIN_NAME = re.compile(r"[^'\".]+")  # as it may stand in the text of `set schema`


@dataclass(frozen=True)
class Column:
    """One column of a result, as DuckDB types it."""

    name: str
    kind: str


class Schemas:
    """How often the schemas of an account may have changed: a session that is in one is there for as long as not."""

    changes = 0


class Duck:
    """A DuckDB session with the parts of its interface that fakesnow uses."""

    def __init__(self, session: Any, schemas: Schemas) -> None:  # Any: a DuckDBPyConnection
        self._session = session
        self._schemas = schemas
        self._here: tuple[str, str, int] | None = None  # database, schema, and when it was found to be there
        self._left: tuple[str, str] | None = None  # the same of the last place that it was in
        self.is_plain = True  # no statement failed, and none made anything temporary: another may go on with it
        for macro in MACROS:
            session.execute(macro)

    def execute(self, sql: str, params: object = None) -> Duck:
        """Run a statement; its result is fetched from this same object."""
        was_plain, self.is_plain = self.is_plain, False
        self._session.execute(sql, params)
        self.is_plain = was_plain and not TEMPORARY.search(sql)
        self._schemas.changes += CHANGES_SCHEMAS.search(sql) is not None
        return self

    def enter(self, database: str, schema: str) -> bool:
        """Make a schema the current one; if there is none of that name, there is no current one, and this is False."""
        here = (database, schema, self._schemas.changes)
        if here == self._here:
            return True
        if PLAIN_NAME.fullmatch(database) and PLAIN_NAME.fullmatch(schema):
            with suppress(duckdb.CatalogException):
                self._session.execute(f"set schema = '{database}.{schema}'")
                self._here = here
                return True
        self.let_go()
        return False

    def let_go(self) -> None:
        """Let go of every database: a result that was not fetched to its end holds those that it reads."""
        if self._here is not None:
            self._left = self._here[:2]
        self._here = None
        self._session.execute(f"set schema = '{NOWHERE}'")

    def come_back(self) -> None:
        """Enter again the schema that it was in before it let go, if that is still there."""
        if self._left is not None:
            self.enter(*self._left)

    def drop_temporary(self) -> None:
        """Drop what is temporary. Macros are, too, and stay."""
        if not self.is_plain:
            for kind, name in self._temporary():
                self._session.execute(f'drop {kind} if exists temp.main."{name}"')
            self.is_plain = True

    def _temporary(self) -> list[tuple[str, str]]:
        tables = self._session.execute("select table_name from duckdb_tables() where temporary").fetchall()
        views = self._session.execute(
            "select view_name from duckdb_views() where temporary and not internal and database_name = 'temp'"
        ).fetchall()
        return [*(("table", name) for (name,) in tables), *(("view", name) for (name,) in views)]

    def columns(self) -> Sequence[Column]:
        """The columns of the last result."""
        return [Column(name, str(kind)) for name, kind, *_ in self._session.description or ()]

    def to_arrow_table(self) -> pyarrow.Table:
        """The last result. DuckDB's own conversion makes floats of its widest integers, and warns."""
        columns, rows = self.columns(), self._session.fetchall()
        values = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
        arrays = [as_array(column.kind, cells) for column, cells in zip(columns, values, strict=True)]
        return pyarrow.Table.from_arrays(arrays, names=[column.name for column in columns])

    @contextmanager
    def reading_python_names(self) -> Iterator[None]:
        """Let statements of the block read DataFrames of the calling functions, as fakesnow's own code does."""
        self._session.execute("set global python_enable_replacements = true")
        self._session.execute("set global python_scan_all_frames = true")
        try:
            yield
        finally:
            self._session.execute("set global python_enable_replacements = false")
            self._session.execute("set global python_scan_all_frames = false")

    def __getattr__(self, name: str) -> Any:  # Any: whatever DuckDB's session has
        return getattr(self._session, name)


def as_array(kind: str, cells: Sequence[Any]) -> pyarrow.Array:  # Any: a column's values
    """Values of one DuckDB type, in the Arrow type that keeps them."""
    if kind == "UUID":
        return pyarrow.array([None if cell is None else str(cell) for cell in cells], pyarrow.string())
    if kind in PLAIN:
        return pyarrow.array(cells, PLAIN[kind])
    if kind in WHOLE or kind in WIDE or kind.endswith(",0)"):
        return _whole_numbers(cells)
    if kind.startswith("DECIMAL"):
        precision, scale = kind.removeprefix("DECIMAL(").rstrip(")").split(",")
        return pyarrow.array(cells, pyarrow.decimal128(int(precision), int(scale)))
    if kind.endswith("]") or kind.startswith(NESTED):
        return pyarrow.array([None if cell is None else as_json(cell) for cell in cells], pyarrow.string())
    return pyarrow.array(cells)


def as_json(cell: object) -> str:
    """A list or a structure as the text that it would be as a VARIANT."""
    return json.dumps(cell, separators=(",", ":"), ensure_ascii=False, default=_as_plain)


def _as_plain(value: object) -> object:
    return float(value) if isinstance(value, Decimal) else str(value)


def _whole_numbers(cells: Sequence[Any]) -> pyarrow.Array:  # Any: see as_array
    numbers = [None if cell is None else int(cell) for cell in cells]
    fits = all(number is None or number in INT64 for number in numbers)
    return pyarrow.array(numbers, pyarrow.int64() if fits else pyarrow.decimal128(38, 0))


def rows_of(table: pyarrow.Table) -> list[tuple[Any, ...]]:  # Any: a row's values
    """A table's rows as the connector gives them: whole numbers are ints, and no column hides another of its name."""
    columns = [_as_python(column) for column in table.columns]
    return list(zip(*columns, strict=True)) if columns else []


def _as_python(column: pyarrow.ChunkedArray) -> list[Any]:  # Any: see rows_of
    values = column.to_pylist()
    whole = pyarrow.types.is_decimal(column.type) and column.type.scale == 0
    convert: Callable[[Any], Any] = int  # Any: a Decimal
    return [None if value is None else convert(value) for value in values] if whole else values
