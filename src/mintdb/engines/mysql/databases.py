"""Create, copy and drop databases; only ever ones that mintdb has recorded as its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import pymysql
from pymysql.constants import ER

from mintdb.core.names import Role, find_role, new_token
from mintdb.engines.mysql.errors import DatabaseNotOurs, PrivilegeMissing
from mintdb.engines.mysql.maintenance import DATABASE, DENIED, Maintenance
from mintdb.engines.mysql.schema import MARKER, Kind, Schema, read_schema, replay
from mintdb.engines.mysql.sequences import read_sequences, restart
from mintdb.engines.mysql.session import Session, code_of, literal, name, names, reason_of
from mintdb.facts import dataclass

MADE = f"{name(DATABASE)}.`databases`"
# MySQL's databases have no comment: one whose name may be anybody's is marked by a procedure's.
MARKED = f"""(select routine_comment from information_schema.routines
              where routine_schema = m.name and routine_name = {literal(MARKER)} and routine_type = 'PROCEDURE')"""
KEPT = "kept"  # holds what a person wants to look at: alive, to everybody, as long as the server runs
GONE = (ER.DB_DROP_EXISTS, ER.BAD_DB_ERROR)


@dataclass(frozen=True)
class Made:
    """A database that mintdb made, and that is there."""

    name: str
    holder: str  # the maintenance session that keeps it from being reaped
    sealed: bool
    run: str
    role: Role


def create(maintenance: Maintenance, database: str, *, collation: str | None = None) -> None:
    """Create an empty database. It is recorded first: should we die, whoever finds the record may drop it.

    Raises DatabaseNotOurs if a database of that name exists, and PrivilegeMissing.
    """
    if exists(maintenance, database):
        raise DatabaseNotOurs(name=database, url=maintenance.url)
    try:
        _create(maintenance, database, collation)
    except pymysql.MySQLError as error:
        if code_of(error) not in DENIED:
            raise
        raise PrivilegeMissing(url=maintenance.url, account=maintenance.account, reason=reason_of(error)) from None


def _create(maintenance: Maintenance, database: str, collation: str | None) -> None:
    mark = new_token(16)
    maintenance.run(f"replace into {MADE} (name, holder, mark) values (%s, %s, %s)", database, maintenance.holder, mark)
    try:
        maintenance.run(f"create database {name(database)} {_clauses(maintenance, mark, collation)}")
    except pymysql.MySQLError as error:
        forget(maintenance, database)
        if code_of(error) == ER.DB_CREATE_EXISTS:
            raise DatabaseNotOurs(name=database, url=maintenance.url) from None
        raise
    if not maintenance.dialect.can_mark and find_role(database) is None:
        maintenance.run(f"create procedure {name(database, MARKER)}() comment {literal(mark)} begin end")


def fill(session: Session, database: str, schema: Schema, rows_from: Mapping[str, str]) -> None:
    """Make all objects of `schema` in an empty database, and fill tables from the databases that have their rows."""
    session.run(f"use {name(database)}")
    replay(session, database, [d for d in schema.objects.values() if d.kind is not Kind.TRIGGER])
    for table, source in rows_from.items():
        session.run_all(refill(schema, table, source, database))
    numbered = [d for d in schema.tables.values() if d.counter > 1]
    session.run_all(f"alter table {name(database, d.name)} auto_increment = {d.counter}" for d in numbered)
    replay(session, database, [d for d in schema.objects.values() if d.kind is Kind.TRIGGER])


def copy(maintenance: Maintenance, session: Session, source: str, database: str) -> tuple[Schema, Sequence[str]]:
    """Create `database` with all that `source` has now; returns its schema, and the tables that have rows."""
    create(maintenance, database)
    return pour(maintenance, session, source, database)


def pour(maintenance: Maintenance, session: Session, source: str, database: str) -> tuple[Schema, Sequence[str]]:
    """Fill an empty database with everything that `source` has, its default collation included; see `copy`."""
    schema = read_schema(session, source)
    maintenance.run(f"alter database {name(database)} collate {schema.collation}")
    filled = tables_with_rows(session, source, schema.tables)
    fill(session, database, schema, dict.fromkeys(filled, source))
    for each, standing in read_sequences(session, source, schema.sequences).items():
        session.run_all(restart(database, each, standing))
    return schema, filled


def copy_rows(session: Session, schema: Schema, source: str, side: str) -> Sequence[str]:
    """Copy the tables that have rows to the database `side`, without foreign keys and triggers; returns which."""
    return copy_tables(session, schema, tables_with_rows(session, source, schema.tables), source, side)


def copy_tables(session: Session, schema: Schema, tables: Sequence[str], source: str, side: str) -> Sequence[str]:
    """Copy these tables; returns their names."""
    for table in tables:
        alike = f"create table {name(side, table)} like {name(source, table)}"
        session.run_all([alike, *refill(schema, table, source, side)])
    return tables


def refill(schema: Schema, table: str, source: str, database: str) -> list[str]:
    """Statements that copy the rows of one table from `source`, generated columns left to the server."""
    columns = names(schema.columns.get(table, ()))
    if not columns:
        return []
    return [f"insert into {name(database, table)} ({columns}) select {columns} from {name(source, table)}"]


def tables_with_rows(session: Session, database: str, tables: Iterable[str]) -> list[str]:
    """Which of the tables are not empty."""
    tables = list(tables)
    found = session.run_all(f"select exists (select 1 from {name(database, table)})" for table in tables)
    return [table for table, ((there,),) in zip(tables, found, strict=True) if there]


def seal(maintenance: Maintenance, template: str, *, run: str) -> None:
    """Say that a template is finished, in one statement: MariaDB cannot rename a database."""
    maintenance.run(f"update {MADE} set sealed = 1, holder = '', run = %s where name = %s", run, template)


def find_template(maintenance: Maintenance, template: str) -> Made | None:
    """The sealed template of that name."""
    found = _list(maintenance, "m.name = %s and m.sealed = 1", template)
    return found[0] if found else None


def note_use(maintenance: Maintenance, database: str) -> None:
    """Remember that a template was used now."""
    maintenance.run(f"update {MADE} set used_at = now() where name = %s", database)


def hold(maintenance: Maintenance, database: str, holder: str) -> None:
    """Give a database of ours another holder."""
    maintenance.run(f"update {MADE} set holder = %s where name = %s", holder, database)


def drop(maintenance: Maintenance, database: str) -> None:
    """Drop a database, whoever uses it; nothing happens if there is none."""
    maintenance.run(f"drop database if exists {name(database)}")
    forget(maintenance, database)


def forget(maintenance: Maintenance, database: str) -> None:
    """Take a database out of the record: it is not mintdb's any more, or it is gone."""
    maintenance.run(f"delete from {MADE} where name = %s", database)


def exists(maintenance: Maintenance, database: str) -> bool:
    """Whether there is a database of this name, whoever made it."""
    return bool(maintenance.rows("select 1 from information_schema.schemata where schema_name = %s", database))


def is_ours(maintenance: Maintenance, database: str) -> bool:
    """Whether mintdb made the database that now has this name."""
    return bool(_list(maintenance, "m.name = %s", database))


def list_made(maintenance: Maintenance) -> list[Made]:
    """What mintdb has made and is still there, the templates that were used last first."""
    return _list(maintenance, "true")


def keeps_any(maintenance: Maintenance, *, seconds: float) -> bool:
    """Whether somebody wants to look at a database that was set aside in the last `seconds`."""
    return bool(
        maintenance.rows(
            f"select 1 from {MADE} where holder = %s and made_at > now() - interval %s second", KEPT, int(seconds)
        )
    )


def reap(maintenance: Maintenance, *, unblock: Callable[[], object] = lambda: None) -> list[str]:
    """Drop what nobody alive holds, sealed templates left out; returns the names. What we may not drop is left.

    So is what a prepared transaction locks: `unblock` is called, and the next time it can be dropped.
    """
    dropped: list[str] = []
    alive: dict[str, bool] = {KEPT: True}
    for made in list_made(maintenance):
        if made.sealed:
            continue
        if made.holder not in alive:
            alive[made.holder] = maintenance.is_alive(made.holder)
        if not alive[made.holder] and _try_to_drop(maintenance, made.name, unblock):
            dropped.append(made.name)
    return dropped


def _try_to_drop(maintenance: Maintenance, database: str, unblock: Callable[[], object]) -> bool:
    try:
        drop(maintenance, database)
    except pymysql.MySQLError as error:
        if code_of(error) not in (*DENIED, *GONE, ER.LOCK_WAIT_TIMEOUT):
            raise
        if code_of(error) == ER.LOCK_WAIT_TIMEOUT:
            unblock()
        return False
    return True


def _list(maintenance: Maintenance, condition: str, *values: object) -> list[Made]:
    """Records whose database is there, and is the one that was recorded.

    A maker that died while it created leaves a record, and perhaps a database that is not marked yet: that counts only
    where the name has our own random part, since a fixed name may by now be somebody else's database.
    """
    marked = "s.schema_comment" if maintenance.dialect.can_mark else MARKED
    found = maintenance.rows(
        f"select m.name, m.holder, m.sealed, m.run, m.mark = {marked} from {MADE} m"
        " join information_schema.schemata s on s.schema_name = m.name"
        f" where {condition} order by m.used_at desc, m.name",
        *values,
    )
    return [
        Made(each, holder, bool(sealed), run, parsed.role if parsed else Role.CLONE)
        for each, holder, sealed, run, is_marked in found
        if (parsed := find_role(each)) or is_marked
    ]


def _clauses(maintenance: Maintenance, mark: str, collation: str | None) -> str:
    collate = f"collate {collation}" if collation else "character set utf8mb4"
    return f"{collate} comment {literal(mark)}" if maintenance.dialect.can_mark else collate
