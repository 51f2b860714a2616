"""InnoDB's own counters: which tables were written to since, and where their AUTO_INCREMENT stands.

They see what a session with `sql_log_bin = 0` does, and the numbers that a transaction took before it was rolled back.
They lie after an ANALYZE and after a recalculation of statistics, which servers of ours do not do by themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from mintdb.engines.mysql.session import Session, literal, name

COUNTERS = """
select substr(name, {skip}), table_id, modified_counter, autoinc from information_schema.innodb_sys_tablestats
where left(name, {length}) = {prefix}
"""
PARTITION = ("#P#", "#p#")


@dataclass(frozen=True)
class Counter:
    """What InnoDB counts for a table, all its partitions together."""

    ids: frozenset[int]  # another one: the table was truncated, or made anew
    modified: int
    next: int  # AUTO_INCREMENT


def read_counters(session: Session, database: str) -> dict[str, Counter]:
    """The counters of every InnoDB table of a database, sequences included. Needs the privilege PROCESS."""
    prefix = f"{_encoded(session, database)}/"
    found: dict[str, Counter] = {}
    statement = COUNTERS.format(skip=len(prefix) + 1, length=len(prefix), prefix=literal(prefix))
    for each, table_id, modified, autoinc in session.rows(statement.replace("%", "%%")):
        table = _plain(session, _whole(str(each)))
        before = found.get(table, Counter(frozenset(), 0, 1))
        found[table] = Counter(before.ids | {table_id}, before.modified + modified, max(before.next, autoinc))
    return found


def read_plain_counters(session: Session, database: str) -> dict[str, Counter]:
    """Every table's AUTO_INCREMENT, for a server that shows no more. Whether it was written to cannot be told."""
    session.try_run("set session information_schema_stats_expiry = 0")  # MySQL 8 remembers the numbers for a day
    found = session.rows(
        "select table_name, auto_increment from information_schema.tables"
        " where table_schema = %s and auto_increment is not null",
        database,
    )
    return {str(table): Counter(frozenset(), 0, int(value)) for table, value in found}


def read_sequences(session: Session, database: str, sequences: Sequence[str]) -> dict[str, tuple[int, int]]:
    """The next value that is not cached, and the number of rounds, of each sequence."""
    found = session.run_all(
        f"select next_not_cached_value, cycle_count from {name(database, each)}" for each in sequences
    )
    return {each: (int(rows[0][0]), int(rows[0][1])) for each, rows in zip(sequences, found, strict=True)}


def exact_sequences(session: Session, database: str, sequences: Iterable[str]) -> dict[str, tuple[int, int]]:
    """The next value of each sequence, and a sequence that has nothing cached: it is asked for it, and told it again.

    One that has run out stays as it is.
    """
    sequences = list(sequences)
    for each in sequences:
        if session.try_run(f"select nextval({name(database, each)}) into @mintdb_next"):
            (value,) = session.row("select @mintdb_next")
            session.run(f"alter sequence {name(database, each)} restart with {int(value)}")
    return read_sequences(session, database, sequences)


def restart(database: str, sequence: str, value: int, rounds: int) -> list[str]:
    """Statements that put a sequence back."""
    put = [f"alter sequence {name(database, sequence)} restart with {value}"]
    return [*put, f"do setval({name(database, sequence)}, {value}, 0, {rounds})"] if rounds else put


def moved(now: Mapping[str, Counter], mark: Mapping[str, Counter]) -> set[str]:
    """Tables that were written to."""
    return {table for table, counter in now.items() if table in mark and counter.modified != mark[table].modified}


def remade(now: Mapping[str, Counter], mark: Mapping[str, Counter]) -> set[str]:
    """Tables that were truncated, made, or taken away."""
    return {table for table in now.keys() | mark.keys() if _ids(now, table) != _ids(mark, table)}


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
def _encoded(session: Session, database: str) -> str:
    return str(session.row("select convert(binary convert(%s using filename) using utf8mb4)", database)[0])
