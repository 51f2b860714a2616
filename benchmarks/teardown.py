"""How long a release takes when somebody left a connection open: never longer than `settle` and 0.3 s.

    python benchmarks/teardown.py [--rounds 5] [--settle 0.5] [--json FILE]

A connection of this process or of another one is left idle, idle in a transaction that wrote, or running pg_sleep(60).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psycopg
from startup import home

import mintdb
from mintdb.connections.hooks import watch

GRACE = 0.3  # seconds above `settle`, as promised
SLEEP = "select pg_sleep(60)"
WRITE = "insert into t0 (a) values (1)"
STATEMENTS = {"idle": "select 1", "idle in transaction": WRITE, "active": SLEEP}
OTHER = """
import sys, psycopg
connection = psycopg.connect(sys.argv[1], autocommit=sys.argv[2] == "idle")
if sys.argv[2] == "active":
    print(flush=True)
    try:
        connection.execute(sys.argv[3])
    except psycopg.Error:
        sys.exit()
connection.execute(sys.argv[3])
print(flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class Figure:
    """One line of the table; seconds."""

    who: str
    state: str
    median: float
    worst: float
    bound: float
    named: bool  # whether every report spoke of the connection


@contextmanager
def opened_here(url: str, state: str) -> Iterator[None]:
    connection = psycopg.connect(url, autocommit=state == "idle")
    if state == "active":
        thread = threading.Thread(target=_sleep, args=(connection,))
        thread.start()
        time.sleep(0.05)  # until the statement is there
    else:
        connection.execute(STATEMENTS[state])
    yield
    connection.close()
    if state == "active":
        thread.join()


def _sleep(connection: psycopg.Connection) -> None:
    with contextlib.suppress(psycopg.Error):
        connection.execute(SLEEP)


@contextmanager
def opened_elsewhere(url: str, state: str) -> Iterator[None]:
    command = [sys.executable, "-W", "ignore", "-c", OTHER, url, state, STATEMENTS[state]]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.05)  # until the statement is there
        yield
        process.kill()


PLACES: dict[str, Callable[[str, str], contextlib.AbstractContextManager[None]]] = {
    "this process": opened_here,
    "another process": opened_elsewhere,
}


def measure(mint: mintdb.Mint, who: str, state: str, rounds: int, settle: float) -> Figure:
    times, named = [], True
    for _ in range(rounds):
        lease = mint.lease(test="bench")
        with PLACES[who](lease.url, state):
            began = time.perf_counter()
            restored = lease.release()
            times.append(time.perf_counter() - began)
        # An idle connection of another process is in nobody's way, and stays: it is named at the end of the run.
        named = named and (bool(restored.report) or (who != "this process" and state == "idle"))
    bound = settle + GRACE
    return Figure(who, state, statistics.median(times), max(times), bound, named)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--settle", type=float, default=0.5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    watch()
    with home() as folder, mintdb.open(folder, schema="sql:schema.sql", settle=arguments.settle) as mint:
        figures = [
            measure(mint, who, state, arguments.rounds, arguments.settle) for who in PLACES for state in STATEMENTS
        ]
    print(f"{'ms, left open by':20}{'state':22}{'median':>10}{'worst':>10}{'bound':>10}")
    for one in figures:
        verdict = "held" if one.worst <= one.bound else "MISSED"
        told = "" if one.named else ", NOT NAMED"
        numbers = "".join(f"{value * 1000:10.0f}" for value in (one.median, one.worst, one.bound))
        print(f"{one.who:20}{one.state:22}{numbers}  {verdict}{told}")
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(one) for one in figures], indent=2))


if __name__ == "__main__":
    main()
