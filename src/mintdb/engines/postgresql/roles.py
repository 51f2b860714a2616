"""Roles that belong to a whole server: made on a server of this project's own, only looked for on anybody else's."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from mintdb.address import Address
from mintdb.engines.postgresql.errors import RoleMissing, RoleNotGranted
from mintdb.engines.postgresql.maintenance import Maintenance

LOCK = "roles"
LOCK_TIMEOUT = 60.0  # seconds; making ten roles takes some milliseconds


def slot_for(root: Path, roles: Sequence[str]) -> str:
    """What keeps a project's roles out of another's server; empty where it has none."""
    if not roles:
        return ""
    return hashlib.sha256("\0".join([str(root), *sorted(roles)]).encode()).hexdigest()[:8]


def make(maintenance: Maintenance, roles: Sequence[str], *, password: str) -> None:
    """Make the roles that are not there, each with a login and no rights, on a server of ours."""
    from psycopg import sql

    if not roles:
        return
    with maintenance.lock(LOCK, timeout=LOCK_TIMEOUT):
        for role in _missing(maintenance, roles):
            statement = sql.SQL("create role {} login password {}").format(sql.Identifier(role), sql.Literal(password))
            maintenance.connection.execute(statement, prepare=False)


def check(maintenance: Maintenance, roles: Sequence[str], *, role: str | None) -> None:
    """Raise RoleMissing for a role that a server of somebody else's does not have, RoleNotGranted for `role`."""
    url = maintenance.address.redacted
    for missing in _missing(maintenance, roles):
        raise RoleMissing(role=missing, url=url)
    if role and not maintenance.row("select pg_has_role(%s, 'member')", role)[0]:
        raise RoleNotGranted(role=role, login=maintenance.row("select current_user")[0], url=url)


def entered(address: Address, *, role: str | None, search_path: str | None) -> Address:
    """The address with what makes a session begin in a role and with a search_path."""
    wanted = {"role": role, "search_path": search_path}
    words = [address.options.get("options", "")]
    words += [f"-c{name}={_escaped(value)}" for name, value in wanted.items() if value]
    said = " ".join(filter(None, words))
    return replace(address, options=MappingProxyType({**address.options, "options": said})) if said else address


def _missing(maintenance: Maintenance, roles: Sequence[str]) -> list[str]:
    there = {name for (name,) in maintenance.rows("select rolname from pg_roles")}
    return [role for role in roles if role not in there]


def _escaped(value: str) -> str:
    """A value for libpq's `options`, where a space ends an argument."""
    return re.sub(r"([\\\s])", r"\\\1", value)
