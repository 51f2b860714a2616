"""What embedded MariaDB and MySQL servers this user has running, what is on them, and who uses them.

It fulfils engines.running.Inventory.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pymysql

from mintdb import clock
from mintdb.address import Address
from mintdb.core.names import Role, find_role, new_token
from mintdb.engines import running as servers
from mintdb.engines.keeper import KEEPER_LOCK
from mintdb.engines.mysql import databases, mysqld
from mintdb.engines.mysql.databases import Made
from mintdb.engines.mysql.datafolder import SUPERUSER
from mintdb.engines.mysql.keeper import find_state, socket_in
from mintdb.engines.mysql.maintenance import Maintenance, lock_key
from mintdb.engines.places import find_places, read_password
from mintdb.engines.running import Contents, Run, Running
from mintdb.errors import ServerError

OTHERS = """
select count(*) from information_schema.processlist
where command <> 'Daemon' and id not in (connection_id(), coalesce(is_used_lock(%s), 0))
"""


def find_running() -> list[Running]:
    """See engines.running.Inventory."""
    return servers.find_all(find_state)


def address_of(running: Running) -> Address:
    """Where mintdb itself connects."""
    socket = str(socket_in(running.live))
    return Address("mysql", "", socket, running.state.port, SUPERUSER, read_password(find_places()))


def look(running: Running) -> Contents:
    """See engines.running.Inventory."""
    with _looking(running) as maintenance:
        _, uptime = maintenance.session.row("show global status like 'Uptime'")
        since = datetime.fromtimestamp(clock.wall(), UTC) - timedelta(seconds=int(uptime))
        made = databases.list_made(maintenance)
        clones = [each for each in made if each.role is Role.CLONE]
        return Contents(
            maintenance.dialect.product,
            since,
            _runs(maintenance, made),
            [each.name for each in made if each.sealed],
            [each.name for each in clones if each.holder != databases.KEPT],
            [each.name for each in clones if each.holder == databases.KEPT],
        )


def stop(running: Running, *, force: bool = False) -> Sequence[Run]:
    """See engines.running.Inventory."""
    return servers.stop(
        running,
        force=force,
        find_state=find_state,
        clear=lambda: _clear(running, force=force),
        halt=lambda state: mysqld.stop(state.server),
        failures=(pymysql.MySQLError, ServerError),
    )


def _clear(running: Running, *, force: bool) -> Sequence[Run]:
    with _looking(running) as maintenance:
        made = databases.list_made(maintenance)
        runs = _runs(maintenance, made)
        if not force:
            servers.refuse_in_use(running, runs)
        for each in made:
            if each.holder == databases.KEPT:
                databases.drop(maintenance, each.name)
        return runs


def _runs(maintenance: Maintenance, made: Sequence[Made]) -> Sequence[Run]:
    """Those that hold a database; where none is, whoever is connected besides the keeper may be about to make one."""
    alive = {each.holder: each for each in made if each.holder != databases.KEPT and maintenance.is_alive(each.holder)}
    if alive:
        return [Run(_owner(each.name), None) for each in alive.values()]
    (others,) = maintenance.session.row(OTHERS, lock_key(KEEPER_LOCK))
    return [Run(f"{others} connections", None)] if others else []


def _owner(database: str) -> str:
    """The run that its name tells; of a fixed name, that name."""
    parsed = find_role(database)
    return parsed.owner if parsed and parsed.owner else f"the run of {database}"


def _looking(running: Running) -> closing[Maintenance]:
    return closing(Maintenance(address_of(running), owner=f"look-{new_token()}"))
