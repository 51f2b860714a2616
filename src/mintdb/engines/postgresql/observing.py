"""See what mintdb has on a server and who is connected to it, for a person who asks. It fulfils contract.Observing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import LiteralString

from mintdb.address import Address
from mintdb.contract import Session, TemplateFacts
from mintdb.core.names import find_role
from mintdb.engines.postgresql import databases, inventory, sessions
from mintdb.engines.postgresql.maintenance import Maintenance, has_registry

# Of each database that mintdb has made and somebody else than mintdb is connected to.
IN_USE: LiteralString = """
select distinct a.datname from pg_stat_activity a join databases m on m.name = a.datname
where a.backend_type = 'client backend' and a.application_name not like 'mintdb%' order by 1
"""
TEMPLATES: LiteralString = """
select m.name, pg_database_size(d.oid), m.used_at from databases m join pg_database d on d.oid = m.oid
where d.datistemplate and not d.datallowconn order by m.used_at desc
"""


def find_running() -> Sequence[Address]:
    """See contract.Observing."""
    return [inventory.address_of(running) for running in inventory.find_running()]


def observe(address: Address) -> PostgresqlObserver | None:
    """See contract.Observing."""
    return PostgresqlObserver(inventory.observe(address)) if has_registry(address) else None


class PostgresqlObserver:
    """A session of somebody who looks. It fulfils contract.Observer."""

    def __init__(self, maintenance: Maintenance) -> None:
        self._maintenance = maintenance
        self.port = maintenance.address.port

    def sessions(self) -> Mapping[str, Sequence[Session]]:
        """See contract.Observer."""
        return {name: self._sessions_of(name) for (name,) in self._maintenance.rows(IN_USE)}

    def end(self, database: str, backend: int) -> None:
        """See contract.Observer."""
        sessions.end(self._maintenance, database, [backend])

    def reap(self) -> Sequence[str]:
        """See contract.Observer."""
        return databases.reap(self._maintenance)

    def templates(self) -> Sequence[TemplateFacts]:
        """See contract.Observer."""
        found = [(find_role(name), name, size, used_at) for name, size, used_at in self._maintenance.rows(TEMPLATES)]
        return [TemplateFacts(name, role.project if role else "", size, used_at) for role, name, size, used_at in found]

    def drop_template(self, name: str) -> None:
        """See contract.Observer."""
        databases.drop_template(self._maintenance, name)

    def close(self) -> None:
        """See contract.Observer."""
        self._maintenance.close()

    def _sessions_of(self, database: str) -> Sequence[Session]:
        present = [s for s in sessions.list_sessions(self._maintenance, database) if not _is_own(s)]
        return sessions.with_locks(self._maintenance, present)


def _is_own(session: Session) -> bool:
    return (session.application or "").startswith("mintdb")
