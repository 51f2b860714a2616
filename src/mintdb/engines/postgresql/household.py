"""The keeper of a server that is not ours: it serves the runs of one role until there is none."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from mintdb.address import parse_url
from mintdb.core.names import Role
from mintdb.engines.keeper import TICK, serve_until_unused
from mintdb.engines.postgresql import databases
from mintdb.engines.postgresql.connecting import APPLICATION
from mintdb.engines.postgresql.housekeeper import lock_of
from mintdb.engines.postgresql.keeper import Housekeeping
from mintdb.engines.postgresql.maintenance import Maintenance
from mintdb.engines.processes import detach
from mintdb.errors import MintdbError

USERS = (
    "select count(*) from pg_stat_activity where usename = current_user and pid <> pg_backend_pid()"
    " and starts_with(application_name, %s)"
)


def main() -> None:
    """Read the errand, and keep the server as long as it is used."""
    errand = json.loads(sys.stdin.buffer.read())
    reader, writer = os.pipe()
    if os.fork():  # the caller waits until the keeper has its lock, or has given up
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    os.close(reader)
    detach(Path(os.devnull))
    try:
        maintenance = Maintenance(parse_url(errand["url"]), owner=f"keeper {os.getpid()}")
        maintenance.acquire(lock_of(maintenance), timeout=TICK)
    except MintdbError:
        return  # another one was quicker, or the server is gone
    os.close(writer)
    serve_until_unused(Household(maintenance), linger=errand["linger"])
    if not maintenance.connection.closed:
        databases.reap(maintenance, only=(Role.CLONE, Role.BUILDING, Role.TRASH, Role.WARM))
        maintenance.close()


class Household(Housekeeping):
    """A server of somebody else's. It fulfils engines.keeper.Ward."""

    def is_used(self) -> bool:
        """See engines.keeper.Ward."""
        (count,) = self.maintenance.row(USERS, f"{APPLICATION} run ")
        return bool(count)
