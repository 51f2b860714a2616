"""Take away what replication has left on a database: slots and subscriptions are no rows of it, and block its drop."""

from __future__ import annotations

from typing import LiteralString

from mintdb import clock
from mintdb.engines.postgresql.connecting import connect
from mintdb.engines.postgresql.maintenance import Maintenance
from mintdb.facts import dataclass

POLL, STOP_TIMEOUT = 0.002, 5.0  # seconds; a sender of WAL that was told to end is gone in some milliseconds

FOUND: LiteralString = """
select coalesce((select array_agg(slot_name::text) from pg_replication_slots where database = %s and not temporary),
                '{}'),
       coalesce((select array_agg(subname::text) from pg_subscription s join pg_database d on d.oid = s.subdbid
                  where d.datname = %s), '{}')
"""
# A subscription's slot lies on another server, or in a database that is put back for itself: let go of it first.
UNSUBSCRIBE: tuple[LiteralString, ...] = (
    "alter subscription {} disable",
    "alter subscription {} set (slot_name = none)",
    "drop subscription {}",
)
END_SENDER: LiteralString = (
    "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = %s and active"
)


@dataclass(frozen=True)
class Replication:
    """The logical slots and the subscriptions of one database."""

    slots: frozenset[str] = frozenset()
    subscriptions: frozenset[str] = frozenset()

    def __str__(self) -> str:
        slots = [f"replication slot {name!r}" for name in sorted(self.slots)]
        return ", ".join([*slots, *(f"subscription {name!r}" for name in sorted(self.subscriptions))])


NONE = Replication()


def find(maintenance: Maintenance, name: str) -> Replication:
    """What replication there is of the database `name`; temporary slots end with their session."""
    slots, subscriptions = maintenance.row(FOUND, name, name)
    return Replication(frozenset(slots), frozenset(subscriptions))


def remove(maintenance: Maintenance, name: str, *, but: Replication = NONE) -> None:
    """Drop the slots and subscriptions of the database `name`, all but those that are to stay."""
    found = find(maintenance, name)
    _unsubscribe(maintenance, name, found.subscriptions - but.subscriptions)
    for slot in found.slots - but.slots:
        _drop_slot(maintenance, slot)


def _unsubscribe(maintenance: Maintenance, name: str, subscriptions: frozenset[str]) -> None:
    from psycopg import sql

    if subscriptions:
        with connect(maintenance.address.with_database(name)) as session:
            for subscription in subscriptions:
                for statement in UNSUBSCRIBE:
                    session.execute(sql.SQL(statement).format(sql.Identifier(subscription)))


def _drop_slot(maintenance: Maintenance, slot: str) -> None:
    deadline = clock.monotonic() + STOP_TIMEOUT
    while maintenance.rows(END_SENDER, slot) and clock.monotonic() < deadline:
        clock.sleep(POLL)
    maintenance.run("select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = %s", slot)
