"""What putting a database back costs on each engine, beside the other ways of doing it there, in one run.

    python benchmarks/engines.py [--rounds 200] [--mysql FOLDER] [--json FILE]

Every round writes to 3 of 50 tables, then each way puts back in turn: what the machine does meanwhile, it does to all.
MariaDB's ways run on three servers: mintdb's own, on tmpfs and with nothing that waits for a disk; one on tmpfs too,
with the switches that are usual for tests; and one with MariaDB's defaults, on this machine's disk. The last two are
what suites without mintdb have. Processor time is this program's and the servers' together: other programs disturb it
less than the clock, and it does not wait for a disk. MySQL is measured, on mintdb's own server only, where the folder
of its `mysqld` is named.
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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pymysql
from pymysql.constants import CLIENT

import mintdb
from mintdb.address import Address
from mintdb.engines.account import find_account
from mintdb.engines.mysql import mysqld
from mintdb.engines.mysql.binaries import find_binaries
from mintdb.engines.mysql.errors import BinariesNotFound
from mintdb.engines.places import SHM
from mintdb.engines.ports import find_free_port
from mintdb.engines.processes import clean_environment
from mintdb.engines.sqlite import databases

TABLES, DIRTY = 50, 3
MILLISECONDS, NANOSECONDS = 1000, 1_000_000_000
REWIND = "mintdb's rewind"
MYSQL_RATIOS = {"TRUNCATE of all tables": 20.0, "the schema created anew": 50.0}  # as promised
USUAL, DEFAULTS = ", usual test server", ", server with defaults"
COMPARED = {  # a way on the one server, and mintdb's rewind on the other
    "both on mintdb's own server": ("", ""),
    "both on a server with the usual switches, on tmpfs": (USUAL, USUAL),
    "both on a server with MariaDB's defaults": (DEFAULTS, DEFAULTS),
    "it on a server with the usual switches, on tmpfs, and the rewind on mintdb's own": (USUAL, ""),
    "it on a server with MariaDB's defaults, and the rewind on mintdb's own": (DEFAULTS, ""),
}
REACHABLE = ("--skip-name-resolve", "--bind-address=127.0.0.1")
USUAL_SWITCHES = (
    "--innodb-flush-log-at-trx-commit=2",
    "--innodb-doublewrite=0",
    "--innodb-flush-method=nosync",
    "--sync-binlog=0",
    "--performance-schema=OFF",
)
DISK = Path("/var/tmp")  # on a disk where there is one: the server makes a private folder below it
TMPFS = SHM if SHM.is_dir() else None
SQLITE_BOUND, SQLITE_RATIO = 3.0, 2.0  # ms p50, and times the backup call alone, as promised


@dataclass(frozen=True)
class Figure:
    """One line of the table, in milliseconds."""

    engine: str
    way: str
    p50: float
    p95: float
    cpu: float  # processor time, p50

    @classmethod
    def of(cls, engine: str, way: str, took: Sequence[float], computed: Sequence[float]) -> Figure:
        """Of what each round took."""
        p95 = statistics.quantiles(took, n=20)[-1]
        return cls(engine, way, statistics.median(took), p95, statistics.median(computed))


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
                REWIND: clone.restore,
                "the backup call alone": lambda: databases.back_up(source, target),
                "a copy of the file": copied,
                "DELETE from all tables": deleted,
                "the schema created anew": created,
            }
            yield from compare("sqlite", ways, write, rounds)
            yield from compare("sqlite", {"mintdb's rewind, nothing written": clone.restore}, lambda: None, rounds)


def mariadb(rounds: int, folder: Path) -> Iterator[Figure]:
    """A rewind beside the other ways, on all three servers."""
    with serve(USUAL_SWITCHES, TMPFS) as usual, serve((), DISK) as with_defaults:
        yield from mysql("mysql", {"": {}, USUAL: {"url": usual}, DEFAULTS: {"url": with_defaults}}, rounds, folder)


def mysql(engine: str, places: Mapping[str, Mapping[str, str]], rounds: int, folder: Path) -> Iterator[Figure]:
    """A rewind, DELETE from all tables, TRUNCATE of all, and the schema anew, on servers that settings lead to."""
    script = "\n".join(
        f"create table t{n} (id int auto_increment primary key, a int, b varchar(20), key (a));" for n in range(TABLES)
    )
    anew = f"drop database if exists mint_bench; create database mint_bench; use mint_bench; {script}"
    (folder / "schema.sql").write_text(script)
    settings: dict[str, Any] = {"engine": "mysql", "schema": "sql:schema.sql", "settle": 0}  # Any: see mintdb.open
    with ExitStack() as stack:
        written: list[tuple[Any, Any]] = []  # a clone, and connections to it and to the others' database
        ways: dict[str, Callable[[], object]] = {}
        for where, more in places.items():
            clone = stack.enter_context(mintdb.open(folder, **{**settings, **more})).open().pool.home
            application, other = (stack.enter_context(closing(connect(clone.address))) for _ in range(2))
            run_all(other, f"set foreign_key_checks = 0; {anew}")
            written.append((clone, (application, other)))
            ways |= {
                REWIND + where: clone.restore,
                f"DELETE from all tables{where}": on_all(other, "delete from"),
                f"TRUNCATE of all tables{where}": on_all(other, "truncate"),
                f"the schema created anew{where}": partial(run_all, other, anew),
            }

        def write() -> None:
            for clone, connections in written:
                clone.restore()  # from what was written for the way before
                for connection in connections:
                    for number in range(DIRTY):
                        run_all(connection, f"insert into t{number} (a, b) values (1, 'x')")

        servers = [pid_of(connections[0]) for _, connections in written]
        yield from compare(engine, ways, write, rounds, servers)
        nothing = {f"{REWIND}, nothing written": written[0][0].restore}
        yield from compare(engine, nothing, lambda: None, rounds, servers)
        for _, (_, other) in written:
            run_all(other, "drop database mint_bench")


def on_all(connection: Any, statement: str) -> Callable[[], None]:  # Any: see run_all
    """Run it on every table, in one packet."""
    return partial(run_all, connection, ";".join(f"{statement} mint_bench.t{n}" for n in range(TABLES)))


def connect(address: Address) -> Any:  # Any: see run_all
    """As an application connects that sends several statements in one packet."""
    return pymysql.connect(**address.params, autocommit=True, client_flag=CLIENT.MULTI_STATEMENTS)


def pid_of(connection: Any) -> int:  # Any: see run_all
    """The server's."""
    with connection.cursor() as cursor:
        cursor.execute("select @@pid_file")
        ((file,),) = cursor.fetchall()
    return int(Path(file).read_text())


def computed_by(servers: Iterable[int]) -> float:
    """Seconds that servers have computed, all their threads together."""
    total = 0
    for thread in (each for pid in servers for each in Path(f"/proc/{pid}/task").glob("*/schedstat")):
        with suppress(OSError):  # it has ended meanwhile
            total += int(thread.read_text().split()[0])
    return total / NANOSECONDS


@contextmanager
def serve(switches: Iterable[str], below: Path | None) -> Iterator[str]:
    """The URL of a MariaDB server that mintdb does not know, with its data in a folder `below` that one."""
    binaries, account, password = find_binaries(), find_account("mysql"), secrets.token_urlsafe(12)
    port = find_free_port(f"benchmark {below}")
    assert port is not None, "no free port"
    with tempfile.TemporaryDirectory(dir=below) as name:
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
        arguments = [*REACHABLE, *switches]
        where = mysqld.StartOptions(folder / "data", folder / "s", port, arguments, password, folder / "server.log")
        server = mysqld.start(binaries, where, account)
        try:
            yield f"mysql://root:{password}@127.0.0.1:{port}/mysql?ssl_disabled=true"
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
        return find_binaries().is_mariadb
    except BinariesNotFound as missing:
        print(missing)
        return False


def held(engine: str, promise: str, *, kept: bool) -> None:
    """Say whether a promise was kept."""
    print(f"{engine}: {promise}: {'held' if kept else 'MISSED'}")


def compare(
    engine: str,
    ways: Mapping[str, Callable[[], object]],
    write: Callable[[], object],
    rounds: int,
    servers: Iterable[int] = (),
) -> list[Figure]:
    """Time the ways in turn, each after the same writes; the first is what the others are compared with."""
    times: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for number in range(rounds):
        # In an order that differs: who follows a long one finds its share of the processor used up.
        for way, act in random.Random(number).sample(list(ways.items()), len(ways)):
            write()
            theirs, own, began = computed_by(servers), time.process_time(), time.perf_counter()
            act()
            took, own = time.perf_counter() - began, time.process_time() - own
            times[way].append((took * MILLISECONDS, (own + computed_by(servers) - theirs) * MILLISECONDS))
    return [Figure.of(engine, way, *zip(*found, strict=True)) for way, found in times.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--mysql", metavar="FOLDER", help="where MySQL's mysqld is")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    # Where mintdb's own files are: a disk would make the other ways look slower than they are.
    with tempfile.TemporaryDirectory(dir=TMPFS) as folder:
        figures = list(sqlite(arguments.rounds, Path(folder)))
        rounds = max(20, arguments.rounds // 10)
        if has_mariadb():
            figures += mariadb(rounds, Path(folder))
        if arguments.mysql:
            figures += mysql("MySQL", {"": {"binaries": arguments.mysql}}, rounds, Path(folder))
    found = {(one.engine, one.way): one for one in figures}
    heads = ("p50 ms", "p95 ms", "ratio", "cpu ms", "ratio")
    print(f"{'engine':10}{f'{DIRTY} of {TABLES} tables written':50}" + "".join(f"{each:>9}" for each in heads))
    for one in figures:
        base = found[one.engine, REWIND]
        numbers = one.p50, one.p95, one.p50 / base.p50, one.cpu, one.cpu / base.cpu
        print(f"{one.engine:10}{one.way:50}" + "".join(f"{each:9.2f}" for each in numbers))
    judge_sqlite(found)
    judge_mysql(found)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(one) for one in figures], indent=2))


def judge_sqlite(found: Mapping[tuple[str, str], Figure]) -> None:
    """What was promised of SQLite."""
    rewind, backup = found["sqlite", REWIND].p50, found["sqlite", "the backup call alone"].p50
    promise = f"within {SQLITE_BOUND:g} ms and {SQLITE_RATIO:g} x the backup call"
    held("sqlite", promise, kept=rewind <= SQLITE_BOUND and rewind <= SQLITE_RATIO * backup)


def judge_mysql(found: Mapping[tuple[str, str], Figure]) -> None:
    """What was promised of MariaDB, and where it holds."""
    for place, (theirs, ours) in COMPARED.items() if ("mysql", REWIND) in found else ():
        for way, ratio in MYSQL_RATIOS.items():
            one, rewind = found["mysql", way + theirs], found["mysql", REWIND + ours]
            told = f"{way} {one.p50 / rewind.p50:.1f} x a rewind, {one.cpu / rewind.cpu:.1f} x in processor time"
            held("mysql", f"{place}: {told}; promised {ratio:g} x", kept=one.p50 / rewind.p50 >= ratio)


if __name__ == "__main__":
    main()
