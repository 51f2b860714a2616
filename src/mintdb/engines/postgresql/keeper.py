"""The keeper of an embedded PostgreSQL server: what `engines.keeper` does not know of it."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from mintdb import clock
from mintdb.core.names import Role, find_role
from mintdb.engines import keeper
from mintdb.engines.account import find_account, require_way
from mintdb.engines.keeper import KEEPER_LOCK, TEMPLATES_KEPT, TICK, Errand, State
from mintdb.engines.postgresql import altered, databases, postmaster, warm
from mintdb.engines.postgresql.cluster import ClusterSettings, prepare
from mintdb.engines.postgresql.errors import ServerDidNotStart
from mintdb.engines.postgresql.maintenance import Maintenance
from mintdb.engines.postgresql.own import own_address
from mintdb.errors import MintdbError

CHANNEL = "mintdb_keeper"


def main() -> None:
    """See engines.keeper.run."""
    keeper.run(sys.modules[__name__])


def find_state(live: Path) -> State | None:
    """See engines.keeper.Craft."""
    return State.find(live, lambda state: postmaster.find_postmaster(Path(state.data)) == state.server)


def start(errand: Errand) -> State:
    """See engines.keeper.Craft."""
    account = find_account("postgres")
    settings, live, data = ClusterSettings(**errand.settings), Path(errand.live), Path(errand.data)
    require_way(account, Path(errand.cache), live)
    sockets = live / "s"
    sockets.mkdir(mode=0o700, exist_ok=True)
    account.own(sockets)

    def attempt() -> int:
        binaries = prepare(data, settings, Path(errand.cache), errand.password, account)
        postmaster.clear_up(data, sockets)
        altered.forget(data)
        options = postmaster.StartOptions(data, sockets, errand.port, settings.parameters(), live / "server.log")
        return postmaster.start(binaries, options, account)

    pid = keeper.start_on(data, attempt, failure=ServerDidNotStart)
    version = (data / "PG_VERSION").read_text().strip()
    return State("postgresql", errand.port, str(sockets), str(data), pid, os.getpid(), version)


def take_up(errand: Errand, state: State) -> PostgresWard | None:
    """See engines.keeper.Craft."""
    try:
        maintenance = Maintenance(
            own_address(state.sockets, state.port, errand.password), owner=f"keeper {os.getpid()}"
        )
        maintenance.acquire(KEEPER_LOCK, timeout=TICK)
        maintenance.acquire(f"run:{databases.KEPT}", timeout=TICK)
    except MintdbError:
        return None  # another keeper adopted the server first, or the server went away
    maintenance.owner = databases.KEPT
    return PostgresWard(maintenance, errand, state)


class Housekeeping:
    """What any keeper does on a PostgreSQL server: drop what the dead have left, stock warm clones."""

    def __init__(self, maintenance: Maintenance) -> None:
        import psycopg

        self.failures: tuple[type[Exception], ...] = (psycopg.Error, MintdbError)
        self.maintenance = maintenance
        with contextlib.suppress(*self.failures):
            maintenance.run(f"listen {CHANNEL}")

    def is_open(self) -> bool:
        """See engines.keeper.Ward."""
        return not self.maintenance.connection.closed

    def work(self) -> None:
        """See engines.keeper.Ward."""
        databases.reap(self.maintenance)
        warm.stock(self.maintenance)

    def rest(self) -> None:
        """See engines.keeper.Ward."""
        try:
            next(iter(self.maintenance.connection.notifies(timeout=TICK, stop_after=1)), None)
        except self.failures:
            clock.sleep(TICK)


class PostgresWard(Housekeeping):
    """An embedded server. It fulfils engines.keeper.EmbeddedWard."""

    def __init__(self, maintenance: Maintenance, errand: Errand, state: State) -> None:
        super().__init__(maintenance)
        self._pinned = Path(errand.live) / "pinned"
        self._state = state

    def is_used(self) -> bool:
        """See engines.keeper.Ward."""
        (users,) = self.maintenance.row(
            "select count(*) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()"
        )
        return users > 0 or self._pinned.exists()

    def stop(self) -> None:
        """See engines.keeper.EmbeddedWard."""
        data, newest = Path(self._state.data), ""
        with contextlib.suppress(*self.failures):
            tidy(self.maintenance)
            (newest,) = self.maintenance.row("select pg_walfile_name(pg_current_wal_insert_lsn())")
        self.maintenance.close()
        if postmaster.stop(data, self._state.server) and newest:
            postmaster.shed_wal(data, newest)


def tidy(maintenance: Maintenance) -> None:
    """Leave the newest templates and one warm clone for each; the rest of what is unused goes."""
    templates = [
        name
        for (name,) in maintenance.rows("select name from databases order by used_at desc")
        if (parsed := find_role(name)) and parsed.role is Role.TEMPLATE
    ]
    kept = set(templates[:TEMPLATES_KEPT])
    for made in databases.list_made(maintenance):
        if made.name not in kept and warm.template_of(made.name) not in kept:
            databases.drop(maintenance, made.name)
