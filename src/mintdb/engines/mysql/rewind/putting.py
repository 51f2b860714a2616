"""The statements that put tables back: no trigger fires, no foreign key cascades, no number is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field

from mintdb.engines.mysql.databases import refill
from mintdb.engines.mysql.schema import Definition, Schema
from mintdb.engines.mysql.session import Session, name
from mintdb.facts import dataclass


@dataclass(frozen=True)
class Plan:
    """What is to be done, in this order. A plan without statements that need a table for themselves is one packet."""

    lifted: Sequence[Definition] = ()  # triggers that must not see their table being filled
    remade: Sequence[Definition] = ()  # tables whose old rows no DELETE takes away, and their triggers
    emptied: Sequence[str] = ()  # TRUNCATE: fires no trigger, and also empties what knows no transactions
    rows: Sequence[tuple[str, str]] = ()  # table, and DELETE or INSERT, in one transaction
    counters: Mapping[str, int] = field(default_factory=dict)  # AUTO_INCREMENT that a table is to have
    sequences: Sequence[str] = ()

    @property
    def needs_tables_alone(self) -> bool:
        """Whether a session that has only read, in a transaction, would be waited for."""
        return bool(self.lifted or self.remade or self.emptied or self.counters)

    @property
    def is_plain(self) -> bool:
        """Whether every table stays the one that it is for InnoDB, and only as many rows are written as are told."""
        return not (self.lifted or self.remade or self.emptied or self.sequences)

    def __bool__(self) -> bool:
        return bool(self.remade or self.emptied or self.rows or self.counters or self.sequences)


def make_plan(
    schema: Schema,
    database: str,
    tables: Iterable[str],
    *,
    source: Callable[[str], str | None],
    wanted: Callable[[str], int],
    now: Mapping[str, int],
    sequences: Sequence[str] = (),
) -> Plan:
    """How to put `tables` back. `wanted` and `now` are their AUTO_INCREMENTs; what `now` does not know is put."""
    lifted: list[Definition] = []
    remade: list[Definition] = []
    emptied: list[str] = []
    deletes: list[tuple[str, str]] = []
    inserts: list[tuple[str, str]] = []
    fresh: set[str] = set()  # tables whose counter begins anew
    for table in sorted(tables):
        definition = schema.tables[table]
        rows_from = source(table)
        if definition.keeps_history:
            remade.append(definition)
            fresh.add(table)
        elif not definition.is_transactional or schema.triggers(table, "DELETE"):
            emptied.append(f"truncate table {name(database, table)}")
            fresh.add(table)
        else:
            deletes.append((table, f"delete from {name(database, table)}"))
        if rows_from:
            inserts += [(table, statement) for statement in refill(schema, table, rows_from, database)]
            lifted += schema.triggers(table, "INSERT")
    counters = {
        table: wanted(table)
        for table in sorted(set(tables) | now.keys())
        if table in schema.tables and wanted(table) != (1 if table in fresh else now.get(table))
    }
    return Plan(lifted, remade, emptied, [*deletes, *inserts], counters, sequences)


def carry_out(
    plan: Plan, session: Session, database: str, *, make: Callable[[Sequence[Definition]], None]
) -> Mapping[str, int]:
    """Do it; returns how many rows of which table were written. `make` makes tables and triggers.

    Raises what the server raises; again is harmless.
    """
    session.run_all(d.drop(database) for d in (*plan.lifted, *plan.remade))
    make([d for d in plan.remade if d.kind == "table"])
    begin, commit = (["start transaction"], ["commit"]) if len(plan.rows) > 1 else ([], [])
    before = [*plan.emptied, *begin]
    counters = [f"alter table {name(database, each)} auto_increment = {n}" for each, n in plan.counters.items()]
    rows = [statement for _, statement in plan.rows]
    counted = session.count_all([*before, *rows, *commit, *counters, *plan.sequences])
    make([d for d in (*plan.lifted, *plan.remade) if d.kind == "trigger"])
    written: dict[str, int] = {}
    for (table, _), number in zip(plan.rows, counted[len(before) :], strict=False):
        written[table] = written.get(table, 0) + number
    return written
