"""See what mintdb has on a server and who is connected to it, for a person who asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

from mintdb.contract import Session
from mintdb.core.names import find_role
from mintdb.engines.postgresql import sessions
from mintdb.engines.postgresql.maintenance import Maintenance

# Of each database that mintdb has made and somebody else than mintdb is connected to.
IN_USE: LiteralString = """
select distinct a.datname from pg_stat_activity a join databases m on m.name = a.datname
where a.backend_type = 'client backend' and a.application_name not like 'mintdb%' order by 1
"""
TEMPLATES: LiteralString = """
select m.name, pg_database_size(d.oid), m.used_at from databases m join pg_database d on d.oid = m.oid
where d.datistemplate and not d.datallowconn order by m.used_at desc
"""


@dataclass(frozen=True)
class TemplateFacts:
    """One sealed template."""

    name: str
    project: str
    size: int  # bytes
    used_at: datetime


def sessions_by_database(maintenance: Maintenance) -> dict[str, Sequence[Session]]:
    """Who is connected to what mintdb made on this server, mintdb itself left out."""
    found: dict[str, Sequence[Session]] = {}
    for (name,) in maintenance.rows(IN_USE):
        present = [s for s in sessions.list_sessions(maintenance, name) if not _is_own(s)]
        found[name] = sessions.with_locks(maintenance, present)
    return found


def templates(maintenance: Maintenance) -> list[TemplateFacts]:
    """The sealed templates of this server, the last used first."""
    found = [(find_role(name), name, size, used_at) for name, size, used_at in maintenance.rows(TEMPLATES)]
    return [TemplateFacts(name, role.project if role else "", size, used_at) for role, name, size, used_at in found]


def _is_own(session: Session) -> bool:
    return (session.application or "").startswith("mintdb")
