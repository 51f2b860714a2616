"""Finds out what was changed in one database since its mark, and undoes exactly that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import pymysql

from mintdb.engines.mysql.databases import copy_tables, fill, tables_with_rows
from mintdb.engines.mysql.rewind.binlog import Log, Position
from mintdb.engines.mysql.rewind.contents import find_changed
from mintdb.engines.mysql.rewind.counters import read_numbers
from mintdb.engines.mysql.rewind.marks import Mark, Marks
from mintdb.engines.mysql.rewind.putting import Plan, carry_out, make_plan
from mintdb.engines.mysql.rewind.table_io import TableIo
from mintdb.engines.mysql.rewind.witnesses import Answers, Changes, Read, Witnesses
from mintdb.engines.mysql.schema import Definition, Kind, Schema, differences, read_definitions, read_schema, replay
from mintdb.engines.mysql.sequences import exact_sequences, read_sequences, restart
from mintdb.engines.mysql.session import Session, name, reason_of
from mintdb.facts import dataclass

LOCK_TIMEOUT = 1  # seconds; who was ended just now may still be rolling back


@dataclass(frozen=True)
class PutBack:
    """What was done."""

    tables: Sequence[str] = ()  # tables and sequences
    reason: str | None = None  # why more than rows had to be put back
    outside: Sequence[str] = ()

    @property
    def nothing(self) -> bool:
        return not self.tables and self.reason is None


@dataclass(frozen=True)
class Means:
    """What a rewinder needs besides its session: the log of a server of ours, and a way to be alone with a table."""

    log: Log | None  # None: every table is visited
    clear: Callable[[], object]  # ends who holds a lock in the database
    unblock: Callable[[], object]  # the same, where something was waited for in vain
    new_side: Callable[[], str]  # makes a database for a mark's rows
    drop_side: Callable[[str], None]
    create: Callable[[Schema], None]  # makes the database itself anew, empty


class Rewinder:
    """The rewinder of one database. Its session has been prepared and is nobody else's."""

    def __init__(self, session: Session, database: str, means: Means, *, lowest: Mark) -> None:
        """`lowest` needs its schema and sources only."""
        self._session = session
        self._database = database
        self._means = means
        self.come_back()
        self._stale: set[str] = set()  # tables that a dropped mark had written to
        self._schema_is_stale = False
        schema = lowest.schema
        assert schema is not None
        # Where there is no log, nothing else is asked either.
        kind = Witnesses if means.log is None or session.dialect.is_mariadb else TableIo
        self._witnesses = kind(session, database, log=means.log, schema=lambda: self._marks.schema)
        sequences = exact_sequences(session, database, schema.sequences)
        told = self._witnesses.read_counters()
        plain = {d.name: d.counter for d in schema.tables.values()}
        counters = {**plain, **{table: each.next for table, each in told.items()}}
        self._marks = Marks(Mark(lowest.sources, counters, sequences, schema, lowest.side))
        self._witnesses.remember(told)

    @property
    def marks(self) -> int:
        """How many marks there are above the lowest."""
        return self._marks.height

    def wrote(self) -> bool:
        """Whether rows or definitions may have been changed since the mark."""
        changes, _ = self._look()
        return bool(changes.tables or changes.schema)

    def read_log(self) -> Read | None:
        """What the log says was written since the mark, and where it ends; None where there is none to read."""
        return self._witnesses.read_log()

    def questions(self, read: Read | None) -> list[str]:
        """What `put_back` needs to know from the server besides what was `read`, for a packet with other questions."""
        return self._witnesses.questions(read)

    def put_back(self, read: Read | None = None, answers: Answers = ()) -> PutBack:
        """Undo it. Where something stands in the way of that, the database is made anew.

        `answers` are those to `questions`; without `read` and them both are asked for.
        """
        # The position is taken before anything is put back: a late writer is seen the next time.
        changes, position = self._witnesses.look(read, answers)
        self._witnesses.move_on(position)
        try:
            return self._put_back(changes)
        except pymysql.MySQLError as error:
            self.make_anew()
            return PutBack(reason=f"putting it back failed: {reason_of(error)}", outside=_outside(changes))

    @property
    def needs_memory(self) -> bool:
        """Whether rows of a mark are in MEMORY tables: no restart leaves any of them."""
        tables = self._marks.schema.tables.values()
        return any("ENGINE=MEMORY" in each.sql and self._marks.source(each.name) for each in tables)

    def start_over(self) -> None:
        """Put back what a server holds of which nothing is known any more: it was restarted, or had ended us."""
        _, position = self._witnesses.look()
        self._witnesses.move_on(position)
        self.make_anew()

    def make_anew(self) -> None:
        """Drop the database, and make it as the newest mark has it."""
        self._means.unblock()
        schema = self._marks.schema
        self._means.create(schema)
        sources = {table: each for table in schema.tables if (each := self._marks.source(table))}
        fill(self._session, self._database, schema, sources)
        now = self._witnesses.read_counters()
        self._carry_out(self._plan(set(), {table: each.next for table, each in now.items()}))

    def push_mark(self) -> None:
        """Make the present state the newest mark."""
        changes, position = self._look()
        self._witnesses.move_on(position)
        schema = None
        if changes.schema:
            now = read_schema(self._session, self._database)
            schema = now if differences(now, self._marks.schema) else None
        tables = changes.tables & set((schema or self._marks.schema).tables)
        if schema:
            tables |= schema.tables.keys() - self._marks.schema.tables.keys()
        self._push(tables, schema, changes)
        self._stale.clear()

    def drop_mark(self, number: int) -> None:
        """Forget mark `number`; what it held is put back next time. Raises ValueError, see Marks.drop."""
        mark = self._marks.drop(number)
        self._stale |= mark.sources.keys()
        self._schema_is_stale |= mark.schema is not None
        if mark.side:
            self._means.drop_side(mark.side)

    def come_back(self) -> None:
        """The session was opened, or opened again: never wait long for a lock."""
        self._session.run(f"set session innodb_lock_wait_timeout = {LOCK_TIMEOUT}, lock_wait_timeout = {LOCK_TIMEOUT}")

    def close(self) -> None:
        """End the session. What was made for marks is gone."""
        for side in self._marks.sides():
            self._means.drop_side(side)
        self._session.close()

    def _look(self) -> tuple[Changes, Position]:
        """What was changed since the mark. Where nothing tells, all there is is compared with the mark."""
        changes, position = self._witnesses.look()
        if self._means.log is None:
            with suppress(pymysql.MySQLError):  # somebody has a table locked: it may have been changed
                return self._compare(changes), position
        return changes, position

    def _compare(self, now: Changes) -> Changes:
        """Of what may have been changed, that which was; after a change of definitions, everything may have been."""
        session, database, marks = self._session, self._database, self._marks
        if differences(read_schema(session, database), marks.schema):
            return now
        sequences = read_sequences(session, database, marks.schema.sequences)
        changed = find_changed(session, database, marks.schema, marks.source)
        changed |= {table for table, counter in now.counters.items() if counter.next != marks.counter(table)}
        changed |= {each for each in sequences if sequences[each] != marks.sequence(each)}
        return replace(now, tables=changed, schema=False)

    # putting back

    def _put_back(self, changes: Changes) -> PutBack:
        reason: str | None = None
        extra: set[str] = set()
        if changes.schema or self._schema_is_stale:
            reason, extra = self._put_schema_back()
            if reason:
                changes.counters = self._witnesses.read_counters()
        tables = (changes.tables | self._stale | extra) & self._marks.schema.tables.keys()
        plan = self._plan(tables, changes.numbers(tables))
        if plan or reason or changes.schema:
            self._carry_out(plan, None if reason or changes.schema else changes)
        self._stale.clear()
        self._schema_is_stale = False
        touched = sorted(tables | self._moved_sequences) if plan else []
        return PutBack(touched, reason, _outside(changes))

    def _plan(self, tables: set[str], numbers: Mapping[str, int]) -> Plan:
        """How to put `tables` back, and AUTO_INCREMENT where `numbers` differ from the mark's."""
        schema, marks = self._marks.schema, self._marks
        now = read_sequences(self._session, self._database, schema.sequences)
        self._moved_sequences = {each for each in now if now[each] != marks.sequence(each)}
        return make_plan(
            schema,
            self._database,
            tables,
            source=marks.source,
            wanted=marks.counter,
            now=numbers,
            sequences=[
                statement
                for each in sorted(self._moved_sequences)
                for statement in restart(self._database, each, marks.sequence(each))
            ],
        )

    def _carry_out(self, plan: Plan, changes: Changes | None = None) -> None:
        """Do it; the witnesses remember what is there then. `changes` are those that are undone."""
        if plan.needs_tables_alone:
            self._means.clear()
        try:
            written = self._try_to_carry_out(plan)
        except pymysql.MySQLError:
            self._means.unblock()
            written = self._try_to_carry_out(plan)
            changes = None  # how much of the first attempt was done is not known
        if plan.is_plain and changes and changes.counters and changes.uncertain <= plan.counters.keys():
            self._witnesses.foresee(changes.counters, written, plan.counters)
        else:
            self._witnesses.remember()

    def _try_to_carry_out(self, plan: Plan) -> Mapping[str, int]:
        try:
            return carry_out(plan, self._session, self._database, make=self._make)
        except pymysql.MySQLError:
            self._session.try_run("rollback")  # or what it holds would be waited for, for ever, by whoever comes next
            raise

    def _put_schema_back(self) -> tuple[str | None, set[str]]:
        """Make definitions what they were; returns what had to be made again, and the tables that are empty now."""
        difference = differences(read_definitions(self._session, self._database), self._marks.schema)
        if not difference:
            return None, set()
        self._means.clear()
        if difference.collate:
            self._session.run(f"alter database {name(self._database)} collate {difference.collate}")
        self._session.run_all(each.drop(self._database) for each in difference.drop)
        self._make(difference.make)
        return f"the schema was changed: {difference.description}", {
            d.name for d in difference.make if d.kind is Kind.TABLE
        }

    def _make(self, definitions: Sequence[Definition]) -> None:
        if definitions:
            self._session.run(f"use {name(self._database)}")
            replay(self._session, self._database, definitions)

    # marks

    def _push(self, tables: set[str], schema: Schema | None, changes: Changes) -> None:
        full = schema or self._marks.schema
        filled = tables_with_rows(self._session, self._database, sorted(tables))
        side = self._means.new_side() if filled else None
        if side:
            copy_tables(self._session, full, filled, self._database, side)
        now = read_sequences(self._session, self._database, full.sequences)
        known = self._marks.schema.sequences
        moved_on = [each for each in now if each not in known or now[each] != self._marks.sequence(each)]
        sequences = exact_sequences(self._session, self._database, moved_on)
        counters = {table: number for table, number in changes.numbers(tables).items() if table in tables}
        counters |= self._uncounted_numbers(tables - counters.keys())
        sources = {table: side if table in filled else None for table in tables}
        self._marks.push(Mark(sources, counters, sequences, schema, side))
        self._witnesses.remember()

    def _uncounted_numbers(self, tables: set[str]) -> dict[str, int]:
        """AUTO_INCREMENT of what the server does not count."""
        return read_numbers(self._session, self._database, tables) if tables else {}


def _outside(changes: Changes) -> Sequence[str]:
    return ("users and their rights",) if changes.accounts else ()
