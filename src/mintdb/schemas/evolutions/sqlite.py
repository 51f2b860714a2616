"""Evolutions on SQLite."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from mintdb.address import Address
from mintdb.locks import StillLocked, locked
from mintdb.schemas import sqlite
from mintdb.schemas.evolutions.errors import EvolutionsBusy
from mintdb.schemas.evolutions.sessions import DDL, Refused


class SqliteSession:
    """See sessions.Session."""

    DDL = DDL

    def __init__(self, connection: sqlite3.Connection, database: str) -> None:
        self._connection = connection
        self._database = database
        # Not beside the database, whose folder may be under version control: SQLite's own locks end with a transaction.
        self._lock_file = _lock_file(database)
        self._held = ExitStack()

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
        try:
            self._held.enter_context(locked(self._lock_file, timeout=timeout))
        except StillLocked:
            holder = f"whoever has locked {self._lock_file}"
            raise EvolutionsBusy(database=self._database, holder=holder, timeout=f"{timeout:g}") from None

    def end_idle_transactions(self) -> Sequence[str]:
        return ()

    def close(self) -> None:
        self._connection.close()
        self._held.close()


def open_session(address: Address) -> SqliteSession:
    """Open the file, or make it."""
    return SqliteSession(sqlite.connect(address), address.database)


def _lock_file(database: str) -> Path:
    digest = hashlib.sha256(os.path.realpath(database).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir(), f"mintdb-evolutions-{os.getuid()}-{digest}.lock")


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        state = getattr(error, "sqlite_errorname", "SQLITE_ERROR")
        raise Refused(str(error), code=code, state=state, described=str(error)) from error
