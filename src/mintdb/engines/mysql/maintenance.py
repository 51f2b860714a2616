"""This process's session for locks that die with it, and the record of what mintdb made on a server."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pymysql
from pymysql.constants import ER

from mintdb.address import Address
from mintdb.core.names import new_token
from mintdb.engines.mysql.errors import GaleraRefused, LockTimeout, PrivilegeMissing, ServerTooOld
from mintdb.engines.mysql.session import Session, code_of, name, reason_of

DATABASE = "mintdb"
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


class Maintenance:
    """One session on a server. What it holds is free once this process is gone, whatever ended it."""

    def __init__(self, address: Address, *, owner: str, shown: Address | None = None) -> None:
        """Connect, and make the maintenance database if need be. Raises a ServerError that says what is wrong."""
        self.address = address
        self.url = (shown or address).redacted
        self.owner = owner
        self.holder = new_token(HOLDER_LENGTH)
        self.session = Session(address, shown=shown)
        self.dialect = self.session.dialect
        try:
            self._look()
            self._fill()
            self.acquire(self._held_by(self.holder), timeout=0)
        except BaseException:
            self.close()
            raise

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

    def release(self, what: str) -> None:
        """Give a lock back."""
        if self.session.is_open():
            self.run("select release_lock(%s)", lock_key(what))

    def is_free(self, what: str) -> bool:
        """Whether nobody holds a lock."""
        return bool(self.session.row("select is_free_lock(%s)", lock_key(what))[0])

    def is_alive(self, holder: str) -> bool:
        """Whether the maintenance session `holder` is still there. The lock of a dead one is free."""
        return bool(holder) and (holder == self.holder or not self.is_free(self._held_by(holder)))

    def close(self) -> None:
        """End the session; its locks are free."""
        self.session.close()

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
