"""Which of PostgreSQL's two ways of copying a database is the better one for a template: measured, not guessed."""

from __future__ import annotations

from mintdb import clock
from mintdb.core.names import DatabaseName, Role
from mintdb.engines.postgresql import databases
from mintdb.engines.postgresql.maintenance import Maintenance

STRATEGIES = ("file_copy", "wal_log")
WORTH_THE_WAL = 3.0  # times slower


def choose_strategy(maintenance: Maintenance, template: str, owner: str) -> str | None:
    """The better way of cloning this template on this server; None where there is no choice.

    It is measured by making two clones, a third of what a small template costs, once for all of about the same size.
    """
    (size,) = maintenance.row("select pg_database_size(%s::name)", template)
    databases.note(maintenance, template, size=size)
    alike = maintenance.rows(
        "select notes->>'strategy' from databases where notes->>'strategy' is not null"
        " and (notes->>'size')::bigint between %s / 2 and %s * 2 order by used_at desc limit 1",
        size,
        size,
    )
    return str(alike[0][0]) if alike else _measure_strategies(maintenance, template, owner)


def _measure_strategies(maintenance: Maintenance, template: str, owner: str) -> str | None:
    """The faster one, or nearly so.

    `wal_log` writes the whole template into the WAL, where every rewind on the server has to read past it: it is taken
    only where `file_copy`, which makes a checkpoint, is slower by more than WORTH_THE_WAL.
    """
    if maintenance.version_number < databases.STRATEGY_SINCE:
        return None
    file_copy, wal_log = (_time_clone(maintenance, template, strategy, owner) for strategy in STRATEGIES)
    return "wal_log" if file_copy > wal_log * WORTH_THE_WAL else "file_copy"


def _time_clone(maintenance: Maintenance, template: str, strategy: str, owner: str) -> float:
    name = str(DatabaseName(Role.CLONE, "measure", owner=owner, worker=strategy.replace("_", "")))
    started = clock.monotonic()
    databases.create(maintenance, name, template=template, strategy=strategy, owner=owner)
    seconds = clock.monotonic() - started
    databases.drop(maintenance, name)
    return seconds
