"""Evolutions on SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mintdb.address import Address
from mintdb.schemas import sqlite
from mintdb.schemas.evolutions.sessions import DDL, Refused


class SqliteSession:
    """See sessions.Session. Nobody else is waited for: a file belongs to one process's tests."""

    DDL = DDL

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def fetch(self, statement: str, *values: object) -> list[tuple[Any, ...]]:  # Any: as the statement selects
        with _refusing():
            return self._connection.execute(statement.replace("%s", "?"), values).fetchall()

    def run(self, statement: str, *values: object) -> None:
        self.fetch(statement, *values)

    def run_script(self, statement: str) -> None:
        with _refusing():
            self._connection.execute(statement)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._connection.execute("begin")
        try:
            yield
        except BaseException:
            self._connection.execute("rollback")
            raise
        self._connection.execute("commit")

    def lock(self, *, timeout: float) -> None:
        pass

    def end_idle_transactions(self) -> Sequence[str]:
        return ()

    def close(self) -> None:
        self._connection.close()


def open_session(address: Address) -> SqliteSession:
    """Open the file, or make it."""
    return SqliteSession(sqlite.connect(address))


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        state = getattr(error, "sqlite_errorname", "SQLITE_ERROR")
        raise Refused(str(error), code=code, state=state, described=str(error)) from error
