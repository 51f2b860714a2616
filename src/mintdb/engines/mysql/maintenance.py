"""This process's session for locks that die with it, and the record of what mintdb made on a server."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pymysql
from pymysql.constants import ER
from pymysql.cursors import Cursor

from mintdb import clock
from mintdb.address import Address
from mintdb.core.names import new_token
from mintdb.engines.mysql.errors import (
    GaleraRefused,
    LockTimeout,
    PrivilegeMissing,
    ServerGone,
    ServerTooOld,
    ServerUnreachable,
)
from mintdb.engines.mysql.session import Session, code_of, name, reason_of
from mintdb.errors import MintdbError

T = TypeVar("T")
DATABASE = "mintdb"
RESTART = 5.0  # seconds; a server restarts in one or two, a container in two or three
PAUSE = 0.05  # seconds between two tries to connect
DENIED = (
    ER.DBACCESS_DENIED_ERROR,
    ER.ACCESS_DENIED_ERROR,
    ER.SPECIFIC_ACCESS_DENIED_ERROR,
    ER.TABLEACCESS_DENIED_ERROR,
)
HOLDER_LENGTH = 12
LOCK_TIMEOUT = 5  # seconds; who was ended is gone by then, but for a transaction that was prepared for a second phase

REGISTRY = f"""
create table if not exists {name(DATABASE)}.`databases` (
    name varchar(64) character set utf8mb4 collate utf8mb4_bin primary key,
    holder varchar(16) not null,           -- '' for what belongs to nobody
    mark varchar(32) not null,             -- the database's comment, where the server has such a thing
    sealed tinyint not null default 0,
    run varchar(64) not null default '',
    made_at datetime not null default current_timestamp,
    used_at datetime not null default current_timestamp
) engine = InnoDB default character set utf8mb4
"""


HAS_REGISTRY = "select 1 from information_schema.tables where table_schema = %s and table_name = 'databases'"


class _Lasting(Session):
    """A session that asks again where its server had ended it, and `come_back` says that it is what it was."""

    def __init__(self, address: Address, *, shown: Address | None, come_back: Callable[[], bool]) -> None:
        self._come_back = come_back
        super().__init__(address, shown=shown)

    def rows(self, statement: str, *values: object) -> list[Any]:  # Any: rows are as the statement selects
        return self._insist(lambda: super(_Lasting, self).rows(statement, *values))

    def _each(self, statements: Iterable[str], take: Callable[[Cursor], T]) -> list[T]:
        several = list(statements)
        return self._insist(lambda: super(_Lasting, self)._each(several, take))

    def _insist(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except ServerGone:
            if not self._come_back():
                raise
        return ask()


class Maintenance:
    """One session on a server. What it holds is free once this process is gone, whatever ended it."""

    def __init__(
        self, address: Address, *, owner: str, shown: Address | None = None, outlives_restarts: bool = False
    ) -> None:
        """Connect, and make the maintenance database if need be. Raises a ServerError that says what is wrong.

        If it `outlives_restarts`, a server that goes away is waited for, for 5 s, and asked again.
        """
        self._outlives_restarts = False  # until it is there
        self._held: list[str] = []  # locks
        self.address = address
        self.url = (shown or address).redacted
        self.owner = owner
        self.holder = new_token(HOLDER_LENGTH)
        self.session = _Lasting(address, shown=shown, come_back=self._is_back)
        self.dialect = self.session.dialect
        try:
            self._look()
            self._fill()
            self.acquire(self._held_by(self.holder), timeout=0)
        except BaseException:
            self.close()
            raise
        self._outlives_restarts = outlives_restarts

    def run(self, statement: str, *values: object) -> None:
        """Run one statement."""
        self.session.run(statement, *values)

    def rows(self, statement: str, *values: object) -> list[Any]:  # Any: rows are as the statement selects
        """All rows of a query."""
        return self.session.rows(statement, *values)

    @contextmanager
    def lock(self, what: str, *, timeout: float) -> Iterator[None]:
        """Hold `what` among all processes on this server. Raises LockTimeout, naming the holder, after `timeout` s."""
        self.acquire(what, timeout=timeout)
        try:
            yield
        finally:
            self.release(what)

    def acquire(self, what: str, *, timeout: float) -> None:
        """Take a lock until `release`, or until this process is gone."""
        key = lock_key(what)
        (got,) = self.session.row("select get_lock(%s, %s)", key, timeout)
        if got != 1:
            (holder,) = self.session.row("select is_used_lock(%s)", key)
            said = f", held by connection {holder}" if holder else ""
            raise LockTimeout(what=what, seconds=timeout, holder=said)
        self._held.append(what)

    def release(self, what: str) -> None:
        """Give a lock back."""
        if self.session.is_open():
            self.run("select release_lock(%s)", lock_key(what))
        if what in self._held:
            self._held.remove(what)

    def is_free(self, what: str) -> bool:
        """Whether nobody holds a lock."""
        return bool(self.session.row("select is_free_lock(%s)", lock_key(what))[0])

    def is_alive(self, holder: str) -> bool:
        """Whether the maintenance session `holder` is still there. The lock of a dead one is free."""
        return bool(holder) and (holder == self.holder or not self.is_free(self._held_by(holder)))

    def close(self) -> None:
        """End the session; its locks are free."""
        self._outlives_restarts = False
        self.session.close()

    def _is_back(self) -> bool:
        """Be who we were, with all our locks, on a server that has restarted; False if it has not, or one is taken."""
        patient, self._outlives_restarts = self._outlives_restarts, False  # who waited in vain does so once
        if not patient:
            return False
        try:
            self._reconnect()
            self._look()
            held, self._held = self._held, []
            for each in held:
                self.acquire(each, timeout=0)
        except MintdbError:
            return False
        self._outlives_restarts = True
        return True

    def _reconnect(self) -> None:
        deadline = clock.monotonic() + RESTART
        while True:
            try:
                return self.session.open()
            except ServerUnreachable:
                if clock.monotonic() >= deadline:
                    raise
            clock.sleep(PAUSE)

    def _held_by(self, holder: str) -> str:
        return f"holder {holder}"

    def _look(self) -> None:
        (account,) = self.session.row("select current_user()")
        self.account = "@".join(f"'{part}'" for part in str(account).split("@"))
        if self.dialect.is_too_old:
            raise ServerTooOld(url=self.url, version=self.dialect.product, oldest="MariaDB 10.6 or MySQL 8.0, or newer")
        if self.session.rows("show global variables like 'wsrep_on'") and self.session.row("select @@wsrep_on")[0]:
            raise GaleraRefused(url=self.url)
        # Nothing of ours needs to be replayed elsewhere, and a server of ours reads in its log what tests changed.
        self.session.try_run("set session sql_log_bin = 0")
        # MySQL's 1024 bytes would cut a list of locks short; and nobody waits a year behind a prepared transaction.
        timeouts = f"lock_wait_timeout = {LOCK_TIMEOUT}, innodb_lock_wait_timeout = {LOCK_TIMEOUT}"
        self.run(f"set session group_concat_max_len = 16777216, {timeouts}")

    def _fill(self) -> None:
        try:
            if not self.rows(HAS_REGISTRY, DATABASE):
                self.run(f"create database if not exists {name(DATABASE)}")
                self.run(REGISTRY)
        except pymysql.MySQLError as error:
            if code_of(error) not in DENIED:
                raise
            raise PrivilegeMissing(url=self.url, account=self.account, reason=reason_of(error)) from None


def has_registry(address: Address) -> bool:
    """Whether mintdb has a maintenance database on a server. It gets none by being asked. Raises a ServerError."""
    session = Session(address)
    try:
        return bool(session.rows(HAS_REGISTRY, DATABASE))
    finally:
        session.close()


def lock_key(what: str) -> str:
    """The server-wide lock that stands for a name: MySQL allows 64 characters."""
    return "mintdb:" + hashlib.sha256(what.encode()).hexdigest()[:40]
