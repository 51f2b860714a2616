"""An embedded server for these tests, MariaDB's unless MySQL's is wanted, and what a database holds, told in full."""

from __future__ import annotations

import tempfile
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import pymysql
import pytest
from pymysql.constants import CLIENT, ER
from tests.engines.mysql.debian_mysql import find_mysql, why_not

from mintdb.address import Address, parse_url
from mintdb.core.names import DatabaseName, Role, new_token
from mintdb.engines.account import find_account
from mintdb.engines.mysql import embedded, mysqld
from mintdb.engines.mysql.binaries import find_binaries
from mintdb.engines.mysql.datafolder import AT_FIRST, ServerSettings, prepare
from mintdb.engines.mysql.errors import BinariesNotFound
from mintdb.engines.mysql.server import MysqlServer
from mintdb.engines.places import find_cache
from mintdb.engines.ports import HOST, find_free_port

OBJECTS = "select table_name, table_type from information_schema.tables where table_schema = database() order by 1"
COLUMNS = """
select table_name, column_name from information_schema.columns where table_schema = database()
 order by table_name, ordinal_position"""  # the invisible ones included
ROUTINES = (
    "select routine_type, routine_name from information_schema.routines where routine_schema = database() order by 2"
)


UNPREPARED = ("--skip-name-resolve", f"--bind-address={HOST}", "--log-bin", "--server-id=1")
PASSWORD = "chosen by somebody"


class HasUrl(Protocol):
    """Whatever server a test runs on."""

    @property
    def own_url(self) -> str: ...


@dataclass(frozen=True)
class PlainServer:
    """One that nobody has prepared for mintdb."""

    own_url: str
    restart: Callable[[], object]  # all sessions are lost


def require_mariadb() -> None:
    """Skip what needs a MariaDB server where there is none."""
    try:
        found = find_binaries()
    except BinariesNotFound as missing:
        pytest.skip(f"no MariaDB server here: {str(missing).splitlines()[2].strip()}")
    if not found.is_mariadb:
        pytest.skip("no MariaDB server here: apt-get install mariadb-server")


def require_mysql() -> str:
    """The folder of MySQL's server; skips what needs it where there is none."""
    if reason := why_not():
        pytest.skip(reason)
    folder = find_mysql()
    assert folder
    return folder


@contextmanager
def stay(server_settings: dict[str, str] | None = None, *, binaries: str | None = None) -> Iterator[MysqlServer]:
    """A stay on an embedded server. It stops by itself, some seconds after the last stay on it."""
    if binaries is None:
        require_mariadb()
    reservation = embedded.reserve(embedded.settings_for(binaries=binaries, server_settings=server_settings))
    server = reservation.open(owner=new_token(), linger=2.0, let_go=lambda database: None)
    try:
        yield server
    finally:
        server.reap()
        server.close()


@contextmanager
def plain() -> Iterator[PlainServer]:
    """A MariaDB server with its own defaults and a binary log."""
    require_mariadb()
    account, settings, port = find_account("mysql"), ServerSettings(None), find_free_port("plain")
    assert port is not None
    with tempfile.TemporaryDirectory(prefix="mintdb-plain-") as name:
        account.own(Path(name))
        data = Path(name, "data")
        binaries = prepare(data, settings, find_cache(), account)
        as_installed = [f"--{key}={value}" for key, value in settings.options().items() if key in AT_FIRST]
        options = mysqld.StartOptions(
            data, data / "s", port, [*UNPREPARED, *as_installed], PASSWORD, Path(name, "server.log")
        )
        pids: list[int] = []

        def restart() -> None:
            for pid in pids[-1:]:
                mysqld.stop(pid)
            with warnings.catch_warnings(action="ignore", category=ResourceWarning):  # nobody waits for its exit code
                pids.append(mysqld.start(binaries, options, account))

        restart()
        try:
            yield PlainServer(Address("mysql", "mysql", HOST, port, "root", PASSWORD).url, restart)
        finally:
            mysqld.stop(pids[-1])


def connect(address: Address, **options: Any) -> pymysql.Connection:
    """As an application connects."""
    return pymysql.connect(**{**address.params, "autocommit": True, **options})


def root_of(server: HasUrl, database: str = "mysql") -> Address:
    """The server's administrator, as applications reach it."""
    return replace(parse_url(server.own_url), host="127.0.0.1", database=database, options={"ssl_disabled": "true"})


def run(address: Address, *statements: str) -> Sequence[Sequence[object]]:
    """Run statements over a connection of their own; the last one's rows."""
    connection = connect(address)
    try:
        with connection.cursor() as cursor:
            for statement in statements:
                try:
                    cursor.execute(statement)
                except pymysql.err.OperationalError as error:
                    if error.args[0] != ER.LOCK_DEADLOCK:  # an account's rights are rows that others change, too
                        raise
                    cursor.execute(statement)
            return list(cursor.fetchall())
    finally:
        connection.close()


def new_template(server: MysqlServer, *statements: str) -> str:
    """A sealed template that the statements have built."""
    fingerprint = f"{abs(hash((statements, new_token()))):012x}"[:12]
    template = str(DatabaseName(Role.TEMPLATE, "test", fingerprint))
    server.build_template(template, build_by(*statements))
    return template


def build_by(*statements: str) -> Callable[[Address], None]:
    """A schema source's `build`."""

    def build(address: Address) -> None:
        run(address, *statements)

    return build


def new_name(server: MysqlServer, worker: str = "main") -> str:
    return str(DatabaseName(Role.CLONE, "test", owner=new_token(), worker=worker))


def dump(address: Address) -> dict[str, object]:
    """Everything in a database that a test could see: rows in their order, counters, definitions."""
    connection = connect(address, client_flag=CLIENT.MULTI_STATEMENTS)
    try:
        with connection.cursor() as cursor:
            return dict(_dump(cursor, address.database))
    finally:
        connection.close()


def _dump(cursor: Any, database: str) -> Iterator[tuple[str, object]]:
    yield "collation", _ask(cursor, "select @@collation_database")
    objects = _ask(cursor, OBJECTS)
    columns: defaultdict[str, list[str]] = defaultdict(list)
    for table, column in _ask(cursor, COLUMNS):
        columns[table].append(f"`{column}`")
    made = [f"show create {'view' if kind == 'VIEW' else 'table'} `{table}`" for table, kind in objects]
    rows = [f"select {', '.join(columns[table])} from `{table}`" for table, _ in objects]
    for (table, kind), shown, found in zip(objects, _ask_all(cursor, made), _ask_all(cursor, rows), strict=True):
        yield f"{kind} {table}", shown[0][1].replace(f"`{database}`.", "")
        yield f"rows of {table}", found
    routines = _ask(cursor, ROUTINES)
    shown_routines = _ask_all(cursor, [f"show create {kind} `{routine}`" for kind, routine in routines])
    for (kind, routine), shown in zip(routines, shown_routines, strict=True):
        yield f"{kind} {routine}", shown[0][1:3]
    triggers = _ask(cursor, "show triggers")
    yield "triggers", [(t[0], t[1], t[2], t[3], t[4], t[6], t[7]) for t in triggers]  # t[5] is the time of its making
    for event in _ask(cursor, "select event_name from information_schema.events where event_schema = database()"):
        yield f"event {event[0]}", _ask(cursor, f"show create event `{event[0]}`")[0][1:4]


def _ask(cursor: Any, statement: str) -> list[Any]:
    cursor.execute(statement)
    return list(cursor.fetchall())


def _ask_all(cursor: Any, statements: Sequence[str]) -> list[list[Any]]:
    """The rows of each, in one round trip."""
    if not statements:
        return []
    cursor.execute(";".join(statements))
    found = [list(cursor.fetchall())]
    while cursor.nextset():
        found.append(list(cursor.fetchall()))
    return found
