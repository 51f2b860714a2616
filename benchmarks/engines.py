"""What putting a database back costs on each engine, beside the other ways of doing it there, in one run.

    python benchmarks/engines.py [--rounds 200] [--json FILE]

Every round writes to 3 of 50 tables, then each way puts back in turn: what the machine does meanwhile, it does to all.
MariaDB's other ways run twice: on mintdb's own server, on tmpfs and with nothing that waits for a disk; and on a server
with its own defaults, on this machine's disk, which is where a suite without mintdb runs them.
"""

from __future__ import annotations

import argparse
import json
import random
import secrets
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pymysql
from pymysql.constants import CLIENT

import mintdb
from mintdb.engines.account import find_account
from mintdb.engines.mysql import mysqld
from mintdb.engines.mysql.binaries import find_binaries
from mintdb.engines.mysql.errors import BinariesNotFound
from mintdb.engines.places import SHM
from mintdb.engines.ports import find_free_port
from mintdb.engines.processes import clean_environment
from mintdb.engines.sqlite import databases

TABLES, DIRTY = 50, 3
MILLISECONDS = 1000
MYSQL_RATIOS = {"TRUNCATE of all tables": 20.0, "the schema created anew": 50.0}  # as promised
DEFAULTS = ", server with defaults"
DISK = "/var/tmp"  # on a disk where there is one: the server makes a private folder below it
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


def mysql(rounds: int, folder: Path) -> Iterable[Figure]:
    """A rewind, DELETE from all tables, TRUNCATE of all, and the schema anew, over one session."""
    script = "\n".join(
        f"create table t{n} (id int auto_increment primary key, a int, b varchar(20), key (a));" for n in range(TABLES)
    )
    anew = f"create or replace database mint_bench; use mint_bench; {script}"
    (folder / "schema.sql").write_text(script)
    with mintdb.open(folder, engine="mysql", schema="sql:schema.sql", settle=0) as mint, with_defaults() as installed:
        clone = mint.open().pool.home
        options = {"autocommit": True, "client_flag": CLIENT.MULTI_STATEMENTS}
        with closing(clone.connect(**options)) as application, closing(clone.connect(**options)) as other:
            run_all(installed, anew)

            def write() -> None:
                clone.restore()  # from what the way before has left
                for connection in (application, installed):
                    for number in range(DIRTY):
                        run_all(connection, f"insert into t{number} (a, b) values (1, 'x')")

            def ways_on(connection: Any, database: str) -> dict[str, Callable[[], object]]:  # Any: see run_all
                def on_all(statement: str) -> Callable[[], None]:
                    packet = ";".join(f"{statement} {database}.t{n}" for n in range(TABLES))
                    return lambda: run_all(connection, packet)

                run_all(connection, "set foreign_key_checks = 0")
                return {
                    "DELETE from all tables": on_all("delete from"),
                    "TRUNCATE of all tables": on_all("truncate"),
                    "the schema created anew": lambda: run_all(connection, anew),
                }

            ways: dict[str, Callable[[], object]] = {
                "mintdb's rewind": clone.restore,
                **ways_on(other, clone.address.database),
                **{way + DEFAULTS: act for way, act in ways_on(installed, "mint_bench").items()},
            }
            yield from compare("mysql", ways, write, rounds)
            yield from compare("mysql", {"mintdb's rewind, nothing written": clone.restore}, lambda: None, rounds)
            run_all(other, "drop database mint_bench")


@contextmanager
def with_defaults() -> Iterator[Any]:  # Any: a PyMySQL connection
    """A connection to a MariaDB server that nobody has tuned, with its data on this machine's disk."""
    binaries, account, password = find_binaries(), find_account("mysql"), secrets.token_urlsafe(12)
    port = find_free_port("benchmark")
    assert port is not None, "no free port"
    with tempfile.TemporaryDirectory(dir=DISK) as name:
        folder = Path(name)
        account.own(folder)
        install: list[str | Path] = [
            binaries.install,
            "--no-defaults",
            f"--datadir={folder / 'data'}",
            "--skip-test-db",
        ]
        done = account.run([*install, "--auth-root-authentication-method=normal"], env=clean_environment(), timeout=120)
        assert done.returncode == 0, done.stderr
        arguments = ["--skip-name-resolve", "--bind-address=127.0.0.1"]
        where = mysqld.StartOptions(folder / "data", folder / "s", port, arguments, password, folder / "server.log")
        server = mysqld.start(binaries, where, account)
        try:
            login = {"host": "127.0.0.1", "port": port, "user": "root", "password": password, "ssl_disabled": True}
            with closing(pymysql.connect(**login, autocommit=True, client_flag=CLIENT.MULTI_STATEMENTS)) as connection:
                yield connection
        finally:
            mysqld.stop(server)


def run_all(connection: Any, packet: str) -> None:  # Any: a PyMySQL connection
    """Run statements in one packet."""
    with connection.cursor() as cursor:
        cursor.execute(packet)
        while cursor.nextset():
            pass


def has_mariadb() -> bool:
    """Whether there is a server to measure."""
    try:
        find_binaries()
    except BinariesNotFound as missing:
        print(missing)
        return False
    return True


def held(engine: str, promise: str, *, kept: bool) -> None:
    """Say whether a promise was kept."""
    print(f"{engine}: {promise}: {'held' if kept else 'MISSED'}")


def compare(
    engine: str, ways: Mapping[str, Callable[[], object]], write: Callable[[], object], rounds: int
) -> list[Figure]:
    """Time the ways in turn, each after the same writes; the first is what the others are compared with."""
    times: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds):
        # In an order that differs: who follows a long one finds its share of the processor used up.
        for way, act in random.Random(number).sample(list(ways.items()), len(ways)):
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
        if has_mariadb():
            figures += mysql(max(20, arguments.rounds // 10), Path(folder))
    print(f"{'engine':12}{f'{DIRTY} of {TABLES} tables written':50}{'p50 ms':>10}{'p95 ms':>10}{'ratio':>10}")
    for one in figures:
        print(f"{one.engine:12}{one.way:50}{one.p50:10.2f}{one.p95:10.2f}{one.ratio:10.2f}")
    found = {(one.engine, one.way): one for one in figures}
    rewind, backup = found["sqlite", "mintdb's rewind"].p50, found["sqlite", "the backup call alone"].p50
    promise = f"within {SQLITE_BOUND:g} ms and {SQLITE_RATIO:g} x the backup call"
    held("sqlite", promise, kept=rewind <= SQLITE_BOUND and rewind <= SQLITE_RATIO * backup)
    for way, ratio in MYSQL_RATIOS.items():
        for where in ("", DEFAULTS):
            if figure := found.get(("mysql", way + where)):
                held("mysql", f"{ratio:g} x faster than {way}{where}", kept=figure.ratio >= ratio)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(one) for one in figures], indent=2))


if __name__ == "__main__":
    main()
