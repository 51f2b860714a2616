"""Keep a clone from growing with dead rows, and notice when an old snapshot prevents that."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import field

from psycopg.sql import SQL, Identifier

from mintdb.engines.postgresql.rewind.relations import Relation
from mintdb.engines.postgresql.rewind.session import Powers, Session
from mintdb.facts import dataclass

VACUUM_EVERY = 200  # rewinds of a table; without it a rewind takes 2.5 times as long after 20,000
PATIENCE = 50  # rewinds to wait after a VACUUM that freed nothing
PAGE = 8192


@dataclass
class Housekeeper:
    """Vacuums what was rewound often, or what was emptied and is longer than a page."""

    session: Session
    powers: Powers
    times: dict[int, int] = field(default_factory=dict)
    patience: dict[int, int] = field(default_factory=dict)

    def count(self, tables: Iterable[Relation]) -> list[Relation]:
        """Count one rewind of each; returns those that are due to be vacuumed."""
        due = []
        for relation in tables:
            self.times[relation.oid] = self.times.get(relation.oid, 0) + 1
            if self.times[relation.oid] >= VACUUM_EVERY:
                due.append(relation)
                self.times[relation.oid] = 0
        return due

    def shorten(self, emptied: Iterable[Relation]) -> int | None:
        """Vacuum emptied tables, so that new rows start on their first page; returns who prevents it, if any."""
        tables = [relation for relation in emptied if not self._waits(relation)]
        if not tables:
            return None
        self.vacuum([relation.identifier for relation in tables])
        return self._holder(tables)

    def grown(self, emptied: Sequence[Relation]) -> list[Relation]:
        """Those of the emptied tables that are longer than a page."""
        long = self._long(emptied) if emptied else set()
        return [relation for relation in emptied if relation.oid in long]

    def _waits(self, relation: Relation) -> bool:
        left = self.patience.get(relation.oid, 0)
        self.patience[relation.oid] = max(left - 1, 0)
        return left > 0

    def _holder(self, tables: Sequence[Relation]) -> int | None:
        long = self._long(tables)
        self.patience |= dict.fromkeys(long, PATIENCE)
        return horizon_holder(self.session) if long else None

    def _long(self, tables: Sequence[Relation]) -> set[int]:
        oids = [relation.oid for relation in tables]
        rows = self.session.execute(
            "select oid from unnest(%s::oid[]) oid where pg_relation_size(oid) > %s", (oids, PAGE)
        )
        return {row[0] for row in rows}

    def free_places(self, tables: Iterable[Relation]) -> None:
        """Free the places of dead rows, so that rows inserted next, in order, take the foremost ones.

        A session inserts first of all into the page where it last did. FREEZE moves pg_class.relfrozenxid on each time,
        and a change of pg_class makes the session forget that page; then it asks the map of free space, which VACUUM
        has set to the beginning.
        """
        self.vacuum([relation.identifier for relation in tables], SQL("freeze, process_toast false"))

    def vacuum(self, tables: Sequence[Identifier], *options: SQL) -> None:
        """Free the dead rows of `tables`."""
        if self.powers.version >= 160000:  # its last step reads pg_class whole, for a number that nobody needs here
            options = (*options, SQL("skip_database_stats"))
        given = SQL("({}) ").format(SQL(", ").join(options)) if options else SQL("")
        self.session.execute(SQL("vacuum {}{}").format(given, SQL(", ").join(tables)))


def horizon_holder(session: Session) -> int | None:
    """The backend with the oldest snapshot on this database: what died since then cannot be freed."""
    row = session.execute(
        "select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
        " and backend_xmin is not null order by age(backend_xmin) desc limit 1"
    ).fetchone()
    return row[0] if row else None
