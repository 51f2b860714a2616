"""The process that starts the embedded server, drops what dead runs have left, and stops the server when unused.

One keeper runs for each server, in a session of its own. Whoever needs the server first starts it; it tells that
process once whether the server runs, and outlives it: to clean up after a killed run is what it is there for. It learns
who uses the server from the server itself: who has a session there, holds it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import time
import traceback
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any

import pymysql
from filelock import FileLock, Timeout

from mintdb.address import Address
from mintdb.engines.account import find_account
from mintdb.engines.mysql import databases, mysqld
from mintdb.engines.mysql.datafolder import LOG_NAME, SUPERUSER, ServerSettings, prepare
from mintdb.engines.mysql.errors import LockTimeout, ServerDidNotStart
from mintdb.engines.mysql.maintenance import Maintenance
from mintdb.engines.processes import detach, is_alive
from mintdb.errors import MintdbError

ACCOUNT = "mysql"  # what Debian's package brings
JOINING = 10.0  # seconds that a process may take to join a server that answers
TICK = 0.5  # seconds between two looks at who is there; one look costs the server 0.3 ms
KEEPER_LOCK = "keeper"  # the lock of a living keeper
KEPT_FOR = 8 * 3600.0  # seconds that the server stays for a database that somebody wants to look at
TEMPLATES_KEPT = 8  # of templates that nobody uses, the newest this many outlive a stop
LOGS_KEPT = 4  # files of 64 MB: a rewind reads what one test has written
USERS = "select count(*) from information_schema.processlist where command <> 'Daemon' and id <> connection_id()"
USED = "mintdb-used"  # a file in a data folder that a server has run on


@dataclass(frozen=True)
class Errand:
    """What a keeper is told on its standard input."""

    settings: dict[str, Any]  # of ServerSettings  # Any: as JSON gives it
    cache: str
    live: str
    data: str
    port: int
    password: str
    linger: float  # seconds without any session before the server is stopped

    def address(self) -> Address:
        """As the keeper reaches the server."""
        return Address("mysql", "", str(socket_in(Path(self.live))), self.port, SUPERUSER, self.password)


@dataclass(frozen=True)
class State:
    """What a running server's state file says, for processes that want to join it. Only the user can read it."""

    engine: str
    port: int
    data: str
    server: int
    keeper: int

    @classmethod
    def find(cls, live: Path) -> State | None:
        """The state of the server that lives in `live`, if its process is there."""
        try:
            state = cls(**json.loads((live / "state.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return state if mysqld.is_server(state.server) else None

    def write(self, live: Path) -> None:
        """Replace the state file in one step."""
        new = live / "state.json.new"
        with os.fdopen(os.open(new, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w") as file:
            json.dump(asdict(self), file)
        new.replace(live / "state.json")


def socket_in(live: Path) -> Path:
    """The server's socket. A path of more than some 100 bytes could not be one."""
    return live / "s" / "mysql"


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
    live = Path(errand.live)
    # Who sent us may be killed, and its lock be free: the next process then sends another keeper at once.
    with FileLock(live / "starting"):
        running = State.find(live)
        state = replace(running, keeper=os.getpid()) if running else _start(errand, live, Path(errand.data))
        state.write(live)
    return state


def is_keeper(pid: int) -> bool:
    """Whether the process `pid` is a keeper: after its death another process may have its number."""
    if not is_alive(pid):
        return False
    try:
        return b"mintdb.engines.mysql.keeper" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True


def keep(errand: Errand, state: State) -> None:
    """Serve the server's users until there has been none for the linger, then stop the server."""
    live = Path(errand.live)
    try:
        maintenance = Maintenance(errand.address(), owner=f"keeper {os.getpid()}")
        maintenance.acquire(KEEPER_LOCK, timeout=TICK)
    except LockTimeout:
        return  # another keeper adopted the server first
    except MintdbError:  # nobody can use it, a node of a cluster for one; or it is gone already
        with contextlib.suppress(Timeout, OSError), FileLock(live / "lock", timeout=JOINING):
            pass  # whoever is joining just now is to hear what is wrong with it, not that it went away
        mysqld.stop(state.server)
        return
    while True:
        _serve_until_unused(maintenance, linger=errand.linger)
        try:
            with FileLock(live / "lock", timeout=0):
                if _is_still_used(maintenance):
                    continue
                _stop(maintenance, live, state)
        except Timeout:
            continue  # somebody is joining just now
        except OSError:  # the folder is gone, and nobody can find the server any more
            _stop(maintenance, live, state)
        return


def _stop(maintenance: Maintenance, live: Path, state: State) -> None:
    with contextlib.suppress(pymysql.MySQLError, MintdbError):
        _tidy_for_stop(maintenance)
    maintenance.close()
    mysqld.stop(state.server)
    (live / "state.json").unlink(missing_ok=True)


def _start(errand: Errand, live: Path, data: Path) -> State:
    account = find_account(ACCOUNT)
    settings = ServerSettings(**errand.settings)
    path = socket_in(live)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    account.own(path.parent)
    for attempt in (1, 2):
        binaries = prepare(data, settings, Path(errand.cache), account)
        _forget_logs(data)
        options = mysqld.StartOptions(
            data, path, errand.port, settings.arguments(), errand.password, live / "server.log"
        )
        try:
            pid = mysqld.start(binaries, options, account)
            break
        except ServerDidNotStart:
            # A data folder that a crash has spoilt is only a cache: begin again from a fresh one, once.
            spoilt = (data / USED).exists()
            shutil.rmtree(data, ignore_errors=True)
            if attempt == 2 or not spoilt:
                raise
    (data / USED).touch()
    return State("mysql", errand.port, str(data), pid, os.getpid())


def _forget_logs(data: Path) -> None:
    """Nobody's mark is in the log of a server that has stopped."""
    for file in data.glob(f"{LOG_NAME}.*"):
        file.unlink()


def _serve_until_unused(maintenance: Maintenance, *, linger: float) -> None:
    """Clear up; return when the server has not been used for `linger` s, or is gone."""
    unused_since = time.monotonic()
    while maintenance.session.is_open():
        try:
            _work(maintenance)
            if _is_used(maintenance):
                unused_since = time.monotonic()
        except (pymysql.MySQLError, MintdbError):
            if not maintenance.session.is_open():
                return
            traceback.print_exc()  # into keeper.log; it is tried again at the next tick
        if time.monotonic() - unused_since >= linger:
            return
        time.sleep(TICK)


def _work(maintenance: Maintenance) -> None:
    databases.reap(maintenance)
    logs = [each for each, *_ in maintenance.rows("show binary logs")]
    if len(logs) > LOGS_KEPT:
        maintenance.session.try_run(f"purge binary logs to '{logs[-LOGS_KEPT]}'")


def _is_used(maintenance: Maintenance) -> bool:
    (users,) = maintenance.session.row(USERS)
    return users > 0 or databases.keeps_any(maintenance, seconds=KEPT_FOR)


def _is_still_used(maintenance: Maintenance) -> bool:
    """A server that cannot answer, its data folder removed for one, is of no use to anybody."""
    try:
        return maintenance.session.is_open() and _is_used(maintenance)
    except (pymysql.MySQLError, MintdbError):
        return False


def _tidy_for_stop(maintenance: Maintenance) -> None:
    """Leave the newest templates; the rest goes."""
    made = databases.list_made(maintenance)
    templates = [each.name for each in made if each.sealed][:TEMPLATES_KEPT]
    for each in made:
        if each.name not in templates:
            databases.drop(maintenance, each.name)


def _tell(report: IO[str], message: dict[str, Any]) -> None:  # Any: as JSON takes it
    """Report to whoever sent us; it may have been killed meanwhile, and the server needs its keeper all the same."""
    with contextlib.suppress(OSError), report:
        report.write(json.dumps(message))
