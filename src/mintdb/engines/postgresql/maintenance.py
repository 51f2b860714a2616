"""This process's session in the maintenance database: locks that die with it, and a record of what mintdb made."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, LiteralString

from mintdb import clock
from mintdb.address import Address
from mintdb.engines.postgresql.connecting import (
    APPLICATION,
    CONNECT_TIMEOUT,
    OLDEST,
    connect,
    find_reason,
    may_be_back,
    shown,
)
from mintdb.engines.postgresql.errors import (
    LockTimeout,
    PrivilegeMissing,
    ServerGone,
    ServerTooOld,
    ServerUnreachable,
)
from mintdb.errors import ServerError

if TYPE_CHECKING:
    import psycopg

DATABASE = "mintdb"
LIVE: LiteralString = "select pg_advisory_lock_shared(%s)"
RESTART = 5.0  # seconds; PostgreSQL restarts in under one, a container in two or three
PAUSE = 0.05  # seconds between two tries to connect

REGISTRY: LiteralString = """
create table if not exists databases (
    name text primary key,
    oid oid,                -- null until it was created
    owner text not null,    -- the run that holds it; '' for what belongs to nobody
    made_at timestamptz not null default now(),
    used_at timestamptz not null default now(),
    notes jsonb not null default '{}'
);
create table if not exists surveys (
    template text primary key references databases on update cascade on delete cascade,
    layout text not null,
    map bytea not null      -- see surveys.py
);
grant select, insert, update, delete on databases, surveys to public;
"""


class Maintenance:
    """One session in a server's `mintdb` database. Its locks are free once this process is gone, whatever ended it."""

    def __init__(self, address: Address, *, owner: str, outlives_restarts: bool = False) -> None:
        """Connect, creating the maintenance database if need be. Raises a ServerError that says what is wrong."""
        self.address = address
        self.owner = owner
        self._outlives_restarts = outlives_restarts
        self._held: list[str] = []  # names of locks
        self.connection = _open(address, owner)
        row = self.row(
            "select current_setting('server_version_num')::int, current_setting('server_version'),"
            " r.rolsuper, r.rolcreatedb or r.rolsuper, r.rolname::text from pg_roles r where r.rolname = current_user"
        )
        self.version_number, self.version, self.superuser, may_create, self.role = row
        if self.version_number < OLDEST:
            self.close()
            raise ServerTooOld(url=shown(address), version=self.version, oldest=OLDEST // 10000)
        if not may_create:
            self.close()
            raise PrivilegeMissing(url=shown(address), role=self.role)
        # Shared: a run has a session for each database that it has configured here, and lives while one of them does.
        self.run(LIVE, lock_key(f"run:{owner}"))

    @property
    def url(self) -> str:
        """Where the server answers, for messages."""
        return shown(self.address)

    def run(self, statement: LiteralString, *values: object) -> None:
        """Run one statement. Raises ServerGone where the server ended the session, and is not back within 5 s."""
        self._execute(statement, values)

    def rows(self, statement: LiteralString, *values: object) -> list[Any]:  # Any: rows are as the statement selects
        """All rows of a query. Raises ServerGone as `run` does."""
        return self._execute(statement, values).fetchall()

    def row(self, statement: LiteralString, *values: object) -> Any:  # Any: see rows
        """The first row of a query that has one."""
        return self.rows(statement, *values)[0]

    @contextlib.contextmanager
    def lock(self, name: str, *, timeout: float) -> Iterator[None]:
        """Hold `name` among all processes on this server. Raises LockTimeout, naming the holder, after `timeout` s."""
        self.acquire(name, timeout=timeout)
        try:
            yield
        finally:
            self.release(name)

    def acquire(self, name: str, *, timeout: float) -> None:
        """Take a lock until `release`, or until this process is gone."""
        import psycopg

        if self._try(name):
            return
        self.run("select set_config('lock_timeout', %s, false)", f"{max(1, int(timeout * 1000))}ms")
        try:
            self.run("select pg_advisory_lock(%s)", lock_key(name))
            self._held.append(name)
        except psycopg.errors.LockNotAvailable:
            raise LockTimeout(what=name, seconds=timeout, holder=self._describe_holder(name)) from None
        finally:
            self.run("select set_config('lock_timeout', '0', false)")

    def release(self, name: str) -> None:
        """Give a lock back."""
        if not self.connection.closed:
            self.run("select pg_advisory_unlock(%s)", lock_key(name))
        if name in self._held:
            self._held.remove(name)

    def is_alive(self, owner: str) -> bool:
        """Whether the run `owner` still has its session here. The lock of a dead one is free."""
        if owner == self.owner:
            return True
        key = lock_key(f"run:{owner}")
        (free,) = self.row("select pg_try_advisory_lock(%s)", key)
        if free:
            self.run("select pg_advisory_unlock(%s)", key)
        return not free

    def holder_of(self, name: str) -> str | None:
        """The application name of the session that holds a lock, or None; another login's is not told."""
        return next(iter(self._holders(name)), None)

    def is_held(self, name: str) -> bool:
        """Whether any session holds a lock, whoever's it is."""
        return bool(self._holders(name))

    def close(self) -> None:
        """End the session; its locks are free."""
        self._outlives_restarts = False
        self.connection.close()

    def _execute(self, statement: LiteralString, values: tuple[object, ...]) -> psycopg.Cursor[Any]:  # Any: see rows
        import psycopg

        try:
            return self.connection.execute(statement, values or None)
        except KeyboardInterrupt:
            self._stop_what_was_interrupted()
            raise
        except psycopg.OperationalError as error:
            if not self.connection.closed and not self._stop_what_was_interrupted():
                raise
            if self.connection.closed and not self._is_back():
                raise ServerGone(url=self.url, reason=find_reason(str(error))) from None
        return self._execute(statement, values)

    def _stop_what_was_interrupted(self) -> bool:
        """Whether a Ctrl-C had come between a statement and its answer: it is cancelled, and the session is free."""
        import psycopg

        if self.connection.info.transaction_status != psycopg.pq.TransactionStatus.ACTIVE:
            return False
        with contextlib.suppress(psycopg.Error):
            self.connection.cancel_safe(timeout=CONNECT_TIMEOUT)
        while self.connection.pgconn.get_result() is not None:
            pass
        return True

    def _is_back(self) -> bool:
        """Be who we were, with all our locks, on a server that has restarted; False if it has not, or one is taken."""
        patient, self._outlives_restarts = self._outlives_restarts, False  # who waited in vain does so once
        if not patient:
            return False
        try:
            self.connection = self._reconnect()
            self.run(LIVE, lock_key(f"run:{self.owner}"))
            held, self._held = self._held, []
            self._outlives_restarts = all(map(self._try, held))
        except ServerError:
            return False
        return self._outlives_restarts

    def _reconnect(self) -> psycopg.Connection[Any]:  # Any: see rows
        deadline = clock.monotonic() + RESTART
        while True:
            try:
                return _enter(self.address, self.owner)
            except ServerUnreachable:
                if not may_be_back(self.address) or clock.monotonic() >= deadline:
                    raise
            clock.sleep(PAUSE)

    def _try(self, name: str) -> bool:
        (taken,) = self.row("select pg_try_advisory_lock(%s)", lock_key(name))
        if taken:
            self._held.append(name)
        return bool(taken)

    def _holders(self, name: str) -> list[str | None]:
        key = lock_key(name)
        found = self.rows(
            "select a.application_name from pg_locks l join pg_stat_activity a using (pid)"
            " where l.locktype = 'advisory' and l.granted and a.datname = %s"
            " and l.classid::bigint = %s and l.objid::bigint = %s",
            DATABASE,
            (key >> 32) & 0xFFFFFFFF,
            key & 0xFFFFFFFF,
        )
        return [application for (application,) in found]

    def _describe_holder(self, name: str) -> str:
        holder = self.holder_of(name)
        return f", held by {holder}" if holder else ""


def has_registry(address: Address) -> bool:
    """Whether mintdb has a maintenance database on a server. It gets none by being asked. Raises a ServerError."""
    with connect(address) as session:
        return session.execute("select 1 from pg_database where datname = %s", [DATABASE]).fetchone() is not None


def lock_key(name: str) -> int:
    """The advisory lock that stands for a name: a signed 64-bit number."""
    return int.from_bytes(hashlib.sha256(f"mintdb:{name}".encode()).digest()[:8], "big", signed=True)


def _open(address: Address, owner: str) -> psycopg.Connection[Any]:
    for attempt in (1, 2):
        try:
            session = _enter(address, owner)
        except ServerUnreachable as error:
            if attempt == 2 or not _is_missing_database(error.reason):
                raise
            _create_database(address)
            continue
        session.execute("set search_path to public")
        _fill(session)
        return session
    raise AssertionError("unreachable")


def _enter(address: Address, owner: str) -> psycopg.Connection[Any]:
    application = f"{APPLICATION} run {owner} (process {os.getpid()})"
    return connect(address.with_database(DATABASE), application=application, shown=address)


def _create_database(address: Address) -> None:
    """Make the maintenance database from a session in the URL's own database, which is only connected to."""
    import psycopg

    with connect(address) as session:
        try:
            session.execute(f"create database {DATABASE} template template0")
        except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
            pass  # another process was quicker
        except psycopg.errors.InsufficientPrivilege:
            (role,) = session.execute("select current_user").fetchone() or ("?",)
            raise PrivilegeMissing(url=shown(address), role=role) from None


def _fill(session: psycopg.Connection[Any]) -> None:
    """Make the registry if it is not there: whoever created the database may have died before it came to that."""
    found = session.execute("select 1 from pg_class where oid = to_regclass('surveys')").fetchone()
    if not found:
        with session.transaction():
            session.execute("select pg_advisory_xact_lock(%s)", [lock_key("registry")])
            session.execute(REGISTRY)


def _is_missing_database(reason: str) -> bool:
    return f'database "{DATABASE}" does not exist' in reason
