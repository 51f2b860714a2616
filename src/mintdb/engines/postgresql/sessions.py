"""Who is connected to a database, and how to end a session without waiting in PostgreSQL's 100 ms steps."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

from mintdb.contract import Session
from mintdb.engines.postgresql.maintenance import Maintenance

POLL = 0.002  # seconds; a terminated backend is gone in 0.6 ms
END_TIMEOUT = 5.0  # seconds; a backend in an uninterruptible wait of the file system is all that takes longer


def list_sessions(maintenance: Maintenance, database: str, *, but: Collection[int] = ()) -> list[Session]:
    """Client sessions on `database`, oldest first, without the backends in `but`."""
    found = maintenance.rows(
        "select pid, state, query, application_name, extract(epoch from clock_timestamp() - state_change)::float,"
        " extract(epoch from clock_timestamp() - xact_start)::float, client_port from pg_stat_activity"
        " where datname = %s and backend_type = 'client backend' and pid <> all(%s) order by backend_start",
        database,
        list(but),
    )
    return [
        Session(
            backend_pid=pid,
            state=state,
            query=query or None,
            application=application or None,
            seconds_in_state=in_state,
            seconds_in_transaction=in_transaction,
            client_port=port if port and port > 0 else None,
        )
        for pid, state, query, application, in_state, in_transaction, port in found
    ]


def wait_until_quiet(
    maintenance: Maintenance, database: str, *, settle: float, but: Collection[int] = ()
) -> list[Session]:
    """Wait up to `settle` seconds for sessions in the middle of something; returns those that still are."""
    deadline = time.monotonic() + settle
    while True:
        busy = [s for s in list_sessions(maintenance, database, but=but) if s.in_the_way]
        if not busy or time.monotonic() >= deadline:
            return busy
        time.sleep(POLL)


def end(maintenance: Maintenance, database: str, sessions: Sequence[Session]) -> list[Session]:
    """End sessions and wait until they are gone; returns those that would not go, or are not ours to end."""
    pids = [s.backend_pid for s in sessions]
    if not pids:
        return []
    maintenance.run(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s and pid = any(%s)", database, pids
    )
    deadline = time.monotonic() + END_TIMEOUT
    while True:
        left = [s for s in list_sessions(maintenance, database) if s.backend_pid in pids]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(POLL)
