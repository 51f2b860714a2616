"""What tells that a database was written to since its mark: the log, InnoDB's counters, checksums, the folder's time.

The counters are asked for where InnoDB has numbered other transactions than those in the log.

Each alone is silently wrong about something; what any of them tells is put back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from typing import Any

import pymysql

from mintdb.engines.mysql.rewind.binlog import Log, Position, Seen
from mintdb.engines.mysql.rewind.counters import (
    UNKNOWN,
    Counter,
    after,
    apart,
    counters_statement,
    file_name,
    moved,
    read_numbers,
    remade,
    take_counters,
)
from mintdb.engines.mysql.rewind.folder import Folder
from mintdb.engines.mysql.rewind.programs import Programs
from mintdb.engines.mysql.rewind.transactions import Transactions
from mintdb.engines.mysql.rewind.unlogged import Held, read_held
from mintdb.engines.mysql.schema import Schema
from mintdb.engines.mysql.session import Session
from mintdb.facts import dataclass

Read = tuple[Seen, Position]
Answers = Sequence[Any]  # Any: rows as the server gives them


@dataclass
class Changes:
    """What may have been changed since the mark."""

    tables: set[str] = field(default_factory=set)
    schema: bool = False  # whether definitions have to be compared
    counters: Mapping[str, Counter] = field(default_factory=dict)  # of all tables
    apart: set[str] = field(default_factory=set)  # tables whose counters are not what they were
    accounts: bool = False
    uncertain: set[str] = field(default_factory=set)  # tables that InnoDB may have counted more writes to than are told

    def numbers(self, tables: set[str]) -> dict[str, int]:
        """AUTO_INCREMENT of `tables`, and of those where it may have moved without a row."""
        told = {table: self.counters[table] for table in tables | self.apart if table in self.counters}
        return {table: counter.next for table, counter in told.items() if counter.next}


class Witnesses:
    """What the server tells about one database, and what it told at the mark."""

    def __init__(self, session: Session, database: str, *, log: Log | None, schema: Callable[[], Schema]) -> None:
        """Without `log` every table may have been written to. `schema` is the newest mark's."""
        self._session = session
        self._database = database
        self._log = log
        self._schema = schema
        self._position = log.end() if log else Position(0, 0)
        self._folder: Folder | None = None
        self._programs: Programs | None = None
        self._transactions: Transactions | None = None
        if log:
            self._watch(log)
        self._counters: Mapping[str, Counter] = {}
        self._held: Held = {}

    def read_log(self) -> Read | None:
        """What the log says was written since the mark, and where it ends; None where there is none to read."""
        return self._log.read(self._position, self._database) if self._log else None

    def questions(self, read: Read | None) -> list[str]:
        """What `look` needs to know from the server besides what was `read`, for a packet with other questions."""
        if read is None:
            return []
        if self._transactions is None:
            return [self._statement()]
        is_enough = self._transactions.may_explain(read[0])
        return [self._transactions.question] if is_enough else [self._transactions.question, self._statement()]

    def look(self, read: Read | None = None, answers: Answers = ()) -> tuple[Changes, Position]:
        """What was changed, and the position for `move_on`. `answers` are those to `questions`."""
        told = list(answers)
        read = read or self.read_log()
        is_explained = self._is_explained(told, read)
        if read is not None and is_explained and not told and not self._is_touched():
            return self._judge_logged(read[0]), read[1]
        now = self._take(told[0]) if told else self.read_counters()
        if read is None:
            return Changes(set(self._schema().tables), True, now, set(now)), self._position
        seen, position = read
        return self._judge(seen, now), position

    def move_on(self, position: Position) -> None:
        """What the log has up to there was seen to."""
        self._position = position
        if self._transactions:
            self._transactions.move_on()

    def remember(self, counters: Mapping[str, Counter] | None = None) -> None:
        """What is there now is the mark's; `counters` are what InnoDB tells, where that was asked already."""
        asked = self.read_counters() if counters is None and self._log else {}
        self._keep(asked if counters is None else counters)
        if self._programs and counters is None:
            self._programs.remember()
        if self._transactions:
            self._transactions.forget()

    def foresee(self, now: Mapping[str, Counter], written: Mapping[str, int], numbers: Mapping[str, int]) -> None:
        """The same, where only so many rows were `written`, and AUTO_INCREMENT set to `numbers`, since `now` was told.

        It costs less than to ask, which would also hide what somebody else writes meanwhile.
        """
        self._keep(self.after(now, written, numbers))
        if self._transactions:
            self._transactions.foresee(written, numbers)

    def read_counters(self) -> Mapping[str, Counter]:
        """What is counted now, or AUTO_INCREMENT alone."""
        if self._log:
            return self._take(self._session.run_all([self._statement()])[0])
        numbers = read_numbers(self._session, self._database)
        return {table: Counter(frozenset(), 0, number) for table, number in numbers.items()}

    def after(
        self, now: Mapping[str, Counter], written: Mapping[str, int], numbers: Mapping[str, int]
    ) -> Mapping[str, Counter]:
        """What will be counted once so many rows of tables are `written`, and AUTO_INCREMENT is set to `numbers`."""
        return after(now, written, numbers)

    def _keep(self, counters: Mapping[str, Counter]) -> None:
        self._counters = counters
        self._held = self._read_held()
        if self._folder:
            self._folder.remember()

    def _is_explained(self, told: list[Any], read: Read | None) -> bool:  # Any: see Answers
        """Whether the log tells of everything; takes what InnoDB's number is told by out of `told`."""
        if self._transactions is None or read is None:
            return False
        if not told:
            self._transactions.overlook()
            return False
        return self._transactions.explains(told.pop(0), read)

    def _judge_logged(self, seen: Seen) -> Changes:
        """Nobody but who is in the log has written. What numbers were taken there is not known."""
        counted = seen.tables & self._counters.keys()
        taken = {each: replace(self._counters[each], next=UNKNOWN) for each in counted if self._schema().numbers(each)}
        tables = seen.tables | self._changed_uncounted()
        return Changes(tables, False, {**self._counters, **taken}, set(), seen.accounts, counted)

    def _judge(self, seen: Seen, now: Mapping[str, Counter]) -> Changes:
        differ = apart(now, self._counters)
        tables = seen.tables | seen.truncated | moved(now, self._counters, differ) | self._changed_uncounted()
        schema = bool(seen.statements or seen.lost or self._hides_ddl(now, seen, differ))
        if schema:
            tables |= self._schema().tables.keys()
        return Changes(tables, schema, now, differ, seen.accounts)

    def _statement(self) -> str:
        return counters_statement(self._session, self._database)

    def _take(self, rows: Sequence[Any]) -> Mapping[str, Counter]:  # Any: as the server gives them
        return take_counters(self._session, rows)

    def _watch(self, log: Log) -> None:
        self._folder = Folder(log.folder / file_name(self._session, self._database))
        self._programs = Programs(self._session, self._database, log.folder)
        self._transactions = Transactions(log)

    def _hides_ddl(self, now: Mapping[str, Counter], seen: Seen, differ: set[str]) -> bool:
        """Whether definitions changed, or tables were truncated, of which nothing is in the log."""
        # TRUNCATE gives a table another id, and changes the folder as well.
        unexplained = remade(now, self._counters, differ) - seen.truncated
        return bool(unexplained) or self._is_touched(but_tables=bool(seen.truncated))

    def _is_touched(self, *, but_tables: bool = False) -> bool:
        """Whether files tell that definitions came or went; with `but_tables` only those of routines and events."""
        touched = self._folder is not None and not but_tables and self._folder.was_touched()
        return touched or (self._programs is not None and self._programs.were_touched())

    def _changed_uncounted(self) -> set[str]:
        try:
            now = self._read_held()
        except pymysql.MySQLError:  # somebody has one of them locked: whoever empties them will see to that
            return set(self._schema().uncounted)
        return {table for table, held in now.items() if held != self._held.get(table)}

    def _read_held(self) -> Held:
        """Of no table where every one is visited anyhow."""
        return read_held(self._session, self._database, self._schema().uncounted if self._log else ())
