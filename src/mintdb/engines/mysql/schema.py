"""A database's definitions as the server tells them, and the statements that make them again elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from enum import StrEnum
from functools import cached_property

import pymysql

from mintdb.engines.mysql.errors import CannotCopy, LoggingForbids
from mintdb.engines.mysql.session import Session, code_of, literal, name, reason_of
from mintdb.facts import dataclass

HERE = "`<here>`."  # stands for the database's own name in a definition
COUNTER = re.compile(r"^(\).*?) AUTO_INCREMENT=(\d+)", re.MULTILINE)  # in the line of a table's options
LOGGING_FORBIDS = 1419  # ER_BINLOG_CREATE_ROUTINE_NEED_SUPER
TRANSACTIONAL = "InnoDB"
RECOUNTED = re.compile(r"^\).* (STATS_PERSISTENT=0|STATS_AUTO_RECALC=1)\b", re.MULTILINE)  # options of a table


class Kind(StrEnum):
    """A kind of object, by its name in SHOW CREATE and DROP. In the order in which they can be made."""

    SEQUENCE = "sequence"
    TABLE = "table"
    FUNCTION = "function"
    PROCEDURE = "procedure"
    PACKAGE = "package"
    PACKAGE_BODY = "package body"
    VIEW = "view"
    TRIGGER = "trigger"
    EVENT = "event"


OF_TABLE_TYPE = {
    "BASE TABLE": Kind.TABLE,
    "SYSTEM VERSIONED": Kind.TABLE,
    "SEQUENCE": Kind.SEQUENCE,
    "VIEW": Kind.VIEW,
}
SQL_COLUMN = {Kind.TRIGGER: 2, Kind.EVENT: 3, Kind.TABLE: 1, Kind.SEQUENCE: 1, Kind.VIEW: 1}  # of SHOW CREATE; else 2
MODE_COLUMN = {Kind.EVENT: 1, Kind.TABLE: None, Kind.SEQUENCE: None, Kind.VIEW: None}  # else 1

MARKER = "made_by_mintdb"  # a procedure, in databases of fixed names on MySQL; nobody else's business
OBJECTS = f"""
select table_type, table_name, '' from information_schema.tables where table_schema = {{here}}
union all select routine_type, routine_name, '' from information_schema.routines
where routine_schema = {{here}} and routine_name <> {literal(MARKER)}
union all select 'EVENT', event_name, '' from information_schema.events where event_schema = {{here}}
"""
# By `trigger_schema`, which is the same, MariaDB would open the tables of all databases.
TRIGGERS = """
select 'TRIGGER', trigger_name, concat(event_object_table, '/', action_timing, '/', event_manipulation)
from information_schema.triggers where event_object_schema = {here}
order by event_object_table, event_manipulation, action_timing, action_order
"""
COLLATION = "select default_collation_name from information_schema.schemata where schema_name = {here}"
COLUMNS = """
select table_name, column_name from information_schema.columns
where table_schema = {here} and coalesce(generation_expression, '') = '' and extra not like '% GENERATED%'
order by table_name, ordinal_position
"""


@dataclass(frozen=True)
class Definition:
    """One object: the statement that makes it, and the sql_mode under which it was made."""

    kind: Kind
    name: str
    sql: str
    mode: str | None = None
    on: str = ""  # of a trigger: table/BEFORE or AFTER/INSERT, UPDATE or DELETE
    counter: int = 1  # of a table: AUTO_INCREMENT, which is no part of `sql`

    @property
    def is_transactional(self) -> bool:
        """Whether a table's rows come and go in transactions, and leave nothing behind when they are deleted."""
        return f"ENGINE={TRANSACTIONAL}" in self.sql and not self.keeps_history

    @property
    def is_counted(self) -> bool:
        """Whether every write to a table shows in InnoDB's counters. They begin anew with its statistics."""
        return self.is_transactional and not RECOUNTED.search(self.sql)

    @property
    def keeps_history(self) -> bool:
        """Whether it is a system-versioned table: a DELETE only moves its rows."""
        return "WITH SYSTEM VERSIONING" in self.sql

    def make(self, database: str) -> str:
        """The statement that makes it in `database`."""
        sql = self.sql.replace(HERE, f"{name(database)}.")
        return COUNTER.sub(r"\1", sql) if self.kind is Kind.TABLE else sql

    def drop(self, database: str) -> str:
        """The statement that takes it away, if it is there."""
        return f"drop {self.kind.value} if exists {name(database, self.name)}"


@dataclass(frozen=True)
class Schema:
    """All definitions of a database, by kind and name, and the columns of its tables that can be inserted into."""

    collation: str
    objects: Mapping[tuple[Kind, str], Definition]
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @cached_property
    def tables(self) -> Mapping[str, Definition]:
        """The base tables by name."""
        return {d.name: d for d in self.objects.values() if d.kind is Kind.TABLE}

    @cached_property
    def uncounted(self) -> Sequence[str]:
        """The tables whose rows InnoDB does not count, or may begin to count anew."""
        return sorted(table for table, definition in self.tables.items() if not definition.is_counted)

    def numbers(self, table: str) -> bool:
        """Whether a table's rows may get numbers. A needless yes, as of a comment that has the word, does no harm."""
        return table in self.tables and "AUTO_INCREMENT" in self.tables[table].sql

    @cached_property
    def sequences(self) -> Sequence[str]:
        """The sequences' names."""
        return [d.name for d in self.objects.values() if d.kind is Kind.SEQUENCE]

    def triggers(self, table: str, event: str) -> list[Definition]:
        """The triggers that an INSERT or DELETE on `table` would fire, in their order."""
        return [
            d
            for d in self.objects.values()
            if d.kind is Kind.TRIGGER and d.on.split("/")[0] == table and d.on.endswith(event)
        ]


@dataclass(frozen=True)
class Difference:
    """What must go and what must be made for one schema to become another."""

    drop: Sequence[Definition]
    make: Sequence[Definition]
    collate: str | None = None  # what new tables get

    def __bool__(self) -> bool:
        return bool(self.drop or self.make or self.collate)

    @property
    def description(self) -> str:
        """What differs, for people."""
        objects = {f"{d.kind} {d.name}" for d in (*self.drop, *self.make)}
        return ", ".join(sorted(objects | ({"the collation"} if self.collate else set())))


def read_schema(session: Session, database: str) -> Schema:
    """Every definition of `database`."""
    by_table: dict[str, list[str]] = {}
    for table, column in session.rows(COLUMNS.format(here=literal(database))):
        by_table.setdefault(table, []).append(column)
    return replace(read_definitions(session, database), columns=by_table)


def read_definitions(session: Session, database: str) -> Schema:
    """The same without columns, which only whoever fills tables needs: every table would be opened for them."""
    use = f"use {name(database)}"  # views name their own database's tables without it then
    asked = [part.format(here=literal(database)) for part in (OBJECTS, TRIGGERS, COLLATION)]
    _, listed, triggers, ((collation,),) = session.run_all([use, *asked])
    found = [(_kind(kind), str(each), str(on)) for kind, each, on in [*listed, *triggers]]
    shown = session.run_all(f"show create {kind.value} {name(database, each)}" for kind, each, _ in found)
    definitions = [_definition(database, *what, rows[0]) for what, rows in zip(found, shown, strict=True)]
    return Schema(str(collation), {(d.kind, d.name): d for d in definitions})


def differences(now: Schema, wanted: Schema) -> Difference:
    """How to make what `wanted` has of what is there now. A table that is made anew loses its triggers with it."""
    drop = [d for key, d in now.objects.items() if not _is_same(d, wanted.objects.get(key))]
    dropped = {d.name for d in drop if d.kind is Kind.TABLE}
    make = [
        d
        for key, d in wanted.objects.items()
        if not _is_same(d, now.objects.get(key)) or (d.kind is Kind.TRIGGER and d.on.split("/")[0] in dropped)
    ]
    # The order of several triggers of one event is the order in which they were made: all are made again.
    touched = {d.on for d in (*drop, *make) if d.kind is Kind.TRIGGER} | _reordered(now, wanted)
    drop += [d for d in now.objects.values() if d.kind is Kind.TRIGGER and d.on in touched and d not in drop]
    make += [d for d in wanted.objects.values() if d.kind is Kind.TRIGGER and d.on in touched and d not in make]
    order = list(wanted.objects.values())
    collate = None if now.collation == wanted.collation else wanted.collation
    return Difference(sorted(drop, key=_takes_away_first), sorted(make, key=order.index), collate)


def replay(session: Session, database: str, definitions: Iterable[Definition]) -> None:
    """Make objects in `database`, which is the session's own. Raises CannotCopy and LoggingForbids."""
    waiting = sorted(definitions, key=lambda d: list(Kind).index(d.kind))
    views = [d for d in waiting if d.kind is Kind.VIEW]
    for each in (d for d in waiting if d.kind is not Kind.VIEW and d.kind not in (Kind.TRIGGER, Kind.EVENT)):
        _make(session, database, each)
    while views:  # a view may stand on others: whoever can be made is, until nobody is left
        made = [each for each in views if _try_to_make(session, database, each)]
        if not made:
            _make(session, database, views[0])
        views = [each for each in views if each not in made]
    for each in (d for d in waiting if d.kind in (Kind.TRIGGER, Kind.EVENT)):
        _make(session, database, each)


def find_refusal(error: BaseException) -> str | None:
    """Why the server lets this account create no functions, where that has led to `error`, and where it was met."""
    cause: BaseException | None = error
    while cause and code_of(cause) != LOGGING_FORBIDS:
        cause = cause.__cause__ or cause.__context__
    if cause is None:
        return None
    said, met = reason_of(cause), str(error).splitlines()[0]
    return said if cause is error else met if said in met else f"{met} {said}"


def _make(session: Session, database: str, definition: Definition) -> None:
    try:
        _run(session, database, definition)
    except pymysql.MySQLError as error:
        if reason := find_refusal(error):
            raise LoggingForbids(url=session.address.redacted, reason=reason) from None
        raise CannotCopy(kind=definition.kind.value, name=definition.name, reason=reason_of(error)) from None


def _try_to_make(session: Session, database: str, definition: Definition) -> bool:
    try:
        _run(session, database, definition)
    except pymysql.MySQLError:
        return False
    return True


def _run(session: Session, database: str, definition: Definition) -> None:
    made = definition.make(database)
    if definition.mode is None:
        session.run_all([made])
        return
    before = "set @mintdb_mode = @@sql_mode"
    session.run_all([before, f"set sql_mode = {literal(definition.mode)}"])
    try:
        session.run_all([made])
    finally:
        session.run("set sql_mode = @mintdb_mode")


def _definition(database: str, kind: Kind, each: str, on: str, shown: Sequence[object]) -> Definition:
    sql = str(shown[SQL_COLUMN.get(kind, 2)])
    column = MODE_COLUMN.get(kind, 1)
    counter = COUNTER.search(sql) if kind is Kind.TABLE else None
    return Definition(
        kind,
        each,
        COUNTER.sub(r"\1", sql).replace(f"{name(database)}.", HERE) if kind is Kind.TABLE else _anywhere(sql, database),
        mode=None if column is None else str(shown[column]),
        on=on,
        counter=int(counter[2]) if counter else 1,
    )


def _anywhere(sql: str, database: str) -> str:
    return sql.replace(f"{name(database)}.", HERE)


def _kind(word: str) -> Kind:
    return OF_TABLE_TYPE.get(word) or Kind(word.lower())


def _is_same(one: Definition, other: Definition | None) -> bool:
    return other is not None and (one.sql, one.mode, one.on) == (other.sql, other.mode, other.on)


def _reordered(now: Schema, wanted: Schema) -> set[str]:
    one, other = _order_of_triggers(now), _order_of_triggers(wanted)
    return {on for on in one if one[on] != other.get(on, one[on])}


def _order_of_triggers(schema: Schema) -> dict[str, list[str]]:
    order: dict[str, list[str]] = {}
    for d in schema.objects.values():
        if d.kind is Kind.TRIGGER:
            order.setdefault(d.on, []).append(d.name)
    return order


def _takes_away_first(definition: Definition) -> int:
    return -list(Kind).index(definition.kind)
