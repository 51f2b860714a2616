"""Connections and cursors that answer from somewhere else, and have nothing that the driver's own classes lack."""

from __future__ import annotations

import difflib
import inspect
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from types import TracebackType
from typing import Any, Protocol, Self

from mintdb.script.answers import Answer, Asked, Row
from mintdb.script.drivers import CLOSES_WITH_BLOCK, RETURNS_COUNT, RETURNS_NOTHING, Driver
from mintdb.script.errors import NotOfTheDriver, NotScripted
from mintdb.script.shapes import Shape, find_shape, named

NOTHING_OPEN = "'NoneType' object is not an iterator"  # Snowflake's cursor before its first execute


class Desk(Protocol):
    """Whoever answers: a script, or a recorder with a real connection behind it."""

    def answer(self, asked: Asked) -> Answer:
        """The answer. Raises ScriptError for what is not expected."""

    def end(self, how: str) -> None:
        """`commit`, `rollback` or `close` was called."""


class Double:
    """What is asked of it has to be there in the driver's class, and is called as that class has it."""

    _kind: type

    def __getattribute__(self, name: str) -> Any:  # Any: as the driver has it
        if name.startswith("_"):
            return object.__getattribute__(self, name)
        kind = object.__getattribute__(self, "_kind")
        if not hasattr(kind, name):
            raise AttributeError(name)  # which leads to __getattr__
        found = object.__getattribute__(self, name)
        return partial(_called, self, getattr(kind, name), found) if inspect.ismethod(found) else found

    def __getattr__(self, name: str) -> Any:  # Any: never returns
        if name.startswith("_"):
            raise AttributeError(name)
        if not hasattr(self._kind, name):
            raise NotOfTheDriver(name=name, kind=self._kind.__name__, nearest=_nearest(name, self._kind))
        raise NotScripted(name=name, kind=self._kind.__name__)

    @property  # type: ignore[misc]  # only asked, never set
    def __class__(self) -> Any:  # Any: isinstance() is to say what it says of the real one
        return object.__getattribute__(self, "_kind")


class ScriptedCursor(Double):
    """The double of a cursor."""

    def __init__(self, connection: ScriptedConnection, driver: Driver, desk: Desk, shape: Shape) -> None:
        self._kind = driver.cursor
        self._connection = connection
        self._driver = driver
        self._desk = desk
        self._shape = shape
        self._answer: Answer | None = None
        self._rows: Iterator[Row] | None = None
        self._closed = False
        self._size = 1
        self._number = -1
        self._statement: str | None = None
        self._query_id: str | None = None

    # Statements

    def execute(self, command: str, params: Any = None, *positional: Any, **options: Any) -> Any:  # Any: the driver's
        """Answer a statement. Raises the scripted error, or a ScriptError."""
        return self._ask(Asked(command, params))

    def executemany(self, command: str, seqparams: Any, **options: Any) -> Any:  # Any: the driver's
        """Answer a statement with many sets of parameters, at once."""
        return self._ask(Asked(command, [*seqparams], many=True))

    def callproc(self, procname: str, args: Any = ()) -> Any:  # Any: the driver's
        """Answer `CALL name(%s, …)`, as the drivers send it."""
        self._ask(Asked(f"CALL {procname}({', '.join(['%s'] * len(args))})", args))
        return args

    def _ask(self, asked: Asked) -> Any:  # Any: what this driver's execute returns
        self._check_open("execute")
        if self._driver.is_snowflake and not asked.statement.strip():
            return None
        self._statement, self._query_id = asked.statement, str(uuid.uuid4())
        self._answer, self._rows = None, None
        answer = self._desk.answer(asked)
        if answer.error is not None:
            raise self._with_query_id(answer.error)
        self._answer, self._number = answer, -1
        self._rows = None if answer.columns is None else iter(answer.rows)
        if self._driver.name in RETURNS_NOTHING:
            return None
        return answer.count if self._driver.name in RETURNS_COUNT else self

    def _with_query_id(self, error: Exception) -> Exception:
        if self._driver.is_snowflake and getattr(error, "sfqid", "") is None:
            error.sfqid = self._query_id  # type: ignore[attr-defined]  # it was just found to have one
        return error

    def _check_open(self, what: str) -> None:
        if not (self._closed or self._connection._closed):
            return
        if self._driver.is_snowflake:
            raise self._driver.module.InterfaceError(msg=f"Cursor is closed in {what}.", errno=252006)
        raise self._driver.module.InterfaceError("cursor already closed")

    # Facts

    @property
    def description(self) -> Any:  # Any: the driver's own
        if self._answer is None or self._answer.columns is None:
            return None
        return self._driver.describe(self._answer.columns)

    @property
    def rowcount(self) -> int | None:
        if self._answer is not None:
            return self._answer.count
        return None if self._driver.is_snowflake else -1

    @property
    def rownumber(self) -> int | None:
        return self._number if self._number >= 0 else None

    @property
    def sfqid(self) -> str | None:
        return self._query_id

    @property
    def query(self) -> str | None:
        return self._statement

    @property
    def connection(self) -> ScriptedConnection:
        return self._connection

    @property
    def lastrowid(self) -> None:
        return None

    @property
    def messages(self) -> list[Any]:  # Any: as the DB-API has it
        return []

    @property
    def arraysize(self) -> int:
        return self._size

    @arraysize.setter
    def arraysize(self, size: int) -> None:
        self._size = size

    @property
    def closed(self) -> bool:
        return self._closed

    def is_closed(self) -> bool:
        return self._closed or self._connection._closed

    def close(self) -> Any:  # Any: the connector returns whether it did
        """Close it; Snowflake's says whether this call did."""
        did = not self._closed
        self._closed, self._rows = True, None
        return did if self._driver.is_snowflake else None

    # Results

    def fetchone(self) -> Any:  # Any: a row as it was asked for, or None
        row = next(self._open_rows(), None)
        return None if row is None else self._shaped(row)

    def fetchmany(self, size: int | None = None) -> list[Any]:  # Any: see fetchone
        return [self._shaped(row) for row in islice(self._open_rows(), self._size if size is None else size)]

    def fetchall(self) -> list[Any]:  # Any: see fetchone
        return list(self)

    def __iter__(self) -> Iterator[Any]:  # Any: see fetchone
        return map(self._shaped, self._open_rows())

    def __next__(self) -> Any:  # Any: see fetchone
        return self._shaped(next(self._open_rows()))

    def _shaped(self, row: Row) -> Any:  # Any: see fetchone
        self._number += 1
        assert self._answer is not None
        return self._shape(self, self._answer.columns or (), row)

    def fetch_pandas_all(self, **options: Any) -> Any:  # Any: a DataFrame
        """The whole answer as a DataFrame: the one that was scripted, or one of the rows."""
        from importlib import import_module

        self._open_rows()
        assert self._answer is not None
        if self._answer.frame is not None:
            return self._answer.frame.copy()
        return import_module("pandas").DataFrame(list(self._answer.rows), columns=list(self._answer.columns or ()))

    def _open_rows(self) -> Iterator[Row]:
        if self._rows is not None:
            return self._rows
        if self._driver.is_snowflake:
            raise TypeError(NOTHING_OPEN)
        if self._driver.name == "sqlite3":
            return iter(())
        raise self._driver.module.ProgrammingError("no results to fetch")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close()


class ScriptedConnection(Double):
    """The double of a connection."""

    def __init__(self, driver: Driver, desk: Desk, arguments: Mapping[str, Any]) -> None:  # Any: connect's
        self._kind = driver.connection
        self._driver = driver
        self._desk = desk
        self._arguments = dict(arguments)
        self._closed = False

    def __getattr__(self, name: str) -> Any:  # Any: what connect was given
        arguments = object.__getattribute__(self, "_arguments") if name != "_arguments" else {}
        return arguments[name] if name in arguments else super().__getattr__(name)

    def cursor(self, *positional: Any, **options: Any) -> ScriptedCursor:  # Any: the driver's
        """A double of the driver's cursor; dicts, named tuples and other rows come as the real one would give them."""
        if self._closed:
            raise self._closed_error()
        kinds = [kind for kind in (*positional, options.get("cursor_class")) if isinstance(kind, type)]
        asked = [*named(self._arguments), vars(self).get("row_factory"), *kinds, *named(options)]
        shape = find_shape(asked, is_sqlite=self._driver.name == "sqlite3")
        return ScriptedCursor(self, self._driver, self._desk, shape)

    def execute(self, *args: Any, **options: Any) -> Any:  # Any: the driver's
        """psycopg's and sqlite3's way to a cursor."""
        return self.cursor().execute(*args, **options)

    def commit(self) -> None:
        self._desk.end("commit")

    def rollback(self) -> None:
        self._desk.end("rollback")

    def close(self, *args: Any) -> None:
        if not self._closed:
            self._closed = True
            self._desk.end("close")

    @property
    def closed(self) -> bool:
        return self._closed

    def is_closed(self) -> bool:
        return self._closed

    def autocommit(self, mode: bool) -> None:
        """Snowflake's, which is called; others set it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._driver.is_snowflake:
            self.commit() if kind is None else self.rollback()
        if self._driver.name in CLOSES_WITH_BLOCK:
            self.close()

    def _closed_error(self) -> Exception:
        error: type[Exception] = self._driver.module.InterfaceError
        if self._driver.is_snowflake:
            error = self._driver.module.DatabaseError
            return error(msg="Connection is closed", errno=250002, sqlstate="08003")  # type: ignore[call-arg]  # its own
        return error("connection already closed")


def _called(double: Double, real: object, found: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # Any: as given
    """Call a double's method; arguments that the driver's own would refuse are refused in its words."""
    with suppress(ValueError):  # written in C, without a signature
        if callable(real):
            _bind(inspect.signature(real), double, args, kwargs)
    return found(*args, **kwargs)


def _bind(signature: inspect.Signature, double: Double, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    bound = "self" in signature.parameters
    signature.bind(*((double, *args) if bound else args), **kwargs)


def _nearest(name: str, kind: type) -> str:
    close = difflib.get_close_matches(name, [known for known in dir(kind) if not known.startswith("_")], n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
