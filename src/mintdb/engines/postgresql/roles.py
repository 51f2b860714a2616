"""Roles belong to a whole server: on somebody else's, what is missing is made, and goes when nothing needs it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import LiteralString

from mintdb.address import Address
from mintdb.engines.postgresql.errors import RoleMissing, RoleNotGranted, RoleOfOthers
from mintdb.engines.postgresql.maintenance import Maintenance, lock_key

LOCK = "roles"
LOCK_TIMEOUT = 60.0  # seconds; making ten roles takes some milliseconds
# With its oid: one that somebody has dropped and made anew, or restored on another server, is not ours.
MARK = "mintdb made this role (%s) for tests, and drops it with the last database of its own that needs it"
UNNEEDED: LiteralString = """
select r.rolname from pg_roles r
where shobj_description(r.oid, 'pg_authid') = format(%s, r.oid)
and not exists (select from pg_shdepend s where s.refclassid = 'pg_authid'::regclass and s.refobjid = r.oid)
"""
NEEDED: LiteralString = """
select distinct r.rolname from pg_database d join pg_shdepend s on s.dbid = d.oid join pg_roles r on r.oid = s.refobjid
where d.datname = %s and s.refclassid = 'pg_authid'::regclass
and shobj_description(r.oid, 'pg_authid') = format(%s, r.oid) order by 1
"""


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


def borrow(maintenance: Maintenance, roles: Sequence[str], *, role: str | None) -> None:
    """Make what a server of somebody else's lacks, for as long as this process or a database of ours needs it.

    Raises RoleMissing where the login may make none, and RoleNotGranted for `role`.
    """
    if not roles:
        return
    with maintenance.lock(LOCK, timeout=LOCK_TIMEOUT):
        for name in roles:
            maintenance.run("select pg_advisory_lock_shared(%s)", lock_key(_hold(name)))
        for name in _missing(maintenance, roles):
            _make_for_now(maintenance, name)
    if role and not maintenance.row("select pg_has_role(%s, 'member')", role)[0]:
        raise RoleNotGranted(role=role, login=maintenance.role, url=maintenance.url)


def check(maintenance: Maintenance, database: str, roles: Sequence[str]) -> None:
    """Raise RoleOfOthers if a database of ours needs a role that is only there because another project said so."""
    for (role,) in maintenance.rows(NEEDED, database, MARK):
        if role not in roles:
            raise RoleOfOthers(role=role, url=maintenance.url)


def reap(maintenance: Maintenance) -> None:
    """Drop the roles that mintdb made, that no process holds and that nothing on the server mentions."""
    if not maintenance.rows(UNNEEDED, MARK):
        return
    with maintenance.lock(LOCK, timeout=LOCK_TIMEOUT):
        for (role,) in maintenance.rows(UNNEEDED, MARK):
            if not maintenance.is_held(_hold(role)):
                _drop(maintenance, role)


def _make_for_now(maintenance: Maintenance, role: str) -> None:
    """A role without a login, marked as ours in its own comment, and granted to who builds templates."""
    import psycopg
    from psycopg import sql

    name = sql.Identifier(role)
    try:
        with maintenance.connection.transaction():
            maintenance.connection.execute(sql.SQL("create role {}").format(name))
            (mark,) = maintenance.row("select format(%s, oid) from pg_roles where rolname = %s", MARK, role)
            maintenance.connection.execute(sql.SQL("comment on role {} is {}").format(name, sql.Literal(mark)))
            if not maintenance.superuser:
                maintenance.connection.execute(sql.SQL("grant {} to current_user").format(name))
    except psycopg.errors.InsufficientPrivilege:
        raise RoleMissing(role=role, login=maintenance.role, url=maintenance.url) from None


def _drop(maintenance: Maintenance, role: str) -> None:
    import psycopg
    from psycopg import sql

    # Another login made it, or somebody has just begun to use it: then it stays.
    with suppress(psycopg.errors.InsufficientPrivilege, psycopg.errors.DependentObjectsStillExist):
        maintenance.connection.execute(sql.SQL("drop role {}").format(sql.Identifier(role)), prepare=False)


def entered(address: Address, *, role: str | None, search_path: str | None) -> Address:
    """The address with what makes a session begin in a role and with a search_path."""
    return begun(address, {"role": role, "search_path": search_path})


def begun(address: Address, wanted: Mapping[str, str | None]) -> Address:
    """The address with settings that a session begins with; what is None or empty is left as it is."""
    words = [address.options.get("options", "")]
    words += [f"-c{name}={_escaped(value)}" for name, value in wanted.items() if value]
    said = " ".join(filter(None, words))
    return replace(address, options=MappingProxyType({**address.options, "options": said})) if said else address


def _hold(role: str) -> str:
    """The lock that whoever needs a role shares; it is free when they are gone."""
    return f"role {role}"


def _missing(maintenance: Maintenance, roles: Sequence[str]) -> list[str]:
    there = {name for (name,) in maintenance.rows("select rolname from pg_roles")}
    return [role for role in roles if role not in there]


def _escaped(value: str) -> str:
    """A value for libpq's `options`, where a space ends an argument."""
    return re.sub(r"([\\\s])", r"\\\1", value)
