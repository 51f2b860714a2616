"""A signal that comes while a database is created leaves no database that nobody knows of."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import LiteralString

import pytest
from tests.waiting import wait_for

from mintdb.address import Address
from mintdb.core.names import DatabaseName, Role, new_token
from mintdb.engines.postgresql import databases
from mintdb.engines.postgresql.maintenance import Maintenance

STEP = 0.0015  # seconds between one signal's moment and the next; creating a database takes some 20 ms
# A creation goes on after its client has gone, and its session holds the owner alive.
STILL_AT_IT: LiteralString = (
    "select pid from pg_stat_activity where pid <> pg_backend_pid() and position('_interrupted_' in query) > 0"
)


@pytest.fixture
def interrupts() -> Iterator[None]:
    """SIGALRM is a Ctrl-C."""
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def create_interrupted(address: Address, after: float) -> str:
    """Begin to create a database, be interrupted `after` seconds, and give up as a run does."""
    owner = new_token()
    name = str(DatabaseName(Role.CLONE, "interrupted", owner=owner, worker="main"))
    with contextlib.closing(Maintenance(address, owner=owner)) as maintenance, contextlib.suppress(KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, after)
        databases.create(maintenance, name, template="template0", owner=owner)
        signal.setitimer(signal.ITIMER_REAL, 0)
    return name


def test_an_interrupted_creation_is_always_reaped(server: Address, project: Path, interrupts: None) -> None:
    names = {create_interrupted(server, STEP * (1 + step)) for step in range(40)}
    with contextlib.closing(Maintenance(server, owner=new_token())) as maintenance:
        wait_for(lambda: not maintenance.rows(STILL_AT_IT), "the server is done with what we no longer wait for")
        databases.reap(maintenance)
        left = {name for (name,) in maintenance.rows("select datname from pg_database")}
    assert names & left == set()


def test_a_database_whose_drop_was_cut_off_is_reaped(server: Address, project: Path) -> None:
    owner = new_token()
    name = str(DatabaseName(Role.CLONE, "interrupted", owner=owner, worker="main"))
    with contextlib.closing(Maintenance(server, owner=owner)) as maintenance:
        databases.create(maintenance, name, template="template0", owner=owner)
        # As a drop leaves it that was cut off: https://www.postgresql.org/docs/18/catalog-pg-database.html
        maintenance.run("update pg_database set datconnlimit = -2 where datname = %s", name)
        databases.drop(maintenance, name)
        assert not databases.exists(maintenance, name)
