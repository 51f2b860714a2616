"""See what mintdb has on a server and who is connected to it, for a person who asks. It fulfils contract.Observing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from mintdb.address import Address
from mintdb.contract import Session, TemplateFacts
from mintdb.core.names import find_role, new_token
from mintdb.engines.mysql import databases, inventory, sessions
from mintdb.engines.mysql.databases import MADE
from mintdb.engines.mysql.maintenance import Maintenance, has_registry
from mintdb.engines.mysql.session import own_sessions

TEMPLATES = f"""
select m.name, coalesce(sum(t.data_length + t.index_length), 0), unix_timestamp(m.used_at) from {MADE} m
left join information_schema.tables t on t.table_schema = m.name
where m.sealed = 1 group by m.name, m.used_at order by m.used_at desc
"""


def find_running() -> Sequence[Address]:
    """See contract.Observing."""
    return [inventory.address_of(running) for running in inventory.find_running()]


def observe(address: Address) -> MysqlObserver | None:
    """See contract.Observing."""
    if not has_registry(address):
        return None
    return MysqlObserver(Maintenance(address, owner=f"look-{new_token()}"))


class MysqlObserver:
    """A session of somebody who looks. It fulfils contract.Observer."""

    def __init__(self, maintenance: Maintenance) -> None:
        self._maintenance = maintenance
        self._who = sessions.find_who(maintenance)
        self.port = maintenance.address.port

    def sessions(self) -> Mapping[str, Sequence[Session]]:
        """See contract.Observer."""
        own = own_sessions(self._maintenance.session)
        found = {made.name: self._who.find(made.name, but=own) for made in databases.list_made(self._maintenance)}
        return {name: present for name, present in found.items() if present}

    def end(self, database: str, backend: int) -> None:
        """See contract.Observer."""
        sessions.end(self._maintenance, [backend])

    def reap(self) -> Sequence[str]:
        """See contract.Observer."""
        return databases.reap(self._maintenance)

    def templates(self) -> Sequence[TemplateFacts]:
        """See contract.Observer."""
        found = [(find_role(name), name, size, at) for name, size, at in self._maintenance.rows(TEMPLATES)]
        return [
            TemplateFacts(name, role.project if role else "", int(size), datetime.fromtimestamp(int(at), UTC))
            for role, name, size, at in found
        ]

    def drop_template(self, name: str) -> None:
        """See contract.Observer."""
        databases.drop(self._maintenance, name)

    def close(self) -> None:
        """See contract.Observer."""
        self._maintenance.close()
