"""Create, rename, seal and drop databases; only ever ones that mintdb has recorded as its own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, LiteralString

from mintdb.core.names import DatabaseName, Role, find_role
from mintdb.engines.postgresql import replication
from mintdb.engines.postgresql import roles as server_roles
from mintdb.engines.postgresql.connecting import connect
from mintdb.engines.postgresql.errors import DatabaseNotOurs, TemplateGone
from mintdb.engines.postgresql.maintenance import Maintenance
from mintdb.facts import dataclass

if TYPE_CHECKING:
    import psycopg
    from psycopg.sql import Composed

KEPT = "keeper"  # owns what is to outlive the run that made it: alive, to everybody, as long as a keeper is
STRATEGY_SINCE = 150000  # CREATE DATABASE … STRATEGY
# Nothing comes back where the name belongs to a database that is there: its record is not overwritten.
INTENT: LiteralString = """
insert into databases (name, owner) values (%s, %s)
on conflict (name) do update set owner = excluded.owner, oid = null, made_at = now(), notes = '{}'
where not exists (select from pg_database d where d.datname = databases.name and d.oid = databases.oid)
returning name
"""
TOLD: LiteralString = """
select setrole = 0, unnest(setconfig) from pg_db_role_setting
 where setdatabase = (select oid from pg_database where datname = %s)
   and setrole in (0, (select oid from pg_roles where rolname = current_user))
"""
HALF_DROPPED = -2  # DATCONNLIMIT_INVALID_DB: such a database can only be dropped
DROPPABLE: LiteralString = "select datname from pg_database where pg_has_role(datdba, 'member')"
DROP_TRIES = 5  # a client that reconnects at once can slip in between FORCE's kill and the drop


@dataclass(frozen=True)
class Made:
    """A database that mintdb made."""

    name: str
    owner: str
    role: Role


def create(maintenance: Maintenance, name: str, *, template: str, strategy: str | None = None, owner: str = "") -> None:
    """Create a database. It is recorded first: should we die, whoever finds the record may drop it.

    Raises DatabaseNotOurs if a database of that name exists, and TemplateGone.
    """
    import psycopg

    if not maintenance.rows(INTENT, name, owner):
        raise DatabaseNotOurs(name=name, url=maintenance.url)
    clause = f" strategy {strategy}" if strategy and maintenance.version_number >= STRATEGY_SINCE else ""
    try:
        _execute(maintenance, "create database {} template {}" + clause, name, template)
    except psycopg.errors.DuplicateDatabase:
        _withdraw(maintenance, name)
        raise DatabaseNotOurs(name=name, url=maintenance.url) from None
    except psycopg.errors.InvalidCatalogName:
        _withdraw(maintenance, name)
        raise TemplateGone(template=template, url=maintenance.url) from None
    except psycopg.Error:
        # Only what the server says is a refusal: when a signal interrupts us, it may have created the database already.
        _withdraw(maintenance, name)
        raise
    maintenance.run(
        "update databases set oid = d.oid from pg_database d where d.datname = databases.name and name = %s", name
    )


def rename(maintenance: Maintenance, old: str, new: str, *, owner: str = "") -> None:
    """Give a database another name and owner. It must have no sessions: PostgreSQL would wait 5 s, then refuse."""
    import psycopg

    maintenance.run("insert into databases (name, owner) values (%s, %s) on conflict (name) do nothing", new, owner)
    try:
        _execute(maintenance, "alter database {} rename to {}", old, new)
    except psycopg.Error:  # see create
        _withdraw(maintenance, new)
        raise
    # Its oid is another one than recorded where a test has dropped the database and made it anew.
    maintenance.run(
        "with old as (delete from databases where name = %s) update databases made set oid = d.oid, owner = %s"
        " from pg_database d where d.datname = made.name and made.name = %s",
        old,
        owner,
        new,
    )


def let_connect(maintenance: Maintenance, name: str, *, allowed: bool) -> None:
    """Whether anybody, superusers too, may connect to a database from now on."""
    _execute(maintenance, f"alter database {{}} allow_connections {'true' if allowed else 'false'}", name)


def seal(maintenance: Maintenance, name: str) -> None:
    """Let nobody connect to it any more, and let any role with CREATEDB clone it."""
    _execute(maintenance, "alter database {} allow_connections false is_template true", name)


def drop(maintenance: Maintenance, name: str) -> None:
    """Drop a database, whoever is connected to it; nothing happens if there is none."""
    import psycopg

    for attempt in range(1, DROP_TRIES + 1):
        try:
            _unseal(maintenance, name)
            _execute(maintenance, "drop database if exists {} with (force)", name)
            break
        except psycopg.errors.InvalidCatalogName:
            break
        except psycopg.errors.ObjectInUse:
            if attempt == DROP_TRIES:
                raise
            roll_back_prepared(maintenance, name)
            replication.remove(maintenance, name)
    forget(maintenance, name)


def drop_template(maintenance: Maintenance, name: str) -> None:
    """Drop a template and its warm clones; clones that runs hold are databases of their own, and stay.

    The template goes first: whoever is just copying it is waited for, and nobody can begin to afterwards.
    """
    drop(maintenance, name)
    parsed = find_role(name)
    for made in list_made(maintenance):
        other = find_role(made.name)
        if parsed and other and other.role is Role.WARM and _is_of(other, parsed):
            drop(maintenance, made.name)


def _is_of(one: DatabaseName, other: DatabaseName) -> bool:
    return (one.project, one.fingerprint) == (other.project, other.fingerprint)


def _unseal(maintenance: Maintenance, name: str) -> None:
    """A template cannot be dropped until it is none. What is none is left alone.

    To alter what another process has begun to drop, or a drop that was cut off, is FATAL: our session would end.
    """
    if maintenance.rows(
        "select 1 from pg_database where datname = %s and datistemplate and datconnlimit <> %s", name, HALF_DROPPED
    ):
        _execute(maintenance, "alter database {} is_template false", name)


def is_ours(maintenance: Maintenance, name: str) -> bool:
    """Whether mintdb made the database that now has this name."""
    return bool(
        maintenance.rows(
            "select 1 from databases m join pg_database d on d.datname = m.name and d.oid = m.oid where m.name = %s",
            name,
        )
    )


def list_strange(maintenance: Maintenance, names: Sequence[str]) -> list[str]:
    """Those of `names` that are there, and not of mintdb's making."""
    found = maintenance.rows(
        "select datname from pg_database where datname = any(%s) and datname not in (select name from databases)",
        list(names),
    )
    return [name for (name,) in found]


def exists(maintenance: Maintenance, name: str) -> bool:
    """Whether there is a database of this name, whoever made it."""
    return bool(maintenance.rows("select 1 from pg_database where datname = %s", name))


def read_oid(maintenance: Maintenance, name: str) -> int | None:
    """What tells a database from a later one of the same name; None if there is none."""
    found = maintenance.rows("select oid from pg_database where datname = %s", name)
    return int(found[0][0]) if found else None


def find_called_now(maintenance: Maintenance, name: str) -> str | None:
    """What the database that was recorded under a name is called by now; None if somebody has dropped it."""
    recorded: LiteralString = "select d.datname from databases made join pg_database d using (oid) where made.name = %s"
    found = maintenance.rows(recorded, name)
    return str(found[0][0]) if found else name if read_oid(maintenance, name) else None


def take_back_name(maintenance: Maintenance, name: str, *, called: str) -> None:
    """Undo that somebody has renamed a database of ours. Who is connected to it is ended."""
    maintenance.run("select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = %s", called)
    _execute(maintenance, "alter database {} rename to {}", called, name)


def is_sealed(maintenance: Maintenance, name: str) -> bool:
    """Whether there is a finished template of this name."""
    return bool(
        maintenance.rows("select 1 from pg_database where datname = %s and datistemplate and not datallowconn", name)
    )


def list_made(maintenance: Maintenance) -> list[Made]:
    """What mintdb has made and is still there.

    A record without oid is of a maker that died while it created: that counts only where the name has our own random
    part, since a fixed name may by now be somebody else's database.
    """
    found = maintenance.rows(
        "select m.name, m.owner, m.oid is not null from databases m join pg_database d on d.datname = m.name"
        " where m.oid is null or m.oid = d.oid order by m.name"
    )
    return [
        Made(name, owner, parsed.role if parsed else Role.CLONE)
        for name, owner, created in found
        if (parsed := find_role(name)) or created
    ]


def reap(maintenance: Maintenance, *, only: Iterable[Role] = (Role.CLONE, Role.BUILDING, Role.TRASH)) -> list[str]:
    """Drop what nobody alive owns; returns the databases' names. What another login owns, or drops, stays."""
    import psycopg

    roles, alive, dropped = set(only), {}, []
    droppable = {name for (name,) in maintenance.rows(DROPPABLE)}
    for made in list_made(maintenance):
        if made.name not in droppable:
            continue
        if made.owner not in alive:
            alive[made.owner] = bool(made.owner) and maintenance.is_alive(made.owner)
        if made.role not in roles or alive[made.owner]:
            continue
        try:
            drop(maintenance, made.name)
            dropped.append(made.name)
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectInUse):
            continue
    server_roles.reap(maintenance)
    return dropped


def note(maintenance: Maintenance, name: str, **notes: object) -> None:
    """Remember facts about a database of ours, and that it was used now."""
    maintenance.run(
        "update databases set notes = notes || %s::jsonb, used_at = now() where name = %s", json.dumps(notes), name
    )


def read_notes(maintenance: Maintenance, name: str) -> dict[str, object]:
    """What `note` remembered."""
    found = maintenance.rows("select notes from databases where name = %s", name)
    return dict(found[0][0]) if found else {}


def find_settings(maintenance: Maintenance, name: str, *, of_login: Mapping[str, str]) -> Mapping[str, str]:
    """What sessions of this login on a database begin with, where anybody has told the database or the login so."""
    found = maintenance.rows(TOLD, name)
    of_database = dict(setting.split("=", 1) for is_general, setting in found if is_general)
    of_both = dict(setting.split("=", 1) for is_general, setting in found if not is_general)
    return {**of_database, **of_login, **of_both}


def read_told(maintenance: Maintenance, template: str) -> Mapping[str, str]:
    """The settings that belong to a template's content: PostgreSQL does not copy them with a database."""
    told: Any = read_notes(maintenance, template).get("told")  # Any: JSON
    return dict(told or {})


def tell(maintenance: Maintenance, name: str, settings: Mapping[str, str]) -> None:
    """Let sessions on a database begin with these settings."""
    from psycopg import sql

    with maintenance.connection.transaction() if settings else nullcontext():
        for setting, value in settings.items():
            maintenance.run("select set_config(%s, %s, true)", setting, value)  # it knows which values are lists
            statement = sql.SQL("alter database {} set {} from current")
            maintenance.connection.execute(
                statement.format(sql.Identifier(name), sql.Identifier(*setting.split("."))), prepare=False
            )


def analyze(session: psycopg.Connection) -> None:
    """Statistics of the schema's tables. Those of the system's are initdb's, and cost more than a small schema does."""
    from psycopg import sql

    # A partitioned table brings its partitions along.
    tables = session.execute(
        "select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where c.relkind in ('r', 'm', 'p') and not c.relispartition and c.relpersistence <> 't'"
        " and n.nspname not in ('pg_catalog', 'information_schema')"
    ).fetchall()
    if tables:
        session.execute(sql.SQL("analyze {}").format(sql.SQL(", ").join(sql.Identifier(*table) for table in tables)))


def roll_back_prepared(maintenance: Maintenance, name: str) -> list[str]:
    """Prepared transactions outlive every session and block a drop; they can only be ended from within.

    Returns their names.
    """
    prepared = maintenance.rows("select gid from pg_prepared_xacts where database = %s", name)
    if not prepared:
        return []
    from psycopg import sql

    with connect(maintenance.address.with_database(name)) as session:
        for (gid,) in prepared:
            session.execute(sql.SQL("rollback prepared {}").format(sql.Literal(gid)))
    return [gid for (gid,) in prepared]


def _withdraw(maintenance: Maintenance, name: str) -> None:
    """Take back the intent to create `name`; the record of a database that is there stays."""
    maintenance.run("delete from databases where name = %s and oid is null", name)


def forget(maintenance: Maintenance, name: str) -> None:
    """Take a database out of the record: it is not mintdb's any more, or it is gone."""
    maintenance.run("delete from databases where name = %s", name)


def _execute(maintenance: Maintenance, statement: str, *names: str) -> None:
    maintenance.connection.execute(_quote(statement, *names), prepare=False)


def _quote(statement: str, *names: str) -> Composed:
    from psycopg import sql

    return sql.SQL(statement).format(*map(sql.Identifier, names))
