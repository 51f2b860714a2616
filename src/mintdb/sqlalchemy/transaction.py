"""isolation = "transaction": one connection, one transaction that is never committed, and every session within it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from mintdb.address import Address
from mintdb.connections import gate
from mintdb.connections.stack import find_app_site, take
from mintdb.sqlalchemy.engines import check_leads_to, leads_to
from mintdb.sqlalchemy.errors import NeedsRealCommit, OutOfTurn, SecondConnection, TwoKindsOfSession
from mintdb.sqlalchemy.loops import end_on_its_loop
from mintdb.sqlalchemy.savepoints import Caller, Savepoints
from mintdb.sqlalchemy.statements import CHECK, END_OF_CHECK, find_savepoint, find_why_not

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import async_scoped_session, async_sessionmaker

    # What an application makes its sessions with.  # Any: whatever class these are of
    Maker = sessionmaker[Any] | async_sessionmaker[Any] | scoped_session[Any] | async_scoped_session[Any]

DEFERRABLE = sa.text("select exists (select from pg_catalog.pg_constraint where condeferrable)")


class OneTransaction:
    """The outer transaction of one test on one database. The connection is opened by the first session that needs it.

    What sessions take for their transactions are savepoints in it. A statement or an order of events that this cannot
    do justice to raises, there and then.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self.opening = False  # the one connection is being opened now
        self._first: str | None = None  # where the session began for which the one connection is being opened
        self._connection: sa.Connection | None = None
        self._savepoints = Savepoints()
        self._listening: list[tuple[str, Callable[..., None]]] = []
        self._has_deferrable = False
        self._isolation_level: object = None  # of a sqlite3 connection, as it was

    def get_connection(self, engine: sa.Engine) -> sa.Connection:
        """The one connection, opened through `engine` if it is the first. Raises OutOfTurn and TwoKindsOfSession."""
        if self._connection is None:
            self._connection = self._open_once(engine)
        opened = self._connection.dialect.is_async
        if opened is not engine.dialect.is_async:
            kinds = {False: "a blocking", True: "an asynchronous"}
            raise TwoKindsOfSession(
                database=self.address.database, opened=kinds[opened], wanted=kinds[engine.dialect.is_async]
            )
        return self._connection

    def find_connection(self) -> sa.Connection | None:
        """The one connection, if a session has needed it."""
        return self._connection

    def is_this(self, connection: sa.Connection) -> bool:
        """Whether this is the one connection."""
        return connection is self._connection

    def began(self, session: Session) -> None:
        """The newest savepoint is a session's."""
        self._savepoints.belongs(Caller(session.hash_key, _where(), session.info))

    def end(self) -> None:
        """Roll everything back and give the connection back."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        for name, listener in self._listening:
            event.remove(connection, name, listener)
        if connection.dialect.is_async:
            end_on_its_loop([connection.engine], lambda: _as_coroutine(connection, self._close), connection.invalidate)
        else:
            self._close(connection)

    def _open_once(self, engine: sa.Engine) -> sa.Connection:
        """An asynchronous driver lets other tasks run while it connects: they cannot have this connection yet."""
        if self._first is not None:
            raise OutOfTurn(doing="begins while another one is connecting", first=self._first, second=_where())
        self._first = _where()
        try:
            return self._open(engine)
        finally:
            self._first = None

    def _open(self, engine: sa.Engine) -> sa.Connection:
        self.opening = True
        try:
            connection = engine.connect()
        finally:
            self.opening = False
        if engine.dialect.name == "sqlite":
            # Left to itself, sqlite3 begins late and commits by itself: SQLAlchemy's page on it says so.
            raw = _raw(connection)
            self._isolation_level, raw.isolation_level = raw.isolation_level, None
        connection.begin()
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("begin")
        if engine.dialect.name == "postgresql":
            self._has_deferrable = bool(connection.scalar(DEFERRABLE))
        self._listen(connection)
        return connection

    def _listen(self, connection: sa.Connection) -> None:
        self._listening = [
            ("release_savepoint", lambda conn, name, context: self._savepoints.release(name)),
            ("rollback_savepoint", lambda conn, name, context: self._savepoints.roll_back(name)),
            ("before_cursor_execute", self._executes),
        ]
        for name, listener in self._listening:
            event.listen(connection, name, listener)

    def _executes(self, connection: sa.Connection, cursor: object, statement: str, *others: object) -> None:
        if name := find_savepoint(statement):  # SQLAlchemy's own event for it comes before it has a name
            self._savepoints.begin(name)
        elif found := find_why_not(statement):
            raise NeedsRealCommit(statement=found[0], why=found[1])

    def check_commit(self, session: Session) -> None:
        """What a commit would check, while the session can still be told: constraints that are deferred."""
        if not self._has_deferrable or self._connection is None or not self._savepoints.are_of(session.hash_key):
            return
        try:
            for statement in CHECK:
                self._connection.exec_driver_sql(statement)
        except sa.exc.DBAPIError:
            for statement in END_OF_CHECK:
                self._connection.exec_driver_sql(statement)
            raise
        for statement in END_OF_CHECK:
            self._connection.exec_driver_sql(statement)

    def _close(self, connection: sa.Connection) -> None:
        try:
            outer = connection.get_transaction()
            if outer is not None:
                outer.rollback()
            if self._isolation_level is not None:
                _raw(connection).isolation_level = self._isolation_level
        except sa.exc.DBAPIError:
            connection.invalidate()  # the test has lost it, and the server has rolled it back
        finally:
            connection.close()


def _names(database: str, address: Address) -> bool:
    """Whether what a driver was given, a name, a path or a URL, names this database."""
    if "://" not in database:
        return database == address.database
    return database.partition("?")[0].rpartition("/")[2] == address.database


def _raw(connection: sa.Connection) -> Any:  # Any: a driver's connection, or SQLAlchemy's blocking face of one
    return connection.connection.dbapi_connection


async def _as_coroutine(connection: sa.Connection, close: Callable[[sa.Connection], None]) -> None:
    await sa.util.greenlet_spawn(close, connection)


def _where() -> str:
    site = find_app_site(take(skip=2))
    return str(site) if site else "a place that is not known"


class Transactions:
    """The outer transactions of one test: one for each leased database that a session asks for."""

    def __init__(self, addresses: Iterable[Address], *, variables: Mapping[str, str]) -> None:
        """`variables` are those that mintdb exports, for an error to name."""
        self._all = [OneTransaction(address) for address in addresses]
        self._variables = variables
        self._undo = ExitStack()

    def __enter__(self) -> Transactions:
        """From here on a second connection to one of the databases is refused."""
        event.listen(sa.Engine, "engine_connect", self._engine_connects)
        self._undo.callback(event.remove, sa.Engine, "engine_connect", self._engine_connects)
        self._before, gate.keeper = gate.keeper, self
        return self

    def __exit__(self, *error: object) -> None:
        gate.keeper = self._before
        with self._undo:
            for one in self._all:
                self._undo.callback(one.end)

    def engines(self) -> list[sa.Engine]:
        """Those that the transactions' connections were taken from."""
        return [connection.engine for one in self._all if (connection := one.find_connection())]

    def get_connection(self, engine: sa.Engine) -> sa.Connection:
        """The one connection to the database that an engine leads to. Raises EngineElsewhere and TwoKindsOfSession."""
        return self.get(engine).get_connection(engine)

    def join(self, *makers: Maker) -> None:
        """Let an application's sessions, from now to the end of the test, be part of the outer transaction."""
        for maker in makers:
            self._join(maker)

    def check_commit(self, session: Session) -> None:
        """A session is about to commit. Raises what the database would: IntegrityError for a deferred constraint."""
        for one in self._all:
            one.check_commit(session)

    def kind_of(self, base: type[Session]) -> type[Session]:
        """A class of sessions like `base` that are part of the outer transaction."""
        return joining(base, self)

    def _join(self, maker: Maker) -> None:
        if isinstance(maker, scoped_session) and maker.registry.has():
            maker.remove()  # one that was made before does not know of the transaction
        made_by: Any = getattr(maker, "session_factory", maker)  # Any: of a scoped session, the sessionmaker
        self._join_maker(made_by)

    def _join_maker(self, maker: Any) -> None:  # Any: a sessionmaker or an async_sessionmaker
        kept = dict(maker.kw)
        maker.kw["join_transaction_mode"] = "create_savepoint"
        if hasattr(maker.class_, "sync_session_class"):  # an AsyncSession's
            base = kept.get("sync_session_class") or maker.class_.sync_session_class
            maker.kw["sync_session_class"] = self.kind_of(base)
        else:
            self._undo.callback(setattr, maker, "class_", maker.class_)
            maker.class_ = self.kind_of(maker.class_)
        self._undo.callback(_put_back, maker.kw, kept)

    def get(self, engine: sa.Engine) -> OneTransaction:
        """That of the database which an engine leads to. Raises EngineElsewhere."""
        for one in self._all:
            if leads_to(engine, one.address):
                return one
        check_leads_to(engine, self._all[0].address, variables=self._variables)
        raise AssertionError

    def _engine_connects(self, connection: sa.Connection) -> None:
        for one in self._all:
            if leads_to(connection.engine, one.address) and not one.opening and not one.is_this(connection):
                connection.close()
                raise self._second(one)

    def wait(self, database: Callable[[], str]) -> None:
        """See connections.gate.Keeper. Raises SecondConnection for a driver's own connection."""
        self._refuse(database())
        if self._before is not None:
            self._before.wait(database)

    async def wait_async(self, database: Callable[[], str]) -> None:
        """See connections.gate.Keeper."""
        self._refuse(database())
        if self._before is not None:
            await self._before.wait_async(database)

    def _refuse(self, database: str) -> None:
        for one in self._all:
            if _names(database, one.address) and not one.opening:
                raise self._second(one)

    def _second(self, one: OneTransaction) -> SecondConnection:
        site = find_app_site(take(skip=2))
        opener = f"  asked for at  {site}\n" if site else ""
        return SecondConnection(database=one.address.database, opener=opener)


def _put_back(options: dict[str, Any], kept: dict[str, Any]) -> None:  # Any: a sessionmaker's keyword arguments
    options.clear()
    options.update(kept)


def joining(base: type[Session], transactions: Transactions) -> type[Session]:
    """A class like `base` whose sessions are bound to the one connection, wherever `base` would bind them."""

    def get_bind(self: Session, *args: Any, **options: Any) -> sa.Connection:  # Any: as Session has it
        bind = base.get_bind(self, *args, **options)
        return transactions.get_connection(bind.engine)

    joined: type[Session] = type(
        f"Joined{base.__name__}", (base,), {"get_bind": get_bind, "shared_engines": transactions.engines}
    )

    @event.listens_for(joined, "after_begin")
    def after_begin(session: Session, transaction: object, connection: sa.Connection) -> None:
        transactions.get(connection.engine).began(session)

    @event.listens_for(joined, "before_commit")
    def before_commit(session: Session) -> None:
        if not session.in_nested_transaction():
            session.flush()
            transactions.check_commit(session)

    return joined
