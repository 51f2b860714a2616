"""The statements that put tables back: no trigger fires, no foreign key cascades, no number is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mintdb.engines.mysql.databases import refill
from mintdb.engines.mysql.schema import Definition, Schema
from mintdb.engines.mysql.session import Session, name


@dataclass(frozen=True)
class Plan:
    """What is to be done, in this order. A plan without statements that need a table for themselves is one packet."""

    lifted: Sequence[Definition] = ()  # triggers that must not see their table being filled
    remade: Sequence[Definition] = ()  # tables whose old rows no DELETE takes away, and their triggers
    emptied: Sequence[str] = ()  # TRUNCATE: fires no trigger, and also empties what knows no transactions
    rows: Sequence[str] = ()  # DELETE and INSERT, in one transaction
    counters: Sequence[str] = ()  # ALTER TABLE … AUTO_INCREMENT
    sequences: Sequence[str] = ()

    @property
    def needs_tables_alone(self) -> bool:
        """Whether a session that has only read, in a transaction, would be waited for."""
        return bool(self.lifted or self.remade or self.emptied or self.counters)

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
    deletes: list[str] = []
    inserts: list[str] = []
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
            deletes.append(f"delete from {name(database, table)}")
        if rows_from:
            inserts += refill(schema, table, rows_from, database)
            lifted += schema.triggers(table, "INSERT")
    counters = [
        f"alter table {name(database, table)} auto_increment = {wanted(table)}"
        for table in sorted(set(tables) | now.keys())
        if table in schema.tables and wanted(table) != (1 if table in fresh else now.get(table))
    ]
    rows = ["start transaction", *deletes, *inserts, "commit"] if deletes or inserts else []
    return Plan(lifted, remade, emptied, rows, counters, sequences)


def carry_out(
    plan: Plan, session: Session, database: str, *, make: Callable[[Sequence[Definition]], None], then: str = "do 0"
) -> list[Any]:  # Any: rows as the server gives them
    """Do it; returns the rows of `then`, a query that is asked in the same packet. `make` makes tables and triggers.

    Raises what the server raises; again is harmless.
    """
    session.run_all(d.drop(database) for d in (*plan.lifted, *plan.remade))
    make([d for d in plan.remade if d.kind == "table"])
    found = session.run_all([*plan.emptied, *plan.rows, *plan.counters, *plan.sequences, then])
    make([d for d in (*plan.lifted, *plan.remade) if d.kind == "trigger"])
    return found[-1]
