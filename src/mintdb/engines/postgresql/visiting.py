"""Look at a database that mintdb did not make, as whom its own application connects; nothing is created there."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, LiteralString

from mintdb.contract import Session
from mintdb.core import ours
from mintdb.engines.postgresql import sessions
from mintdb.engines.postgresql.connecting import APPLICATION

if TYPE_CHECKING:
    import psycopg

CONNECT_TIMEOUT = 2  # seconds: whoever waits longer for a report has more to lose than to gain from it


def visit(login: Mapping[str, str]) -> Visit | None:
    """Connect by libpq's parameters, as the application did; None where that cannot be done now."""
    try:
        import psycopg

        options = {**login, "application_name": f"{APPLICATION} look", "connect_timeout": str(CONNECT_TIMEOUT)}
        connection = psycopg.connect(autocommit=True, **options)  # type: ignore[arg-type]  # libpq's own parameters
    except Exception:  # noqa: BLE001  no psycopg, no place left on the server, no database any more: nothing is told
        return None
    ours.claim(connection)
    return Visit(connection, login["dbname"])


class Visit:
    """One session in a database of others. It fulfils contract.Visit."""

    def __init__(
        self, connection: psycopg.Connection[Any], database: str
    ) -> None:  # Any: rows are as a statement selects
        self._connection = connection
        self._database = database

    def rows(self, statement: LiteralString, *values: object) -> list[Any]:  # Any: see __init__
        """All rows of a query."""
        return self._connection.execute(statement, values or None).fetchall()

    def sessions(self) -> Sequence[Session]:
        """See contract.Visit."""
        found = sessions.list_sessions(self, self._database, but=[self._connection.info.backend_pid])
        return sessions.with_locks(self, found)

    def end(self, backends: Collection[int]) -> None:
        """See contract.Visit. What the application's role may not end stays."""
        self.rows(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where pid = any(%s) and datname = current_database() and usename = current_user",
            list(backends),
        )

    def close(self) -> None:
        """See contract.Visit."""
        self._connection.close()
