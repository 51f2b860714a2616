"""The keeper of an embedded MariaDB or MySQL server: what `engines.keeper` does not know of it."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import pymysql

from mintdb import clock
from mintdb.address import Address
from mintdb.engines import keeper
from mintdb.engines.account import find_account, require_way
from mintdb.engines.keeper import KEEPER_LOCK, LOCK, TEMPLATES_KEPT, TICK, Errand, State
from mintdb.engines.mysql import databases, mysqld, sessions
from mintdb.engines.mysql.binaries import find_binaries
from mintdb.engines.mysql.datafolder import LOG_NAME, SUPERUSER, ServerSettings, prepare
from mintdb.engines.mysql.errors import LockTimeout, ServerDidNotStart
from mintdb.engines.mysql.maintenance import Maintenance
from mintdb.engines.mysql.session import introduce
from mintdb.engines.mysql.variables import note
from mintdb.engines.ports import HOST
from mintdb.errors import MintdbError
from mintdb.locks import StillLocked, locked

ACCOUNT = "mysql"  # what Debian's package brings
JOINING = 10.0  # seconds that a process may take to join a server that answers
KEPT_FOR = 8 * 3600.0  # seconds that the server stays for a database that somebody wants to look at
LOGS_KEPT = 4  # files of 64 MB: a rewind reads what one test has written
USERS = "select count(*) from information_schema.processlist where command <> 'Daemon' and id <> connection_id()"


def main() -> None:
    """See engines.keeper.run."""
    keeper.run(sys.modules[__name__])


def find_state(live: Path) -> State | None:
    """See engines.keeper.Craft."""
    return State.find(live, lambda state: mysqld.is_server(state.server))


def socket_in(live: Path) -> Path:
    """The server's socket. A path of more than some 100 bytes could not be one."""
    return live / "s" / "mysql"


def start(errand: Errand) -> State:
    """See engines.keeper.Craft."""
    account = find_account(ACCOUNT)
    settings, live, data = ServerSettings(**errand.settings), Path(errand.live), Path(errand.data)
    require_way(account, Path(errand.cache), live)
    path = socket_in(live)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    account.own(path.parent)

    def attempt() -> int:
        binaries = prepare(data, settings, Path(errand.cache), account)
        for file in data.glob(f"{LOG_NAME}.*"):  # nobody's mark is in the log of a server that has stopped
            file.unlink()
        options = mysqld.StartOptions(
            data,
            path,
            errand.port,
            settings.arguments(),
            errand.password,
            live / "server.log",
            note(is_mariadb=binaries.is_mariadb),
        )
        return mysqld.start(binaries, options, account)

    pid = keeper.start_on(data, attempt, failure=ServerDidNotStart)
    if not find_binaries(settings.binaries).is_mariadb:
        introduce(Address("mysql", "", HOST, errand.port, SUPERUSER, errand.password))
    return State("mysql", errand.port, str(path.parent), str(data), pid, os.getpid())


def take_up(errand: Errand, state: State) -> MysqlWard | None:
    """See engines.keeper.Craft. A server that nobody can use, a node of a cluster for one, is stopped."""
    live = Path(errand.live)
    address = Address("mysql", "", str(socket_in(live)), errand.port, SUPERUSER, errand.password)
    try:
        maintenance = Maintenance(address, owner=f"keeper {os.getpid()}")
        maintenance.acquire(KEEPER_LOCK, timeout=TICK)
    except LockTimeout:
        return None  # another keeper adopted the server first
    except MintdbError:
        with contextlib.suppress(StillLocked, OSError), locked(live / LOCK, timeout=JOINING):
            pass  # whoever is joining just now is to hear what is wrong with it, not that it went away
        mysqld.stop(state.server)
        return None
    return MysqlWard(maintenance, state)


class MysqlWard:
    """An embedded server. It fulfils engines.keeper.EmbeddedWard."""

    failures: tuple[type[Exception], ...] = (pymysql.MySQLError, MintdbError)

    def __init__(self, maintenance: Maintenance, state: State) -> None:
        self._maintenance = maintenance
        self._state = state

    def is_open(self) -> bool:
        """See engines.keeper.Ward."""
        return self._maintenance.session.is_open()

    def work(self) -> None:
        """See engines.keeper.Ward."""
        databases.reap(self._maintenance, unblock=lambda: sessions.end_prepared(self._maintenance))
        logs = [each for each, *_ in self._maintenance.rows("show binary logs")]
        if len(logs) > LOGS_KEPT:
            self._maintenance.session.try_run(f"purge binary logs to '{logs[-LOGS_KEPT]}'")

    def is_used(self) -> bool:
        """See engines.keeper.Ward."""
        (users,) = self._maintenance.session.row(USERS)
        return users > 0 or databases.keeps_any(self._maintenance, seconds=KEPT_FOR)

    def rest(self) -> None:
        """See engines.keeper.Ward."""
        clock.sleep(TICK)

    def stop(self) -> None:
        """See engines.keeper.EmbeddedWard."""
        with contextlib.suppress(*self.failures):
            _tidy(self._maintenance)
        self._maintenance.close()
        mysqld.stop(self._state.server)


def _tidy(maintenance: Maintenance) -> None:
    """Leave the newest templates; the rest goes."""
    made = databases.list_made(maintenance)
    templates = [each.name for each in made if each.sealed][:TEMPLATES_KEPT]
    for each in made:
        if each.name not in templates:
            databases.drop(maintenance, each.name)
