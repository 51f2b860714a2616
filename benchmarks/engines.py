"""What putting a database back costs on each engine, beside the other ways of doing it there, in one run.

    python benchmarks/engines.py [--rounds 200] [--json FILE]

Every round writes to 3 of 50 tables, then each way puts back in turn: what the machine does meanwhile, it does to all.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import mintdb
from mintdb.engines.places import SHM
from mintdb.engines.sqlite import databases

TABLES, DIRTY = 50, 3
MILLISECONDS = 1000
SQLITE_BOUND, SQLITE_RATIO = 3.0, 2.0  # ms p50, and times the backup call alone, as promised


@dataclass(frozen=True)
class Figure:
    """One line of the table; milliseconds, and how often that is mintdb's own rewind."""

    engine: str
    way: str
    p50: float
    p95: float
    ratio: float


def sqlite(rounds: int, folder: Path) -> Iterable[Figure]:
    """A rewind, the backup call that it makes, a copy of the file, DELETE from all tables, and the schema anew."""
    script = "\n".join(
        f"create table t{n} (id integer primary key autoincrement, a int, b text); create index i{n} on t{n} (a);"
        for n in range(TABLES)
    )
    (folder / "schema.sql").write_text(script)
    with mintdb.open(folder, engine="sqlite", schema="sql:schema.sql", settle=0) as mint:
        clone = mint.open().pool.home
        path = Path(clone.address.database)
        template = shutil.copy(path, folder / "template.db")
        with (
            closing(databases.open_sealed(Path(template))) as source,
            closing(databases.connect(path)) as target,
            closing(databases.connect(path)) as application,
        ):

            def write() -> None:
                for number in range(DIRTY):
                    application.execute(f"insert into t{number} (a, b) values (1, 'x')")

            def copied() -> None:  # what it must never do while somebody is connected: for the price only
                shutil.copyfile(template, folder / "copy.db")

            def deleted() -> None:
                target.execute("begin")
                for number in range(TABLES):
                    target.execute(f"delete from t{number}")
                target.execute("delete from sqlite_sequence")
                target.execute("commit")

            def created() -> None:
                with closing(databases.connect(folder / "new.db")) as connection:
                    connection.executescript(script)
                databases.remove(folder / "new.db")

            ways: dict[str, Callable[[], object]] = {
                "mintdb's rewind": clone.restore,
                "the backup call alone": lambda: databases.back_up(source, target),
                "a copy of the file": copied,
                "DELETE from all tables": deleted,
                "the schema created anew": created,
            }
            yield from compare("sqlite", ways, write, rounds)
            yield from compare("sqlite", {"mintdb's rewind, nothing written": clone.restore}, lambda: None, rounds)


def compare(
    engine: str, ways: Mapping[str, Callable[[], object]], write: Callable[[], object], rounds: int
) -> list[Figure]:
    """Time the ways in turn, each after the same writes; the first is what the others are compared with."""
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, act in ways.items():
            write()
            began = time.perf_counter()
            act()
            times[way].append((time.perf_counter() - began) * MILLISECONDS)
    medians = {way: statistics.median(found) for way, found in times.items()}
    first = next(iter(medians.values()))
    return [
        Figure(engine, way, medians[way], statistics.quantiles(found, n=20)[-1], medians[way] / first)
        for way, found in times.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    # Where mintdb's own files are: a disk would make the other ways look slower than they are.
    with tempfile.TemporaryDirectory(dir=SHM if SHM.is_dir() else None) as folder:
        figures = list(sqlite(arguments.rounds, Path(folder)))
    print(f"{'engine':12}{f'{DIRTY} of {TABLES} tables written':36}{'p50 ms':>10}{'p95 ms':>10}{'ratio':>10}")
    for one in figures:
        print(f"{one.engine:12}{one.way:36}{one.p50:10.2f}{one.p95:10.2f}{one.ratio:10.2f}")
    rewind, backup = (next(f for f in figures if f.way == way) for way in ("mintdb's rewind", "the backup call alone"))
    held = rewind.p50 <= SQLITE_BOUND and rewind.p50 <= SQLITE_RATIO * backup.p50
    print(f"sqlite: within {SQLITE_BOUND:g} ms and {SQLITE_RATIO:g} x the backup call: {'held' if held else 'MISSED'}")
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(one) for one in figures], indent=2))


if __name__ == "__main__":
    main()
