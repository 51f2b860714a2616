"""Start and stop one PostgreSQL server process on a prepared data folder."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from pathlib import Path

from mintdb.engines import starting
from mintdb.engines.account import Account
from mintdb.engines.postgresql.binaries import Binaries
from mintdb.engines.postgresql.errors import PortInUse, ServerDidNotStart
from mintdb.engines.processes import runs_program, wait_until_buried, wait_until_gone
from mintdb.engines.starting import Stillborn, read_log, tail
from mintdb.facts import dataclass

PROGRAM = "postgres"
STOP_TIMEOUT = 20.0  # seconds; 0.1 usually, then the server is stopped without a checkpoint
BURIAL = 5.0  # seconds; a keeper, or the system, looks for its dead children many times a second
WAL_FILE = re.compile("[0-9A-F]{24}")  # timeline, and the number of its 16 MB
STATUS_LINE = 7  # of postmaster.pid: "ready" once connections are accepted (LOCK_FILE_LINE_PM_STATUS - 1)


@dataclass(frozen=True)
class StartOptions:
    """Where a server listens and what it is told."""

    data: Path
    sockets: Path
    port: int
    parameters: dict[str, str]
    log: Path


def start(binaries: Binaries, options: StartOptions, account: Account) -> int:
    """Start the server in a session of its own and return its pid once it accepts connections.

    Raises PortInUse or ServerDidNotStart, with the log's last lines; then no process is left.
    """
    argv = [str(binaries.program(PROGRAM)), "-D", str(options.data), "-p", str(options.port)]
    for name, value in {**options.parameters, "unix_socket_directories": str(options.sockets)}.items():
        argv += ["-c", f"{name}={value}"]
    try:
        return starting.start(argv, log=options.log, account=account, is_ready=lambda pid: is_ready(options.data, pid))
    except Stillborn as error:
        raise _did_not_start(options, str(error)) from None


def stop(data: Path, pid: int) -> bool:
    """Stop the server: sessions are ended, a checkpoint is written; returns when the process is gone.

    False where it had to be made to: then there was no checkpoint.
    """
    _signal(pid, signal.SIGINT)
    if wait_until_gone(pid, STOP_TIMEOUT):
        return True
    _signal(pid, signal.SIGQUIT)
    wait_until_gone(pid, STOP_TIMEOUT)
    return False


def shed_wal(data: Path, newest: str) -> None:
    """Remove the WAL files before `newest` of a server that stopped with a checkpoint: on tmpfs they are memory.

    It keeps up to `wal_keep_size` of them for rewinds, and needs none of them to start.
    """
    for file in (data / "pg_wal").iterdir():
        if WAL_FILE.fullmatch(file.name) and file.name < newest:
            file.unlink(missing_ok=True)


def find_postmaster(data: Path) -> int | None:
    """The pid of the server that runs on `data`, or None. A pid file alone proves nothing: the process must live."""
    lines = _pid_file(data)
    if not lines or not lines[0].strip().isdigit():
        return None
    pid = int(lines[0])
    return pid if runs_program(pid, PROGRAM) else None


def is_ready(data: Path, pid: int) -> bool:
    """Whether the server `pid` accepts connections."""
    lines = _pid_file(data)
    return len(lines) > STATUS_LINE and lines[0].strip() == str(pid) and lines[STATUS_LINE].strip() == "ready"


def clear_up(data: Path, sockets: Path) -> None:
    """Leave nothing of a server that was killed in the way of the next, which takes a zombie for a living one.

    Only for who knows that no server runs on the folder.
    """
    locks = list(sockets.glob(".s.PGSQL.*.lock"))
    for lock in (data / "postmaster.pid", *locks):
        first = lock.read_text().partition("\n")[0].strip() if lock.exists() else ""
        if first.isdigit():
            wait_until_buried(int(first), BURIAL)
    for lock in locks:
        lock.unlink(missing_ok=True)


def _pid_file(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return []


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _did_not_start(options: StartOptions, why: str) -> ServerDidNotStart | PortInUse:
    lines = read_log(options.log)
    if any("could not bind" in line and "in use" in line for line in lines):
        return PortInUse(port=options.port)
    return ServerDidNotStart(why=why, log=options.log, tail=tail(lines))
