"""Evolutions on MariaDB and MySQL, where each statement that changes the schema commits what came before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pymysql
from pymysql.constants.ER import EMPTY_QUERY

from mintdb.address import Address
from mintdb.schemas import mysql
from mintdb.schemas.evolutions.errors import EvolutionsBusy, EvolutionsUnreachable
from mintdb.schemas.evolutions.sessions import DDL, Refused

LOCK = "concat('mintdb evolutions ', database())"  # names of locks are the whole server's


class MySqlSession:
    """See sessions.Session."""

    DDL = DDL.replace(" text", " mediumtext")

    def __init__(self, connection: Any, database: str) -> None:  # Any: see schemas.mysql.connect
        self._connection = connection
        self._database = database

    def fetch(self, statement: str, *values: object) -> list[tuple[Any, ...]]:  # Any: as the statement selects
        with _refusing(), self._connection.cursor() as cursor:
            cursor.execute(statement, values)
            return list(cursor.fetchall())

    def run(self, statement: str, *values: object) -> None:
        self.fetch(statement, *values)

    def run_script(self, statement: str) -> None:
        with _refusing(), self._connection.cursor() as cursor:
            try:
                cursor.execute(statement)
            except pymysql.MySQLError as error:
                if error.args[:1] != (EMPTY_QUERY,):  # comments alone: PostgreSQL lets them pass
                    raise

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._connection.begin()
        try:
            yield
        except BaseException:
            self._connection.rollback()
            raise
        self._connection.commit()

    def lock(self, *, timeout: float) -> None:
        if not self.fetch(f"select get_lock({LOCK}, %s)", timeout)[0][0]:
            ((holder,),) = self.fetch(f"select is_used_lock({LOCK})")
            raise EvolutionsBusy(database=self._database, holder=f"connection {holder}", timeout=f"{timeout:g}")

    def end_idle_transactions(self) -> Sequence[str]:
        return ()  # a statement that waits for a metadata lock gives up after lock_wait_timeout

    def close(self) -> None:
        if self._connection.open:
            self._connection.close()


def open_session(address: Address) -> MySqlSession:
    """Connect. Raises EvolutionsUnreachable."""
    try:
        return MySqlSession(mysql.connect(address), address.database)
    except pymysql.MySQLError as error:
        raise EvolutionsUnreachable(url=address.redacted, reason=error.args[-1]) from None


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except pymysql.MySQLError as error:
        number, message = (*error.args, str(error), "")[:2]
        state = f"error {number}"  # PyMySQL does not hand SQLSTATE on
        code = number if isinstance(number, int) else 0
        raise Refused(str(message), code=code, state=state, described=str(message)) from error
