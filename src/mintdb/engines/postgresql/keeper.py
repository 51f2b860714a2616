"""The process that starts the embedded server, makes warm clones, drops old ones, and stops the server when unused.

One keeper runs for each embedded server, in a session of its own. Whoever needs the server first starts it; it tells
that process once whether the server runs, and outlives it: to clean up after a killed run is what it is there for.
It learns who uses the server from the server itself: who has a session there, holds it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mintdb.engines.account import find_account
from mintdb.engines.postgresql import postmaster
from mintdb.engines.postgresql.cluster import SUPERUSER, ClusterSettings, prepare
from mintdb.engines.postgresql.errors import LockTimeout, ServerDidNotStart
from mintdb.engines.processes import detach, is_alive
from mintdb.errors import MintdbError

if TYPE_CHECKING:
    from mintdb.engines.postgresql.maintenance import Maintenance

TICK = 0.5  # seconds between two looks at who is there; one look costs the server 0.3 ms
CHANNEL = "mintdb_keeper"
KEEPER_LOCK = "keeper"  # the advisory lock of a living keeper
KEPT = "keeper"  # owns what is to outlive the run that made it: alive, to everybody, as long as a keeper is
TEMPLATES_KEPT = 8  # of templates that nobody uses, the newest this many outlive a stop; 8 MB each and up


@dataclass(frozen=True)
class Errand:
    """What a keeper is told on its standard input."""

    settings: dict[str, Any]  # of ClusterSettings  # Any: as JSON gives it
    cache: str
    live: str
    data: str
    port: int
    password: str
    linger: float  # seconds without any session before the server is stopped


@dataclass(frozen=True)
class State:
    """What a running server's state file says, for processes that want to join it. Only the user can read it."""

    port: int
    sockets: str
    data: str
    postmaster: int
    keeper: int
    version: str

    @classmethod
    def find(cls, live: Path) -> State | None:
        """The state of the server that lives in `live`, if its process is there."""
        try:
            state = cls(**json.loads((live / "state.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return state if postmaster.find_postmaster(Path(state.data)) == state.postmaster else None

    def write(self, live: Path) -> None:
        """Replace the state file in one step."""
        new = live / "state.json.new"
        with os.fdopen(os.open(new, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w") as file:
            json.dump(asdict(self), file)
        new.replace(live / "state.json")


def main() -> None:
    """Read the errand, start or adopt the server, report in one line of JSON, and keep it until it is unused."""
    errand = Errand(**json.loads(sys.stdin.buffer.read()))
    if os.fork():  # the caller waits for this process only, and never has a child that it did not start itself
        os._exit(0)
    report = os.fdopen(os.dup(1), "w")
    detach(Path(errand.live) / "keeper.log")
    try:
        state = start_or_adopt(errand)
    except MintdbError as error:
        _tell(report, {"error": type(error).__name__, "facts": {k: str(v) for k, v in error.facts.items()}})
        return
    _tell(report, {"state": asdict(state)})
    keep(errand, state)


def start_or_adopt(errand: Errand) -> State:
    """A running server on the errand's data folder: one that lost its keeper, or a new one."""
    from filelock import FileLock

    live, data = Path(errand.live), Path(errand.data)
    # Who sent us may be killed, and its lock be free: the next process then sends another keeper at once.
    with FileLock(live / "starting"):
        running = State.find(live)
        state = replace(running, keeper=os.getpid()) if running else _start(errand, live, data)
        state.write(live)
    return state


def is_keeper(pid: int) -> bool:
    """Whether the process `pid` is a keeper: after its death another process may have its number."""
    if not is_alive(pid):
        return False
    try:
        return b"mintdb.engines.postgresql.keeper" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True


def keep(errand: Errand, state: State) -> None:
    """Serve the server's users until there has been none for the linger, then stop the server."""
    from filelock import FileLock, Timeout

    from mintdb.engines.postgresql.maintenance import Maintenance

    live, data = Path(errand.live), Path(errand.data)
    try:
        maintenance = Maintenance(_address(errand, state), owner=f"keeper {os.getpid()}")
        maintenance.acquire(KEEPER_LOCK, timeout=TICK)
        maintenance.acquire(f"run:{KEPT}", timeout=TICK)
        maintenance.owner = KEPT
    except LockTimeout:
        return  # another keeper adopted the server first
    except MintdbError:
        return  # the server went away between its start and now
    while True:
        serve_until_unused(
            maintenance, linger=errand.linger, is_used=lambda: bool(_users(maintenance) or (live / "pinned").exists())
        )
        lock = FileLock(live / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue  # somebody is joining just now
        with lock:
            if maintenance.connection.closed:
                break  # the server died, or somebody stopped it
            if _users(maintenance):
                continue
            _tidy_for_stop(maintenance)
            (newest,) = maintenance.row("select pg_walfile_name(pg_current_wal_insert_lsn())")
            maintenance.close()
            if postmaster.stop(data, state.postmaster):
                postmaster.shed_wal(data, newest)
            (live / "state.json").unlink(missing_ok=True)
        return


def _start(errand: Errand, live: Path, data: Path) -> State:
    account = find_account("postgres")
    settings = ClusterSettings(**errand.settings)
    sockets = live / "s"
    sockets.mkdir(mode=0o700, exist_ok=True)
    account.own(sockets)
    for attempt in (1, 2):
        binaries = prepare(data, settings, Path(errand.cache), errand.password, account)
        options = postmaster.StartOptions(data, sockets, errand.port, settings.parameters(), live / "server.log")
        try:
            pid = postmaster.start(binaries, options, account)
            break
        except ServerDidNotStart:
            # A data folder that a crash has spoilt is only a cache: begin again from a fresh one, once.
            spoilt = (data / "mintdb_used").exists()
            _remove(data)
            if attempt == 2 or not spoilt:
                raise
    (data / "mintdb_used").touch()
    return State(errand.port, str(sockets), str(data), pid, os.getpid(), (data / "PG_VERSION").read_text().strip())


def serve_until_unused(maintenance: Maintenance, *, linger: float, is_used: Callable[[], bool]) -> None:
    """Do what users ask for; return when it has not been used for `linger` s, or the server is gone."""
    import psycopg

    unused_since = time.monotonic()
    try:
        maintenance.run(f"listen {CHANNEL}")
        while True:
            _work_in_peace(maintenance)
            if is_used():
                unused_since = time.monotonic()
            elif time.monotonic() - unused_since >= linger:
                return
            next(iter(maintenance.connection.notifies(timeout=TICK, stop_after=1)), None)
    except (psycopg.Error, MintdbError):
        maintenance.close()


def _work_in_peace(maintenance: Maintenance) -> None:
    """Work; what fails is tried again at the next tick, for the server must not lose its keeper over it."""
    import psycopg

    try:
        _work(maintenance)
    except (psycopg.Error, MintdbError):
        if maintenance.connection.closed:
            raise
        traceback.print_exc()  # into keeper.log


def _work(maintenance: Maintenance) -> None:
    from mintdb.engines.postgresql import databases, warm

    databases.reap(maintenance)
    warm.stock(maintenance)


def _users(maintenance: Maintenance) -> int:
    (count,) = maintenance.row(
        "select count(*) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()"
    )
    return int(count)


def _tidy_for_stop(maintenance: Maintenance) -> None:
    """Leave the newest templates and one warm clone for each; the rest of what is unused goes."""
    from mintdb.core.names import Role, find_role
    from mintdb.engines.postgresql import databases

    templates = [
        name
        for (name,) in maintenance.rows("select name from databases order by used_at desc")
        if (parsed := find_role(name)) and parsed.role is Role.TEMPLATE
    ]
    kept = {find_role(name).fingerprint for name in templates[:TEMPLATES_KEPT]}  # type: ignore[union-attr]  # parsed above
    for made in databases.list_made(maintenance):
        parsed = find_role(made.name)
        if parsed is None or parsed.fingerprint not in kept:
            databases.drop(maintenance, made.name)


def _address(errand: Errand, state: State) -> Any:  # Any: Address, without importing it at the top
    from mintdb.address import Address

    return Address("postgresql", "postgres", state.sockets, state.port, SUPERUSER, errand.password)


def _tell(report: IO[str], message: dict[str, Any]) -> None:  # Any: as JSON takes it
    """Report to whoever sent us; it may have been killed meanwhile, and the server needs its keeper all the same."""
    with contextlib.suppress(OSError), report:
        report.write(json.dumps(message))


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
