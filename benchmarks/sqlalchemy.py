"""What a test costs with `mintdb_session`, beside SQLAlchemy's documented recipe: one server, one process, in turns.

python benchmarks/sqlalchemy.py [--rounds 300] [--tables 50] [--json FILE]

Each test begins, adds three rows in each of three tables over one session, commits, reads them back, and ends.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# This file has the name of a library that it imports: its folder must not come first.
sys.path = [folder for folder in sys.path if Path(folder or ".").resolve() != Path(__file__).resolve().parent]

import sqlalchemy as sa  # noqa: E402
from sqlalchemy.orm import Session  # noqa: E402

import mintdb  # noqa: E402
from mintdb.connections.hooks import watch  # noqa: E402
from mintdb.contract import Way  # noqa: E402
from mintdb.sqlalchemy import TestSession, Transactions, create_engine, open_session  # noqa: E402

ROWS = 3
WRITTEN = 3  # tables
Test = Callable[[Session], None]


def tables(number: int) -> sa.MetaData:
    metadata = sa.MetaData()
    for index in range(number):
        sa.Table(
            f"t{index}",
            metadata,
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("name", sa.String, unique=True),
        )
    return metadata


def work(metadata: sa.MetaData) -> Test:
    written = [metadata.tables[f"t{index}"] for index in range(WRITTEN)]

    def test(session: Session) -> None:
        for table in written:
            session.execute(table.insert(), [{"name": f"name {row}"} for row in range(ROWS)])
        session.commit()
        for table in written:
            assert session.scalar(sa.select(sa.func.count()).select_from(table)) == ROWS

    return test


@contextmanager
def recipe(engine: sa.Engine) -> Iterator[Session]:
    """As SQLAlchemy's documentation has it: "Joining a Session into an External Transaction"."""
    connection = engine.connect()
    transaction = connection.begin()
    session = Session(connection, join_transaction_mode="create_savepoint")
    try:
        yield session
    finally:
        session.close()
        transaction.rollback()
        connection.close()


@contextmanager
def rewind(mint: mintdb.Mint, engine: sa.Engine) -> Iterator[Session]:
    """What mintdb's plugin and its fixture do around a test."""
    with mint.lease(test="test") as lease, open_session(engine, test="test") as session:
        yield session
    assert lease.restored is not None
    assert lease.restored.way is Way.REWIND, lease.restored.reason


@contextmanager
def transaction(mint: mintdb.Mint, engine: sa.Engine) -> Iterator[Session]:
    """The same with isolation = "transaction"."""
    options = {"join_transaction_mode": "create_savepoint"}
    with (
        mint.lease(test="test") as lease,
        Transactions([lease.address], variables={}) as transactions,
        open_session(engine, test="test", kind=transactions.kind_of(TestSession), **options) as session,
    ):
        yield session


def timed(begin: Callable[[], object], test: Test) -> float:
    started = time.perf_counter()
    with begin() as session:  # type: ignore[attr-defined]  # one of the three above
        test(session)
    return (time.perf_counter() - started) * 1000


def measure(rounds: int, number: int) -> dict[str, list[float]]:
    """Milliseconds of each test, the ways taking turns."""
    watch()
    metadata = tables(number)
    with mintdb.open(schema="none", project="bench") as mint:
        with mint.lease() as lease:
            engine = create_engine(lease.address)
            metadata.create_all(engine)
            mint.open().pool.marks.keep_what_is_there()
        ways = {
            "recipe": lambda: recipe(engine),
            "rewind": lambda: rewind(mint, engine),
            "transaction": lambda: transaction(mint, engine),
            "bare": lambda: Session(engine),
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        test, nothing = work(metadata), lambda session: session.execute(sa.text("select 1"))
        for turn in range(rounds + 20):
            for name, begin in ways.items():
                took = timed(begin, nothing if name == "bare" else test)
                if turn >= 20:  # the first ones make plans and caches
                    times[name].append(took)
        engine.dispose()
    return times


def percentile(times: list[float], of: float) -> float:
    return statistics.quantiles(times, n=100)[round(of) - 1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--tables", type=int, default=50)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    times = measure(arguments.rounds, arguments.tables)
    base = statistics.median(times["recipe"])
    labels = {
        "bare": "a session and `select 1`, nothing around it",
        "recipe": "SQLAlchemy's recipe",
        "rewind": "mintdb_session",
        "transaction": 'mintdb_session, isolation = "transaction"',
    }
    print(f"{'a test, ms':46}{'p50':>8}{'p95':>8}{'× recipe':>10}")
    facts: dict[str, float] = {}
    for name, label in labels.items():
        p50, p95 = statistics.median(times[name]), percentile(times[name], 95)
        print(f"{label:46}{p50:8.2f}{p95:8.2f}{p50 / base:10.2f}")
        facts |= {f"{name}_p50": p50, f"{name}_p95": p95}
    facts["session_over_recipe"] = facts["rewind_p50"] / base
    if arguments.json:
        arguments.json.write_text(json.dumps(facts, indent=2))


if __name__ == "__main__":
    main()
