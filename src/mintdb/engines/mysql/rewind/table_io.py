"""What MySQL's performance_schema counts: every row that anybody has written through the server, table by table.

On MySQL 9.6 and newer that is exact: what a foreign key's action does goes through the server as well, and so do
sessions without log, transactions that are rolled back later, and tables of any engine. What changes definitions is
counted for the server as a whole, by the host that it came from: mintdb's own sessions come by the socket.
https://dev.mysql.com/doc/refman/9.7/en/performance-schema-table-wait-summary-tables.html
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mintdb.engines.mysql.rewind.binlog import Log, Position, Seen
from mintdb.engines.mysql.rewind.counters import UNKNOWN, Counter, read_numbers
from mintdb.engines.mysql.rewind.witnesses import Changes, Witnesses
from mintdb.engines.mysql.schema import Schema
from mintdb.engines.mysql.session import Session, literal

OWN_HOST = "localhost"
DDL = (
    *(f"{verb}_{what}" for what in ("table", "view", "index", "trigger", "event", "db") for verb in ("create", "drop")),
    *(f"{verb}_{what}" for what in ("function", "procedure") for verb in ("create", "alter", "drop")),
    *("alter_table", "alter_event", "alter_db", "rename_table", "truncate", "import", "repair"),
    "execute_sql",  # of what was prepared, which may be any of these
)
EVENTS = ", ".join(f"'statement/sql/{each}'" for each in DDL)
NOTHING = Counter(frozenset(), 0, UNKNOWN)
COUNTS = """
select (select sum(count_star) from performance_schema.events_statements_summary_by_host_by_event_name
        where coalesce(host, '') <> '{own}' and event_name in ({ddl})),
    group_concat(count_write, ' ', object_name separator '/')
from performance_schema.table_io_waits_summary_by_table where object_schema = {database}
"""


class TableIo(Witnesses):
    """The witnesses of a MySQL server of ours."""

    def __init__(self, session: Session, database: str, *, log: Log | None, schema: Callable[[], Schema]) -> None:
        super().__init__(session, database, log=log, schema=schema)
        self._definitions = 0  # statements that may have changed some, so far
        super().read_counters()
        self._definitions_then = self._definitions  # up to the position in the log

    def read_counters(self) -> Mapping[str, Counter]:
        """See Witnesses. With AUTO_INCREMENT of all tables."""
        return self._with_numbers(super().read_counters(), None)

    def move_on(self, position: Position) -> None:
        """See Witnesses."""
        super().move_on(position)
        self._definitions_then = self._definitions

    def after(
        self, now: Mapping[str, Counter], written: Mapping[str, int], numbers: Mapping[str, int]
    ) -> Mapping[str, Counter]:
        """See Witnesses. An ALTER closes no account here."""
        return {**now, **{table: _plus(now.get(table, NOTHING), number) for table, number in written.items()}}

    def _judge(self, seen: Seen, now: Mapping[str, Counter]) -> Changes:
        """Nobody takes a number without writing a row, so those of other tables have not moved."""
        changes = super()._judge(seen, now)
        # A table is counted from when it is first opened.
        changes.tables |= {table for table in now.keys() - self._counters.keys() if now[table].modified}
        changes.counters = self._with_numbers(now, changes.tables) if changes.tables else now
        return changes

    def _statement(self) -> str:
        return COUNTS.format(own=OWN_HOST, ddl=EVENTS, database=literal(self._database))

    def _take(self, rows: Sequence[Any]) -> Mapping[str, Counter]:  # Any: as the server gives them
        ((definitions, told),) = rows
        self._definitions = int(definitions or 0)
        lines = [line.split(" ", 1) for line in told.split("/")] if told else []  # no table's name has a slash
        return {table: Counter(frozenset(), int(written), UNKNOWN) for written, table in lines}

    def _with_numbers(self, counters: Mapping[str, Counter], tables: Collection[str] | None) -> Mapping[str, Counter]:
        numbers = read_numbers(self._session, self._database, tables)
        told = {table: replace(counters.get(table, NOTHING), next=number) for table, number in numbers.items()}
        return {**counters, **told}

    def _watch(self, log: Log) -> None:
        """See Witnesses. None of them is needed."""

    def _hides_ddl(self, now: Mapping[str, Counter], seen: Seen, differ: set[str]) -> bool:
        """See Witnesses. Statements that failed, and temporary tables, count too: those cost a comparison."""
        return self._definitions - self._definitions_then > seen.definitions


def _plus(counter: Counter, written: int) -> Counter:
    return replace(counter, modified=counter.modified + written, next=UNKNOWN)
