"""Send a server that is not ours a keeper: it makes warm clones and drops old ones, and leaves the server itself alone.

One runs for each server and role, in a session of its own, from the first run until nobody has used the server for the
linger. What a killed run has left there is cleared up by it, or by the next one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace

from mintdb.address import Address
from mintdb.engines.postgresql.maintenance import Maintenance
from mintdb.engines.processes import send

KEEPER = "mintdb.engines.postgresql.household"  # the module; it imports what no run does
SEND_TIMEOUT = 30.0  # seconds to wait for another process that sends one; an interpreter starts in 0.1
FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl", "sslcrldir", "passfile", "servicefile")


def ensure(maintenance: Maintenance, address: Address, *, linger: float, wait: bool = True) -> None:
    """See to it that a keeper for this server and role is there, or with `wait=False` on its way."""
    lock = lock_of(maintenance)
    if maintenance.holder_of(lock) is not None:
        return
    with maintenance.lock(f"sending the {lock}", timeout=SEND_TIMEOUT):
        if maintenance.holder_of(lock) is None:
            _send(address, linger, wait=wait)


def lock_of(maintenance: Maintenance) -> str:
    """What the keeper holds that serves this session's role."""
    return f"keeper of {maintenance.role}"


def _send(address: Address, linger: float, *, wait: bool) -> None:
    errand = json.dumps({"url": _absolute(address).url, "linger": linger})
    send(KEEPER, errand, environment=_libpq_variables(os.environ), wait=wait)


def _absolute(address: Address) -> Address:
    """The keeper works in another folder, where relative paths of certificates lead nowhere."""
    options = {k: os.path.abspath(v) if k in FILES and v != "system" else v for k, v in address.options.items()}
    return replace(address, options=options)


def _libpq_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """A login may be completed by PGPASSWORD and its like."""
    return {name: value for name, value in environ.items() if name.startswith("PG")}
