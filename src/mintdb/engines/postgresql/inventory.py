"""What embedded servers this user has running, what is on them, and who uses them; and how to keep or stop one."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mintdb.address import Address
from mintdb.contract import Session
from mintdb.core.names import Role, new_token
from mintdb.engines.keeper import LOCK, STATE, State
from mintdb.engines.places import find_places, read_password
from mintdb.engines.postgresql import databases, postmaster, sessions
from mintdb.engines.postgresql.errors import DatabaseNotOurs, LockTimeout, NameBusy, ServerInUse
from mintdb.engines.postgresql.keeper import find_state
from mintdb.engines.postgresql.maintenance import APPLICATION, Maintenance, has_registry
from mintdb.engines.postgresql.own import own_address
from mintdb.engines.processes import wait_until_gone
from mintdb.errors import ServerError
from mintdb.facts import dataclass
from mintdb.locks import StillLocked, locked

if TYPE_CHECKING:
    from mintdb.engines.postgresql.databases import Made

LOCK_TIMEOUT = 30.0  # seconds; who joins a server holds the lock for as long as a start takes
KEEPER_TIMEOUT = 5.0  # seconds; a keeper notices within one tick that its server has gone
RUN = re.compile(rf"{APPLICATION} run (?P<owner>\w+) \(process (?P<process>\d+)\)")


@dataclass(frozen=True)
class Running:
    """One embedded server that runs now, and the folder of its live state."""

    live: Path
    state: State

    @property
    def pinned(self) -> bool:
        """Whether it stays although nobody uses it."""
        return (self.live / "pinned").exists()

    def address(self, database: str = "postgres") -> Address:
        """Where mintdb itself connects."""
        return own_address(self.state.sockets, self.state.port, read_password(find_places()), database)


@dataclass(frozen=True)
class Run:
    """A live process that uses a server through mintdb."""

    owner: str
    process: int


@dataclass(frozen=True)
class Contents:
    """What is on a server at this moment."""

    version: str
    since: datetime
    runs: Sequence[Run]
    made: Sequence[Made]

    def names(self, role: Role, *, kept: bool = False) -> list[str]:
        """The databases of one role; those that outlive their run only with `kept`."""
        return [made.name for made in self.made if made.role is role and (made.owner == databases.KEPT) == kept]


def observe(address: Address) -> Maintenance:
    """A session of somebody who looks: not named as runs are, for who looks does not use the server."""
    return Maintenance(address, owner=f"look-{new_token()}")


def find_running() -> list[Running]:
    """The servers of this user, on this machine and in this namespace."""
    return [
        Running(live, state) for live in sorted(find_places().live.iterdir()) if (state := find_state(live)) is not None
    ]


def find_by_port(port: int) -> Running | None:
    """The running server that listens on `port`."""
    return next((running for running in find_running() if running.state.port == port), None)


def look(running: Running) -> Contents:
    """What is on a server. Raises a ServerError if it goes away in this moment."""
    with _looking(running) as maintenance:
        (since,) = maintenance.row("select pg_postmaster_start_time()")
        version = str(maintenance.version).split()[0]
        return Contents(version, since, _runs(maintenance), databases.list_made(maintenance))


def data_size(running: Running) -> int:
    """Bytes that a server's data folder takes; what is removed meanwhile does not count."""
    return sum(_size(Path(folder, name)) for folder, _, names in os.walk(running.state.data) for name in names)


def connected(running: Running, database: str) -> list[Session]:
    """Who is connected to a database."""
    with _looking(running) as maintenance:
        return sessions.list_sessions(maintenance, database)


def pin(running: Running) -> None:
    """Let a server stay although nobody uses it, until `stop`."""
    (running.live / "pinned").touch()


def keep(running: Running, database: str) -> None:
    """Let a database of ours outlive its run: it belongs to the server's keeper now, and goes with `stop`."""
    pin(running)
    with _looking(running) as maintenance:
        maintenance.run("update databases set owner = %s where name = %s", databases.KEPT, database)


def give_away(address: Address) -> None:
    """Forget that a database on an external server is ours: it stays, and whoever kept it may drop it."""
    maintenance = observe(address)
    try:
        maintenance.run("delete from databases where name = %s", address.database)
    finally:
        maintenance.close()


def make_anew(address: Address) -> None:
    """Drop a database that mintdb made, and make it again, empty.

    A server without a registry of mintdb's gets none by being asked. Raises DatabaseNotOurs, and NameBusy where the
    database is a live run's.
    """
    name = address.database
    if not has_registry(address):
        raise DatabaseNotOurs(name=name, url=address.redacted)
    maintenance = Maintenance(address, owner=f"look-{new_token()}")
    try:
        if not databases.is_ours(maintenance, name):
            raise DatabaseNotOurs(name=name, url=address.redacted)
        (owner,) = maintenance.row("select owner from databases where name = %s", name)
        if owner != databases.KEPT and maintenance.is_alive(owner):
            raise NameBusy(name=name, seconds=0, holder=f" by run {owner}")
        databases.drop(maintenance, name)
        databases.create(maintenance, name, template="template0", owner=owner)
    finally:
        maintenance.close()


def stop(running: Running, *, force: bool = False) -> Sequence[Run]:
    """Unpin a server, drop what was kept on it and stop it; returns the runs that this ended.

    One that has stopped meanwhile, or has made room for another, is left as it is. Raises ServerInUse, and does
    nothing, where live runs use it, unless `force`. By force it also stops a server that does not let mintdb in, and
    removes its data.
    """
    import psycopg

    with _nobody_joins(running):
        state = find_state(running.live)
        if state is None or state.server != running.state.server:  # its keeper was quicker
            return ()
        try:
            runs = _clear(running, force=force)
        except (psycopg.Error, ServerError) as error:
            if isinstance(error, ServerInUse) or not force:
                raise
            runs = None
        (running.live / "pinned").unlink(missing_ok=True)
        postmaster.stop(Path(running.state.data), running.state.server)
        (running.live / STATE).unlink(missing_ok=True)
        if runs is None:  # what it does not let us in to will be begun anew
            shutil.rmtree(running.state.data, ignore_errors=True)
    wait_until_gone(running.state.keeper, KEEPER_TIMEOUT)
    return runs or ()


def _clear(running: Running, *, force: bool) -> Sequence[Run]:
    """Drop what was kept on a server that is to be stopped; returns the runs that use it."""
    with _looking(running) as maintenance:
        runs = _runs(maintenance)
        if runs and not force:
            names = ", ".join(f"{run.owner} (process {run.process})" for run in runs)
            raise ServerInUse(port=running.state.port, runs=names)
        for made in databases.list_made(maintenance):
            if made.owner == databases.KEPT:
                databases.drop(maintenance, made.name)
        return runs


@contextmanager
def _looking(running: Running) -> Iterator[Maintenance]:
    maintenance = observe(running.address())
    try:
        yield maintenance
    finally:
        maintenance.close()


def _runs(maintenance: Maintenance) -> list[Run]:
    found: list[Any] = maintenance.rows(
        "select application_name from pg_stat_activity where pid <> pg_backend_pid() order by backend_start"
    )
    matches = (RUN.fullmatch(application) for (application,) in found)
    return [Run(m["owner"], int(m["process"])) for m in matches if m]


@contextmanager
def _nobody_joins(running: Running) -> Iterator[None]:
    try:
        with locked(running.live / LOCK, timeout=LOCK_TIMEOUT):
            yield
    except StillLocked:
        raise LockTimeout(what=f"the server in {running.live}", seconds=LOCK_TIMEOUT, holder="") from None


def _size(file: Path) -> int:
    try:
        return file.stat().st_size if file.is_file() else 0
    except OSError:  # dropped since it was listed
        return 0
