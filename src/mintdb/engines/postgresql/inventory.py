"""What embedded servers this user has running, what is on them, and who uses them; and how to keep or stop one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from mintdb.address import Address
from mintdb.contract import Session
from mintdb.core.names import Role, new_token
from mintdb.engines import running as servers
from mintdb.engines.places import find_places, read_password
from mintdb.engines.postgresql import databases, postmaster, sessions
from mintdb.engines.postgresql.connecting import APPLICATION
from mintdb.engines.postgresql.errors import DatabaseNotOurs, NameBusy
from mintdb.engines.postgresql.keeper import find_state, tidy
from mintdb.engines.postgresql.maintenance import Maintenance, has_registry
from mintdb.engines.postgresql.own import own_address
from mintdb.engines.running import Contents, Run, Running
from mintdb.errors import ServerError

RUN = re.compile(rf"{APPLICATION} run (?P<owner>\w+) \(process (?P<process>\d+)\)")


def address_of(running: Running, database: str = "postgres") -> Address:
    """Where mintdb itself connects."""
    return own_address(running.state.sockets, running.state.port, read_password(find_places()), database)


def observe(address: Address) -> Maintenance:
    """A session of somebody who looks: not named as runs are, for who looks does not use the server."""
    return Maintenance(address, owner=f"look-{new_token()}")


def find_running() -> list[Running]:
    """See engines.running.Inventory."""
    return servers.find_all(find_state)


def find_by_port(port: int) -> Running | None:
    """The running server that listens on `port`."""
    return next((running for running in find_running() if running.state.port == port), None)


def look(running: Running) -> Contents:
    """See engines.running.Inventory."""
    with _looking(running) as maintenance:
        (since,) = maintenance.row("select pg_postmaster_start_time()")
        product = f"PostgreSQL {str(maintenance.version).split()[0]}"
        made = databases.list_made(maintenance)

        def names(role: Role, *, kept: bool = False) -> list[str]:
            return [each.name for each in made if each.role is role and (each.owner == databases.KEPT) == kept]

        clones, kept = names(Role.CLONE), names(Role.CLONE, kept=True)
        return Contents(product, since, _runs(maintenance), names(Role.TEMPLATE), clones, kept)


def connected(running: Running, database: str) -> list[Session]:
    """Who is connected to a database."""
    with _looking(running) as maintenance:
        return sessions.list_sessions(maintenance, database)


def keep(running: Running, database: str) -> None:
    """Let a database of ours outlive its run: it belongs to the server's keeper now, and goes with `stop`."""
    running.pin()
    with _looking(running) as maintenance:
        maintenance.run("update databases set owner = %s where name = %s", databases.KEPT, database)


def give_away(address: Address) -> None:
    """Forget that a database on an external server is ours: it stays, and whoever kept it may drop it."""
    with closing(observe(address)) as maintenance:
        maintenance.run("delete from databases where name = %s", address.database)


def make_anew(address: Address) -> None:
    """Drop a database that mintdb made, and make it again, empty.

    A server without a registry of mintdb's gets none by being asked. Raises DatabaseNotOurs, and NameBusy where the
    database is a live run's.
    """
    name = address.database
    if not has_registry(address):
        raise DatabaseNotOurs(name=name, url=address.redacted)
    with closing(observe(address)) as maintenance:
        if not databases.is_ours(maintenance, name):
            raise DatabaseNotOurs(name=name, url=address.redacted)
        (owner,) = maintenance.row("select owner from databases where name = %s", name)
        if owner != databases.KEPT and maintenance.is_alive(owner):
            raise NameBusy(name=name, seconds=0, holder=f" by run {owner}")
        databases.drop(maintenance, name)
        databases.create(maintenance, name, template="template0", owner=owner)


def stop(running: Running, *, force: bool = False) -> Sequence[Run]:
    """See engines.running.Inventory."""
    import psycopg

    return servers.stop(
        running,
        force=force,
        find_state=find_state,
        clear=lambda: _clear(running, force=force),
        halt=lambda state: postmaster.stop(Path(state.data), state.server),
        failures=(psycopg.Error, ServerError),
    )


def _clear(running: Running, *, force: bool) -> Sequence[Run]:
    """Drop what was kept on a server that is to be stopped; returns the runs that use it."""
    with _looking(running) as maintenance:
        runs = _runs(maintenance)
        if not force:
            servers.refuse_in_use(running, runs)
        for made in databases.list_made(maintenance):
            if made.owner == databases.KEPT:
                databases.drop(maintenance, made.name)
        if not runs:  # as the keeper leaves one that it stops
            tidy(maintenance)
        return runs


def _looking(running: Running) -> closing[Maintenance]:
    return closing(observe(address_of(running)))


def _runs(maintenance: Maintenance) -> list[Run]:
    found: list[Any] = maintenance.rows(
        "select application_name from pg_stat_activity where pid <> pg_backend_pid() order by backend_start"
    )
    matches = (RUN.fullmatch(application) for (application,) in found)
    return [Run(m["owner"], int(m["process"])) for m in matches if m]
