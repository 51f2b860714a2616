"""Where MariaDB's sequences stand, which no definition tells, and how one is made to stand there again.

A sequence caches numbers in the server's memory: what is given out from there is in no table and no log.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mintdb.engines.mysql.session import Session, name
from mintdb.facts import dataclass

COLUMNS = (
    "next_not_cached_value, cycle_count, start_value, minimum_value, maximum_value, increment, cache_size, cycle_option"
)


@dataclass(frozen=True)
class Standing:
    """Where a sequence stands, and how it goes on: as COLUMNS has it."""

    next: int  # what is not cached
    rounds: int
    start: int
    lowest: int
    highest: int
    step: int
    cache: int
    cycles: int


def read_sequences(session: Session, database: str, sequences: Sequence[str]) -> dict[str, Standing]:
    """Each sequence's standing. ALTER SEQUENCE without binary log is told by nothing else."""
    found = session.run_all(f"select {COLUMNS} from {name(database, each)}" for each in sequences)
    return {each: Standing(*map(int, row)) for each, (row,) in zip(sequences, found, strict=True)}


def exact_sequences(session: Session, database: str, sequences: Iterable[str]) -> dict[str, Standing]:
    """Each sequence's standing, with nothing cached: it is asked for its next value, and told it again.

    One that has run out stays as it is.
    """
    sequences = list(sequences)
    for each in sequences:
        if session.try_run(f"select nextval({name(database, each)}) into @mintdb_next"):
            (value,) = session.row("select @mintdb_next")
            session.run(f"alter sequence {name(database, each)} restart with {int(value)}")
    return read_sequences(session, database, sequences)


def restart(database: str, sequence: str, to: Standing) -> list[str]:
    """Statements that put a sequence back."""
    this = name(database, sequence)
    going_on = (
        f"start with {to.start} minvalue {to.lowest} maxvalue {to.highest} increment by {to.step} cache {to.cache}"
        f" {'cycle' if to.cycles else 'nocycle'}"
    )
    put = [f"alter sequence {this} {going_on} restart with {to.next}"]
    return [*put, f"do setval({this}, {to.next}, 0, {to.rounds})"] if to.rounds else put
