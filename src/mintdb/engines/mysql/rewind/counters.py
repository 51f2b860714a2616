"""InnoDB's own counters: which tables were written to since, and where their AUTO_INCREMENT stands.

They see what a session with `sql_log_bin = 0` does, and the numbers that a transaction took before it was rolled back.
They lie after an ANALYZE and after a recalculation of statistics, which servers of ours do not do by themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from mintdb.engines.mysql.session import Session, literal
from mintdb.facts import dataclass

COUNTERS = """
select group_concat(table_id, ' ', modified_counter, ' ', autoinc, ' ', substr(name, {skip}) separator ';')
from information_schema.innodb_sys_tablestats where left(name, {length}) = {prefix}
"""
# Of a server that shows no more: whether a table was written to cannot be told.
NUMBERS = """
select table_name, coalesce(auto_increment, 1) from information_schema.tables
where table_schema = {database} and table_type not in ('VIEW', 'SEQUENCE'){which}
"""
UNKNOWN = 0  # AUTO_INCREMENT, which may be asked for where a table was written to
PARTITION = ("#P#", "#p#")


@dataclass(frozen=True)
class Counter:
    """What InnoDB counts for a table, all its partitions together."""

    ids: frozenset[int]  # another one: the table was truncated, or made anew
    modified: int
    next: int  # AUTO_INCREMENT; 1 of a table that has none


def counters_statement(session: Session, database: str) -> str:
    """What asks for them, for a packet with other statements."""
    prefix = f"{file_name(session, database)}/"
    return COUNTERS.format(skip=len(prefix) + 1, length=len(prefix), prefix=literal(prefix))


def take_counters(session: Session, rows: Iterable[Any]) -> Mapping[str, Counter]:  # Any: as the server gives them
    """What was answered, by table."""
    ((told,),) = rows  # one row: reading one for each table takes the driver longer than the server needs for them all
    return _take(session, told or "")


@lru_cache(maxsize=16)  # of what is told again and again: nothing was written
def _take(session: Session, told: str) -> Mapping[str, Counter]:
    found: dict[str, Counter] = {}
    for line in told.split(";") if told else ():
        table, counter = _take_line(session, line)
        found[table] = _together(found[table], counter) if table in found else counter
    return found


@lru_cache(maxsize=4096)  # most tables are told of as they were the last time
def _take_line(session: Session, line: str) -> tuple[str, Counter]:
    table_id, modified, autoinc, each = line.split(" ")  # what is special in a name is encoded there
    return _plain(session, _whole(each)), Counter(frozenset((int(table_id),)), int(modified), int(autoinc) or 1)


def _together(one: Counter, other: Counter) -> Counter:
    """Of two partitions of one table."""
    return Counter(one.ids | other.ids, one.modified + other.modified, max(one.next, other.next))


def read_numbers(session: Session, database: str, tables: Iterable[str] | None = None) -> dict[str, int]:
    """AUTO_INCREMENT of these tables, by default of all: 1 of those that have none, as of those that are empty."""
    which = "" if tables is None else f" and table_name in ({', '.join(map(literal, tables)) or 'null'})"
    found = session.rows(NUMBERS.format(database=literal(database), which=which))
    return {str(table): int(value) for table, value in found}


def apart(now: Mapping[str, Counter], mark: Mapping[str, Counter]) -> set[str]:
    """Tables of which something else is told than at the mark: the only ones that the two below have to look at."""
    return {table for table in now.keys() | mark.keys() if now.get(table) != mark.get(table)}


def moved(now: Mapping[str, Counter], mark: Mapping[str, Counter], among: Iterable[str]) -> set[str]:
    """Tables that were written to."""
    return {each for each in among if each in now and each in mark and now[each].modified != mark[each].modified}


def remade(now: Mapping[str, Counter], mark: Mapping[str, Counter], among: Iterable[str]) -> set[str]:
    """Tables that were truncated, made, or taken away."""
    return {each for each in among if _ids(now, each) != _ids(mark, each)}


def after(now: Mapping[str, Counter], written: Mapping[str, int], numbers: Mapping[str, int]) -> Mapping[str, Counter]:
    """What will be told once so many rows of tables were `written`, and AUTO_INCREMENT was set to `numbers`."""
    added = {each: replace(now[each], modified=now[each].modified + n) for each, n in written.items() if each in now}
    # An ALTER closes the table, and whoever opens it next reads its statistics anew: its writes are counted from there.
    closed = {each: Counter(now[each].ids, 0, number) for each, number in numbers.items() if each in now}
    return {**now, **added, **closed}


def _ids(counters: Mapping[str, Counter], table: str) -> frozenset[int]:
    return counters[table].ids if table in counters else frozenset()


def _whole(each: str) -> str:
    for mark in PARTITION:
        each = each.split(mark)[0]
    return each


def _plain(session: Session, encoded: str) -> str:
    """A table's name as it was given: in file names all but letters, digits and `_` is encoded."""
    return _decoded(session, encoded) if "@" in encoded else encoded


@lru_cache(maxsize=4096)
def _decoded(session: Session, encoded: str) -> str:
    return str(session.row("select convert(convert(binary %s using filename) using utf8mb4)", encoded)[0])


@lru_cache(maxsize=64)
def file_name(session: Session, database: str) -> str:
    """What a database is called where only letters, digits and `_` stand for themselves."""
    return str(session.row("select convert(binary convert(%s using filename) using utf8mb4)", database)[0])
