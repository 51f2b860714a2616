"""See what a home's server, keeper and folders look like from outside, as the operating system has it."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import psutil
import psycopg

from mintdb.core.names import Role, find_role
from mintdb.engines.keeper import State
from mintdb.engines.places import find_places, read_password
from mintdb.engines.postgresql.keeper import find_state
from tests.waiting import PATIENCE, wait_for


def state() -> State | None:
    """The one running server of this home."""
    found = [s for folder in find_places().live.iterdir() if (s := find_state(folder))]
    assert len(found) < 2, found
    return found[0] if found else None


def processes() -> list[str]:
    """Everything that runs for this home: servers with their children, keepers, initdb, interpreters."""
    home, live = os.environ["MINTDB_CACHE_DIR"], str(find_places().live)
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "status", "environ"]):
        line = " ".join(process.info["cmdline"] or [])
        if process.info["status"] != psutil.STATUS_ZOMBIE and (live in line or home in line):
            found.append(f"{process.info['pid']} {line}")
    known = state()
    return found + ([f"{known.keeper} keeper"] if known and psutil.pid_exists(known.keeper) else [])


def databases() -> list[str]:
    """The databases of the server if it runs, PostgreSQL's own and mintdb's registry left out."""
    running = state()
    if not running:
        return []
    with (
        contextlib.suppress(psycopg.OperationalError),
        psycopg.connect(
            host=running.sockets,
            port=running.port,
            user="postgres",
            password=read_password(find_places()),
            dbname="postgres",
            application_name="watching",
        ) as connection,
    ):
        names = connection.execute("select datname from pg_database where datname !~ '^(template|postgres$|mintdb$)'")
        return sorted(name for (name,) in names)
    return []  # it is stopping just now


def leftovers() -> list[str]:
    """What a run has left in the server that its successors do not use."""
    wanted = (Role.TEMPLATE, Role.WARM)
    return [name for name in databases() if not ((parsed := find_role(name)) and parsed.role in wanted)]


def half_made() -> list[str]:
    """Folders and files that are only there while something is being made."""
    places = find_places()
    return [str(path) for root in (places.cache, places.live) for path in root.rglob("building-*")]


def kill(pid: int) -> None:
    """End one process without a warning."""
    os.kill(pid, signal.SIGKILL)


def server_stops(*, linger: float) -> None:
    """Wait until nothing runs for this home any more; a state file may not outlive the server either."""
    wait_for(lambda: not processes(), f"an end of {processes()}", seconds=linger + PATIENCE)
    # The keeper takes the file away once the server is gone, an instant later.
    wait_for(lambda: not [*Path(find_places().live).rglob("state.json")], "the end of the state file")
