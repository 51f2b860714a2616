"""Who is connected to a database, and how to end a session without waiting in PostgreSQL's 100 ms steps."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, LiteralString, Protocol

from mintdb import clock
from mintdb.contract import BY_MINTDB, Session
from mintdb.engines.postgresql.maintenance import Maintenance
from mintdb.facts import dataclass

GLANCE: LiteralString = """
with own as materialized (select oid from pg_database where datname = %s),
found as (
  select array_agg(pid) as pids, array_agg(extract(epoch from greatest(state_change, backend_start))::float) as changes,
         coalesce(bool_or(state is distinct from 'idle'), false) as busy,
         exists (select from pg_prepared_xact() p, own where p.dbid = own.oid) as prepared,
         exists (select from pg_get_replication_slots() s, own where s.datoid = own.oid)
           or exists (select from pg_subscription s, own where s.subdbid = own.oid) as replicates,
         (select pg_stat_get_db_sessions(oid) from own) as arrivals
    from pg_stat_get_activity(null), own
   where datid = own.oid and backend_type = 'client backend' and pid <> all (%s)
)
select found.*, not (busy or prepared or replicates) as quiet from found
"""
# The view is read once: each reading of it stops all lock traffic for a moment.
LOCKS: LiteralString = """
with locks as materialized (select * from pg_locks where pid = any (%s))
select pid,
       max(mode || case locktype when 'transactionid' then ' on a row that another transaction has changed'
                                 when 'advisory' then ' on an advisory lock'
                                 else ' on a ' || locktype end) filter (where not granted),
       case when bool_or(not granted) then pg_blocking_pids(pid) else '{}' end,
       array_agg(distinct 'advisory lock ' || case objsubid when 1 then ((classid::bigint << 32) | objid::bigint)::text
           else classid || ', ' || objid end) filter (where granted and locktype = 'advisory')
from locks group by pid
"""
COUNTS_AT_ONCE = 150000  # the first version whose statistics are in shared memory, and no half second behind
POLL = 0.002  # seconds; a terminated backend is gone in 0.6 ms
STUCK_AFTER = 0.1  # seconds; a program that is between two statements of a transaction goes on within some milliseconds
PASSING = 0.2  # seconds; a statement of somebody who comes by, as a poller does, is over in some milliseconds
END_TIMEOUT = 5.0  # seconds; a backend in an uninterruptible wait of the file system is all that takes longer


class Asked(Protocol):
    """Whatever session is asked."""

    def rows(self, statement: LiteralString, *values: object) -> list[Any]:  # Any: rows are as the statement selects
        """All rows of a query."""


@dataclass(frozen=True)
class Glance:
    """What one quick look at a database tells."""

    backends: dict[int, float]  # pid -> when its state last changed, in seconds by the server's clock
    busy: bool  # somebody runs something or holds a transaction
    prepared: bool  # a prepared transaction waits for its second phase
    replicates: bool  # it has a logical slot or a subscription
    arrivals: int | None  # sessions so far; one that has come and gone is counted before it is seen to be gone


def glance(maintenance: Maintenance, database: str, *, but: Collection[int] = ()) -> Glance:
    """Who is connected, without the details: half the cost of `list_sessions`, and enough nearly always."""
    return read_glance(maintenance, maintenance.row(GLANCE, database, list(but)))


def read_glance(maintenance: Maintenance, row: Sequence[Any]) -> Glance:  # Any: see Asked
    """What GLANCE has answered, whichever session was asked."""
    pids, changes, busy, prepared, replicates, arrivals, _ = row
    since = dict(zip(pids or (), changes or (), strict=True))
    known = arrivals if maintenance.version_number >= COUNTS_AT_ONCE else None
    return Glance(since, busy, prepared, replicates, known)


def list_sessions(asked: Asked, database: str, *, but: Collection[int] = ()) -> list[Session]:
    """Client sessions on `database`, oldest first, without the backends in `but`."""
    found = asked.rows(
        "select pid, state, query, application_name, extract(epoch from clock_timestamp() - state_change)::float,"
        " extract(epoch from clock_timestamp() - xact_start)::float, client_port,"
        " backend_xid is not null from pg_stat_activity"
        " where datname = %s and backend_type = 'client backend' and pid <> all(%s) order by backend_start",
        database,
        list(but),
    )
    return [
        Session(
            backend_pid=pid,
            state=state,
            query=query if query and not query.startswith(BY_MINTDB) else None,
            application=application or None,
            seconds_in_state=in_state,
            seconds_in_transaction=in_transaction,
            client_port=port if port and port > 0 else None,
            has_written=wrote,
        )
        for pid, state, query, application, in_state, in_transaction, port, wrote in found
    ]


def with_locks(asked: Asked, found: Sequence[Session]) -> list[Session]:
    """The same sessions, with what each waits for and for whom, and the advisory locks that it holds."""
    if not found:
        return []
    rows = asked.rows(LOCKS, [session.backend_pid for session in found])
    locks = {pid: (waits_for, tuple(blocked_by), tuple(held or ())) for pid, waits_for, blocked_by, held in rows}
    known = [(session, locks.get(session.backend_pid)) for session in found]
    return [
        session if lock is None else replace(session, waits_for=lock[0], blocked_by=lock[1], holds=lock[2])
        for session, lock in known
    ]


def wait_until_quiet(
    maintenance: Maintenance, database: str, *, settle: float, older: Collection[int] = (), but: Collection[int] = ()
) -> list[Session]:
    """Wait up to `settle` seconds for sessions in the middle of something.

    Returns those that are in the way: still busy, other than a session in `older` (one that was there before the test)
    that only reads. One that sits in a transaction and has not moved for STUCK_AFTER is not waited for.
    """
    deadline = clock.monotonic() + settle
    while True:
        present = list_sessions(maintenance, database, but=but)
        in_the_way = [s for s in present if s.is_busy and not (s.backend_pid in older and s.only_reads)]
        if all(_is_stuck(s) for s in in_the_way) or clock.monotonic() >= deadline:
            return in_the_way
        clock.sleep(POLL)


def wait_for_passers_by(
    maintenance: Maintenance, database: str, *, older: Collection[int] = (), but: Collection[int] = ()
) -> list[Session]:
    """Who is in the way after others were waited for already. Whoever has only just begun something may finish it."""
    deadline = clock.monotonic() + PASSING
    while True:
        in_the_way = wait_until_quiet(maintenance, database, settle=0, older=older, but=but)
        if not any(map(_is_passing, in_the_way)) or clock.monotonic() >= deadline:
            return in_the_way
        clock.sleep(POLL)


def _is_passing(session: Session) -> bool:
    return session.state == "active" and (session.seconds_in_state or 0.0) < PASSING


def _is_stuck(session: Session) -> bool:
    in_transaction = (session.state or "").startswith("idle in transaction")
    return in_transaction and (session.seconds_in_state or 0) >= STUCK_AFTER


def wait_until_gone(
    maintenance: Maintenance, database: str, *, seconds: float, but: Collection[int] = ()
) -> list[Session]:
    """Wait for sessions that are being closed to be gone; returns those that are still there after `seconds`."""
    deadline = clock.monotonic() + seconds
    while (left := list_sessions(maintenance, database, but=but)) and clock.monotonic() < deadline:
        clock.sleep(POLL)
    return left


def end(maintenance: Maintenance, database: str, backends: Collection[int]) -> None:
    """End sessions of `database` and wait until they are gone; one that is not ours to end stays."""
    if not backends:
        return
    maintenance.run(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s and pid = any(%s)",
        database,
        list(backends),
    )
    deadline = clock.monotonic() + END_TIMEOUT
    while set(glance(maintenance, database).backends) & set(backends) and clock.monotonic() < deadline:
        clock.sleep(POLL)
