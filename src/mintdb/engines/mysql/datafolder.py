"""A data folder that a server can start on: installed once for each version, copied ever after."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path

from mintdb.engines.account import Account
from mintdb.engines.mysql.binaries import Binaries, find_binaries
from mintdb.engines.mysql.errors import ServerDidNotStart
from mintdb.engines.processes import clean_environment
from mintdb.engines.starting import copy_pristine, make_once, tail
from mintdb.facts import dataclass

SUPERUSER = "root"  # what dumps and hard-wired URLs expect to find
LAYOUT = "2"  # raise it when what is cached here changes its meaning
INSTALL_TIMEOUT = 120.0  # seconds; it takes 1 on an idle machine
LOG_NAME = "binlog"
INSTALL_OF_MARIADB = ("--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")
INSTALL_OF_MYSQL = (
    "--initialize-insecure",
    "--disable-log-bin",
    "--innodb-doublewrite=0",
    "--innodb-flush-method=nosync",
    "--secure-file-priv=",
)
# A data folder is made with these.
AT_FIRST = ("innodb-log-file-size", "innodb-redo-log-capacity", "innodb-page-size", "lower-case-table-names")

# A test database may be lost with the machine, so nothing waits for a disk; figures in docs/why/mysql.md.
SPEED = {
    "innodb-buffer-pool-size": "64M",
    "innodb-flush-log-at-trx-commit": "2",
    "innodb-doublewrite": "0",
    "innodb-flush-method": "nosync",
    "sync-binlog": "0",
    "key-buffer-size": "1M",
    "max-connections": "1000",
    "skip-name-resolve": "",
    "bind-address": "127.0.0.1",
    "character-set-server": "utf8mb4",
    "default-time-zone": "+00:00",
    "table-definition-cache": "20000",  # InnoDB forgets its counters of a table that drops out of it
    "table-open-cache": "4000",
}
SPEED_OF_MARIADB = {
    "performance-schema": "OFF",
    "innodb-log-file-size": "8M",
    "aria-pagecache-buffer-size": "8M",
    "collation-server": "utf8mb4_general_ci",
    "debug-no-sync": "",  # DDL alone would wait for the disk eight times
}
SPEED_OF_MYSQL = {
    "loose-innodb-redo-log-capacity": "32M",
    "loose-mysqlx": "OFF",  # its second port is everybody's
    "innodb-stats-persistent": "0",
    "innodb-stats-auto-recalc": "0",
    "event-scheduler": "OFF",  # as MariaDB's: an event would run in the template and in every copy of it
    "secure-file-priv": "",
}
MAY_BE_EMPTY = ("secure-file-priv",)  # LOAD DATA and INTO OUTFILE may reach every folder
# What finding out who wrote what rests on: the user's own settings do not change it.
NEEDED = {
    "log-bin": LOG_NAME,
    "server-id": "1",
    "binlog-format": "ROW",
    "binlog-checksum": "NONE",
    "max-binlog-size": "64M",
    "log-bin-trust-function-creators": "1",
}
NEEDED_OF_MARIADB = {
    "innodb-stats-auto-recalc": "0",  # it sets the counters to zero, as statistics that are not persistent do
    "innodb-stats-persistent": "1",
    "log-bin-compress": "OFF",
    "loose-slave-connections-needed-for-purge": "0",
    "plugin-load-add": "metadata_lock_info",
}
NEEDED_OF_MYSQL = {
    "performance-schema": "ON",
    "performance-schema-instrument": "wait/io/table/sql/handler=ON",
    "performance-schema-consumer-global-instrumentation": "ON",
    "performance-schema-consumer-thread-instrumentation": "ON",
    "loose-binlog-transaction-compression": "OFF",
    "loose-innodb-native-foreign-keys": "OFF",  # with it, cascades are in no log
}


@dataclass(frozen=True)
class ServerSettings:
    """What decides which server is shared: equal settings share one."""

    binaries: str | None  # the folder that holds the programs, if it was named
    timezone: str = "+00:00"
    server_settings: Mapping[str, str] = field(default_factory=dict)
    slot: str = ""  # set where runs must not share: one server for each slot

    @property
    def key(self) -> str:
        """A short digest of these settings, the programs and our own layout."""
        parts = [LAYOUT, find_binaries(self.binaries).identity, self.timezone, self.slot]
        parts += [f"{k}={v}" for k, v in sorted(self.options().items())]
        return "mysql-" + hashlib.sha256("\n".join(parts).encode()).hexdigest()[:10]

    def options(self) -> dict[str, str]:
        """The server's options: ours, then the user's, which win but for what mintdb needs."""
        own = {k.replace("_", "-").removeprefix("loose-"): v for k, v in self.server_settings.items()}
        mariadb = find_binaries(self.binaries).is_mariadb
        speed, needed = (SPEED_OF_MARIADB, NEEDED_OF_MARIADB) if mariadb else (SPEED_OF_MYSQL, NEEDED_OF_MYSQL)
        return {**SPEED, **speed, "default-time-zone": self.timezone, **own, **NEEDED, **needed}

    def arguments(self) -> list[str]:
        """The options as the server takes them."""
        return [_argument(name, value) for name, value in self.options().items()]


def prepare(data: Path, settings: ServerSettings, cache: Path, account: Account) -> Binaries:
    """Make `data` a folder that a server can start on. Raises ServerDidNotStart with the installer's output, and
    FolderUnusable where a disk is full.
    """
    binaries = find_binaries(settings.binaries)
    if (data / "mysql").exists():
        return binaries
    copy_pristine(lambda: _pristine(binaries, settings, cache, account), data, account)
    return binaries


def _pristine(binaries: Binaries, settings: ServerSettings, cache: Path, account: Account) -> Path:
    """The cached result of the installer, made now if it is not there."""
    options = settings.options().items()
    chosen = [_argument(name, value) for name, value in options if name.removeprefix("loose-") in AT_FIRST]
    identity = [LAYOUT, binaries.identity, str(account.uid), *chosen]
    folder = cache / binaries.product.lower()
    return make_once(folder, identity, lambda folder: _install(folder, binaries, chosen, account), account)


def _install(data: Path, binaries: Binaries, chosen: list[str], account: Account) -> None:
    argv: list[str | Path] = [
        binaries.install,
        "--no-defaults",
        f"--datadir={data}",
        f"--tmpdir={data}",  # see mysqld.start: what starts beside it would remove its temporary tables from /tmp
        *(INSTALL_OF_MARIADB if binaries.is_mariadb else INSTALL_OF_MYSQL),
    ]
    run = account.run([*argv, *chosen], env=clean_environment(), timeout=INSTALL_TIMEOUT)
    if run.returncode:
        said = tail((run.stdout + run.stderr).strip().splitlines())
        raise ServerDidNotStart(why=f"{binaries.install.name} failed", log="its output", tail=said)


def _argument(name: str, value: str) -> str:
    return f"--{name}={value}" if value or name in MAY_BE_EMPTY else f"--{name}"
