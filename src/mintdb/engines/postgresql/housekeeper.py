"""The keeper of a server that is not ours: it makes warm clones and drops old ones, and leaves the server itself alone.

One runs for each server and role, in a session of its own, from the first run until nobody has used the server for the
linger. What a killed run has left there is cleared up by it, or by the next one.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mintdb.address import Address, parse_url
from mintdb.core.names import Role
from mintdb.engines.keeper import TICK, serve_until_unused
from mintdb.engines.postgresql import databases
from mintdb.engines.postgresql.keeper import Housekeeping
from mintdb.engines.postgresql.maintenance import APPLICATION, Maintenance
from mintdb.engines.processes import detach, send
from mintdb.errors import MintdbError

SEND_TIMEOUT = 30.0  # seconds to wait for another process that sends one; an interpreter starts in 0.1
FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl", "sslcrldir", "passfile", "servicefile")
USERS = (
    "select count(*) from pg_stat_activity where usename = current_user and pid <> pg_backend_pid()"
    " and starts_with(application_name, %s)"
)


def ensure(maintenance: Maintenance, address: Address, *, linger: float, wait: bool = True) -> None:
    """See to it that a keeper for this server and role is there, or with `wait=False` on its way."""
    lock = _lock_of(maintenance)
    if maintenance.holder_of(lock) is not None:
        return
    with maintenance.lock(f"sending the {lock}", timeout=SEND_TIMEOUT):
        if maintenance.holder_of(lock) is None:
            _send(address, linger, wait=wait)


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
        maintenance.acquire(_lock_of(maintenance), timeout=TICK)
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


def _send(address: Address, linger: float, *, wait: bool) -> None:
    errand = json.dumps({"url": _absolute(address).url, "linger": linger})
    send(__name__, errand, environment=_libpq_variables(os.environ), wait=wait)


def _absolute(address: Address) -> Address:
    """The keeper works in another folder, where relative paths of certificates lead nowhere."""
    options = {k: os.path.abspath(v) if k in FILES and v != "system" else v for k, v in address.options.items()}
    return replace(address, options=options)


def _libpq_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """A login may be completed by PGPASSWORD and its like."""
    return {name: value for name, value in environ.items() if name.startswith("PG")}


def _lock_of(maintenance: Maintenance) -> str:
    (role,) = maintenance.row("select current_user::text")
    return f"keeper of {role}"
