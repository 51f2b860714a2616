"""How long until the first lease: all cached, server lingering, nothing cached; and what loading the plugin costs.

    python benchmarks/startup.py [--rounds 5] [--loads 20] [--json FILE]

Each figure is of a process of its own, in a home of its own; the schema has 50 tables. Bounds: the README cites them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

TABLES = 50
LINGER = 1.0  # seconds
BOUNDS = {"lingering": 0.25, "cached": 1.0, "nothing cached": 6.0}  # seconds, to the first lease
LOAD_BOUND = 0.020  # seconds, by which the plugin may make pytest slower to load
LEASE = """
import json, sys, time
began = time.perf_counter()
import psycopg
driver = time.perf_counter()
import mintdb
mint = mintdb.open(schema="sql:schema.sql")
lease = mint.lease()
leased = time.perf_counter()
with psycopg.connect(lease.url) as connection:
    connection.execute("select 1")
used = time.perf_counter()
lease.release()
mint.close()
print(json.dumps({"importing psycopg": driver - began, "lease": leased - driver, "first use": used - leased,
                  "close": time.perf_counter() - used}))
"""
EMPTY_RUN = ["-p", "no:cacheprovider", "--collect-only", "-q"]
LOADED = ["-p", "mintdb.pytest_plugin"]
MODULES = """
import sys
import pytest
before = set(sys.modules)
import mintdb.pytest_plugin, mintdb.pytest_plugin.run
print(sorted({name.partition(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)))
"""


@dataclass(frozen=True)
class Figure:
    """One line of the table; seconds."""

    name: str
    best: float
    median: float
    bound: float | None = None

    def __str__(self) -> str:
        bound = f"{self.bound * 1000:10.0f}" if self.bound else " " * 10
        verdict = "" if not self.bound else "  held" if self.best <= self.bound else "  MISSED"
        return f"{self.name:44}{self.best * 1000:10.1f}{self.median * 1000:10.1f}{bound}{verdict}"


@contextmanager
def home() -> Iterator[Path]:
    """A cache folder and a project; whatever was started there is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="mintdb-bench-"))
    folder.chmod(0o711)
    tables = [f"create table t{n} (id serial primary key, a int not null, b text, unique (a));" for n in range(TABLES)]
    (folder / "schema.sql").write_text("\n".join(tables))
    os.environ |= {"MINTDB_CACHE_DIR": str(folder / "home"), "MINTDB_LINGER": str(LINGER), "MINTDB_PROJECT": "bench"}
    (folder / "home").mkdir(mode=0o711)
    try:
        yield folder
        wait_for_stop()
    finally:
        shutil.rmtree(live(), ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


def live() -> Path:
    """The home's live folder."""
    from mintdb.engines.places import find_places

    return find_places().live.parent


def wait_for_stop() -> None:
    """Wait until the home's server has stopped by itself."""
    while [*live().rglob("state.json")]:
        time.sleep(0.05)


def lease(folder: Path) -> dict[str, float]:
    """Lease a database in a new process; what took how long."""
    done = subprocess.run([sys.executable, "-c", LEASE], cwd=folder, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def nothing_cached(rounds: int) -> Iterator[dict[str, float]]:
    for _ in range(rounds):
        with home() as folder:
            yield lease(folder)


def cached(rounds: int) -> Iterator[dict[str, float]]:
    with home() as folder:
        lease(folder)
        for _ in range(rounds):
            wait_for_stop()
            yield lease(folder)


def lingering(rounds: int) -> Iterator[dict[str, float]]:
    with home() as folder:
        lease(folder)
        for _ in range(rounds):
            yield lease(folder)


def measure_leases(rounds: int) -> list[Figure]:
    ways: dict[str, Callable[[int], Iterator[dict[str, float]]]] = {
        "lingering": lingering,
        "cached": cached,
        "nothing cached": nothing_cached,
    }
    figures = []
    for name, way in ways.items():
        found = list(way(rounds))
        figures.append(figure(f"first lease, {name}", [one["lease"] for one in found], BOUNDS[name]))
        if name == "lingering":
            figures += [figure(f"  {part}", [one[part] for one in found]) for part in found[0] if part != "lease"]
    return figures


def load(*arguments: str) -> tuple[float, float]:
    """Run pytest on an empty folder in a new process, without other plugins; its whole time, and its processor time."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MINTDB_")}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        command = [sys.executable, "-m", "pytest", *EMPTY_RUN, *arguments]
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
        _, _, used = os.wait4(process.pid, 0)
        process.returncode = 0
        return time.perf_counter() - began, used.ru_utime + used.ru_stime


def measure_loading(rounds: int) -> list[Figure]:
    """Taken in turn, so that a busy moment of the machine hits both; the difference of the minima is the cost."""
    load(*LOADED)
    pairs = [(load(), load(*LOADED)) for _ in range(rounds)]
    figures = []
    for number, clock in enumerate(("wall", "processor")):
        without, with_it = ([pair[side][number] for pair in pairs] for side in (0, 1))
        figures += [figure(f"pytest on nothing, without mintdb, {clock}", without), figure("  with it", with_it)]
        best = min(with_it) - min(without)
        more = statistics.median([b - a for a, b in zip(without, with_it, strict=True)])
        figures.append(Figure(f"  so loading it unconfigured adds, {clock}", best, more, LOAD_BOUND))
    return figures


def figure(name: str, times: list[float], bound: float | None = None) -> Figure:
    return Figure(name, min(times), statistics.median(times), bound)


def third_party() -> str:
    """The third-party modules that the loaded plugin brings along, pytest's own left out."""
    done = subprocess.run([sys.executable, "-c", MODULES], capture_output=True, text=True, check=True)
    return done.stdout.strip().replace("'mintdb'", "").strip("[, ]") or "none"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--loads", type=int, default=20)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # compiling all modules again would be measured
    print(f"{'ms':44}{'best':>10}{'median':>10}{'bound':>10}")
    figures = measure_leases(arguments.rounds) + measure_loading(arguments.loads)
    print("\n".join(map(str, figures)))
    modules = third_party()
    print(f"third-party modules that loading brings along: {modules}")
    if arguments.json:
        content = {"figures": [asdict(one) for one in figures], "third_party": modules, "load": os.getloadavg()[0]}
        arguments.json.write_text(json.dumps(content, indent=2))


if __name__ == "__main__":
    main()
