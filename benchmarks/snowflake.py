"""What a test costs on the Snowflake emulation: mintdb's rewind beside a fresh fakesnow.patch() with the same seed.

Both work on the same schema, in one process, in turns. A test connects, does its work and closes. Run it with
`python benchmarks/snowflake.py [--tests N] [--json FILE]`; it reaches no network.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

import mintdb

sys.path[:] = [folder for folder in sys.path if Path(folder).resolve() != Path(__file__).resolve().parent]
"""This file's folder would hide the connector's package `snowflake`."""

TABLES = 20
SEED = "\n".join(
    f"create table t{number} (id int, name varchar(20), total number(10,2));\n"
    f"insert into t{number} values (1, 'one', 1.5), (2, 'two', 2.5);"
    for number in range(TABLES)
)


READS = ("select count(*) from t1",)
WRITES = ("insert into t1 values (3, 'three', 3.5)", "update t2 set total = 0", "select count(*) from t1")


def main() -> None:
    """Measure, and print one line for each case."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--tests", type=int, default=30)
    arguments.add_argument("--json", type=Path)
    given = arguments.parse_args()
    times = measure(given.tests)
    figures = {name: figures_of(values) for name, values in times.items()}
    for name, (p50, p95) in figures.items():
        print(f"{name:42} p50 {p50:8.2f} ms   p95 {p95:8.2f} ms")
    patched = figures["fresh fakesnow.patch(), seeded: all of it"][0]
    print(f"a fresh patch costs {patched / figures['mintdb: connect, put back (wrote)'][0]:.1f} times a rewind")
    if given.json:
        given.json.write_text(json.dumps({name: {"p50_ms": a, "p95_ms": b} for name, (a, b) in figures.items()}))


def measure(tests: int) -> dict[str, list[float]]:
    """Milliseconds of each test, without the work that both have to do."""
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "seed.sql").write_text(SEED)
        with mintdb.open(folder, engine="snowflake", name="bench", schema="sql:seed.sql") as mint:
            mint.open()
            warnings.simplefilter("ignore")  # fakesnow's own way to results warns
            for _ in range(tests):
                leased(mint, times, "wrote", WRITES)
                leased(mint, times, "read", READS)  # after a test of the same suite; straight after a patch all is cold
                patched(times)
    return times


def leased(mint: mintdb.Mint, times: dict[str, list[float]], kind: str, statements: tuple[str, ...]) -> None:
    """A test under mintdb: its connection and its put-back are counted, its statements are not."""
    import snowflake.connector

    started = time.perf_counter()
    lease = mint.lease()
    connection = snowflake.connector.connect(account="acme", user="u", password="p", database="bench", schema="public")
    connected = time.perf_counter()
    cursor = connection.cursor()
    for statement in statements:
        cursor.execute(statement)
    connection.close()
    worked = time.perf_counter()
    lease.release()
    ended = time.perf_counter()
    times.setdefault(f"mintdb: connect, put back ({kind})", []).append((connected - started + ended - worked) * 1000)
    times.setdefault(f"mintdb: put back alone ({kind})", []).append((ended - worked) * 1000)


def patched(times: dict[str, list[float]]) -> None:
    """The same under a fresh patch: emulation, seed and connection are counted, the test's statements are not."""
    import fakesnow
    import snowflake.connector

    started = time.perf_counter()
    with fakesnow.patch():
        connection = snowflake.connector.connect(database="bench", schema="public")
        cursor = connection.cursor()
        for statement in SEED.replace("\n", " ").split(";"):
            if statement.strip():
                cursor.execute(statement)
        connection.close()
    times.setdefault("fresh fakesnow.patch(), seeded: all of it", []).append((time.perf_counter() - started) * 1000)
    started = time.perf_counter()
    with fakesnow.patch():
        snowflake.connector.connect(database="bench", schema="public").close()
    times.setdefault("fresh fakesnow.patch(), empty: all of it", []).append((time.perf_counter() - started) * 1000)


def figures_of(values: list[float]) -> tuple[float, float]:
    """Median and 95th percentile."""
    return statistics.median(values), statistics.quantiles(values, n=20)[-1]


if __name__ == "__main__":
    main()
