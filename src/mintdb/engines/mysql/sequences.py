"""Where MariaDB's sequences stand, which no definition tells, and how one is made to stand there again.

A sequence caches numbers in the server's memory: what is given out from there is in no table and no log.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mintdb.engines.mysql.session import Session, name


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
