"""Evolutions on PostgreSQL."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import psycopg

from mintdb import clock
from mintdb.address import Address
from mintdb.schemas.evolutions.errors import EvolutionsBusy, EvolutionsUnreachable
from mintdb.schemas.evolutions.sessions import DDL, Refused
from mintdb.schemas.server_errors import describe_server_error, get_code

LOCK = 0x65766F6C  # "evol": one for each database, since advisory locks are the database's own
POLL = 0.05  # seconds
HOLDER = """
select a.pid, a.application_name from pg_locks l join pg_stat_activity a using (pid)
where l.locktype = 'advisory' and l.objid = %s and l.granted
    and l.database = (select oid from pg_database where datname = current_database())
"""
IDLE = """
select pid, application_name, query, pg_terminate_backend(pid) from pg_stat_activity a
where datname = current_database() and pid <> pg_backend_pid() and state like 'idle in transaction%%'
    and exists (select from pg_locks l where l.pid = a.pid and l.locktype = 'relation')
"""


class PostgresSession:
    """See sessions.Session."""

    DDL = DDL

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:  # Any: rows are as selected
        self._connection = connection

    def fetch(self, statement: str, *values: object) -> list[tuple[Any, ...]]:  # Any: as the statement selects
        with _refusing():
            return self._connection.execute(statement.encode(), values).fetchall()

    def run(self, statement: str, *values: object) -> None:
        with _refusing():
            self._connection.execute(statement.encode(), values)

    def run_script(self, statement: str) -> None:
        with _refusing():
            self._connection.execute(statement.encode())

    def transaction(self) -> AbstractContextManager[Any]:  # Any: psycopg's own
        return self._connection.transaction()

    def lock(self, *, timeout: float) -> None:
        deadline = clock.monotonic() + timeout
        while not self.fetch("select pg_try_advisory_lock(%s)", LOCK)[0][0]:
            if clock.monotonic() > deadline:
                holders = self.fetch(HOLDER, LOCK)
                holder = " and ".join(f"{name or 'a session'}, backend {pid}" for pid, name in holders)
                database = self._connection.info.dbname
                raise EvolutionsBusy(database=database, holder=holder or "somebody", timeout=f"{timeout:g}")
            clock.sleep(POLL)

    def end_idle_transactions(self) -> Sequence[str]:
        ended = self.fetch(IDLE)
        while any(self.fetch("select 1 from pg_stat_activity where pid = %s", pid) for pid, *_ in ended):
            clock.sleep(POLL)
        return [f"backend {pid} ({name or 'unnamed'}), which last ran {query}" for pid, name, query, _ in ended]

    def close(self) -> None:
        self._connection.close()


def open_session(address: Address) -> PostgresSession:
    """Connect. Raises EvolutionsUnreachable."""
    name = f"mintdb evolutions (process {os.getpid()})"
    try:
        connection = psycopg.connect(
            address.url_for("libpq"), autocommit=True, prepare_threshold=None, application_name=name
        )
    except psycopg.OperationalError as error:
        reason = str(error).strip().rpartition("\n")[2]
        raise EvolutionsUnreachable(url=address.redacted, reason=reason) from None
    return PostgresSession(connection)


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        message = error.diag.message_primary or str(error).strip()
        raise Refused(
            f"{error.diag.severity or 'ERROR'}: {message}",
            code=0,  # as PostgreSQL's JDBC driver has it
            state=get_code(error),
            described=describe_server_error(error),
        ) from error
