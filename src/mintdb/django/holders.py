"""Who is connected to a database that is in the way, asked through Django's own connection."""

from __future__ import annotations

from typing import Any

from mintdb import clock
from mintdb.connections.foreign import traced
from mintdb.contract import Session

POLL = 0.02
HOLDERS = """
select pid, state, query, application_name, client_port from pg_catalog.pg_stat_activity
where datname = %s and backend_type = 'client backend' order by backend_start
"""


def find_holders(creation: Any, name: str, *, seconds: float) -> list[Session]:  # Any: Django's creation is untyped
    """Who is still connected to `name` after up to `seconds`."""
    deadline = clock.monotonic() + seconds
    with creation._nodb_cursor() as cursor:
        while (found := _sessions(cursor, name)) and clock.monotonic() < deadline:
            clock.sleep(POLL)
    return [traced(session) for session in found]


def _sessions(cursor: Any, name: str) -> list[Session]:  # Any: see find_holders
    cursor.execute(HOLDERS, [name])
    return [
        Session(pid, state, query or None, application or None, None, None, port if port and port > 0 else None)
        for pid, state, query, application, port in cursor.fetchall()
    ]
