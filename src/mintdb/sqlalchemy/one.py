"""One connection, one transaction that is never committed, and a face of it for each session's transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import Session

from mintdb.address import Address
from mintdb.connections.stack import find_app_site, take
from mintdb.sqlalchemy.errors import ConnectionLost, NeedsRealCommit, TransactionEnded, TwoKindsOfSession
from mintdb.sqlalchemy.guard import opening
from mintdb.sqlalchemy.loops import end_on_its_loop
from mintdb.sqlalchemy.savepoints import Caller, Plan, Savepoints
from mintdb.sqlalchemy.statements import (
    BACK_TO_OUTER,
    BEFORE_CHECK,
    CHECK,
    END_OF_CHECK,
    ENDS_IT,
    OUTER,
    Step,
    begins,
    find_step,
    find_why_not,
    parts_of,
)
from mintdb.sqlalchemy.turns import Turns

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPICursor, ExecutionContext

DEFERRABLE = sa.text("select exists (select from pg_catalog.pg_constraint where condeferrable)")
KINDS = {False: "a blocking", True: "an asynchronous"}


class Face(sa.Connection):
    """The one connection as one session's transaction has it: whose statements they are is known, whoever sends them.

    What the session takes for its transaction are savepoints. Closing it closes nothing.
    """

    def __init__(self, root: sa.Connection, caller: Caller, number: int) -> None:
        self.caller = caller
        self.number = number
        self.is_beginning = True
        super().__init__(root.engine, root.connection)
        self.begin()  # as far as SQLAlchemy, and listeners of the application, know; see OneTransaction._send
        self.is_beginning = False

    def commit(self) -> None:
        raise NeedsRealCommit(statement="the connection's own commit()", why=ENDS_IT)

    def rollback(self) -> None:
        raise NeedsRealCommit(statement="the connection's own rollback()", why=ENDS_IT)

    def close(self) -> None:
        pass

    def rename(self, statement: str) -> str:
        """SQLAlchemy numbers savepoints for each face: here they are told apart."""
        return (
            statement.replace("sa_savepoint_", f"sa_savepoint_{self.number}_")
            if find_step(statement).name
            else statement
        )

    def let_go(self) -> None:
        """The transaction is over: from here on nothing that its session does reaches the connection."""
        if begun := self.get_transaction():
            begun.rollback()


class OneTransaction:
    """The outer transaction of one test on one database. The connection is opened by the first session that needs it.

    A statement or an order of events that this cannot do justice to raises, there and then.
    """

    def __init__(self, address: Address, *, test: str) -> None:
        self.address = address
        self._test = test
        self._root: sa.Connection | None = None
        self._pooled: sa.PoolProxiedConnection | None = None  # what the root, and every face, speak through
        self._faces: WeakKeyDictionary[Session, Face] = WeakKeyDictionary()
        self._count = 0
        self._turns = Turns()
        self._savepoints = Savepoints()
        self._has_deferrable = False
        self._cut_short = "it was ended by the server, or from outside"
        self._isolation_level: object = None  # of a sqlite3 connection, as it was

    def get_face(self, session: Session, engine: sa.Engine) -> sa.Connection:
        """The one connection for a session, opened through `engine` if this is the first.

        Raises ConnectionLost, OutOfTurn and TwoKindsOfSession.
        """
        root = self._root or self._open_once(engine, session)
        if root.dialect.is_async is not engine.dialect.is_async:
            opened, wanted = KINDS[root.dialect.is_async], KINDS[engine.dialect.is_async]
            raise TwoKindsOfSession(database=self.address.database, opened=opened, wanted=wanted)
        if not self._is_alive:
            raise ConnectionLost(database=self.address.database, how=self._cut_short)
        if session not in self._faces:
            self._count += 1
            with opening():
                self._faces[session] = Face(root, _caller(session), self._count)
        return self._faces[session]

    def find_engine(self) -> sa.Engine | None:
        """That which the connection was opened through, if a session has needed it."""
        return self._root.engine if self._root else None

    @property
    def _is_alive(self) -> bool:
        return self._pooled is not None and self._pooled.is_valid

    def forget(self, session: Session) -> None:
        """A session's transaction has ended: its next one gets a face of its own."""
        self._faces.pop(session, None)

    def check_commit(self, session: Session) -> None:
        """What a commit would check, while the session can still be told: constraints that are deferred."""
        face = self._faces.get(session)
        if face is None or not self._has_deferrable or not face.in_nested_transaction():
            return
        with self._turns.take(face.caller, doing="commits", being="committing", waits=not face.dialect.is_async):
            face.exec_driver_sql(BEFORE_CHECK)
            try:
                face.exec_driver_sql(CHECK)
            except sa.exc.DBAPIError:
                _execute(face, END_OF_CHECK)
                raise
            _execute(face, END_OF_CHECK)

    def end(self) -> None:
        """Roll everything back and give the connection back. Raises TransactionEnded if somebody was first."""
        root, self._root = self._root, None
        if root is None:
            return
        for name, listener in self._listeners():
            event.remove(root.engine, name, listener)
        if root.dialect.is_async:
            end_on_its_loop([root.engine], lambda: _as_coroutine(root, self._close), root.invalidate)
        else:
            self._close(root)

    def _open_once(self, engine: sa.Engine, session: Session) -> sa.Connection:
        """A second session may come while the first one is still connecting."""
        waits = not engine.dialect.is_async
        with self._turns.take(_caller(session), doing="begins", being="connecting", waits=waits):
            if self._root is None:
                self._root = self._open(engine)
            return self._root

    def _open(self, engine: sa.Engine) -> sa.Connection:
        with opening():
            root = engine.connect()
        if engine.dialect.name == "sqlite":
            # Left to itself, sqlite3 begins late and commits by itself: SQLAlchemy's page on it says so.
            raw = _raw(root)
            self._isolation_level, raw.isolation_level = raw.isolation_level, None
        root.begin()
        if engine.dialect.name == "sqlite" and not _driver(root).in_transaction:  # no listener of its own has begun
            root.exec_driver_sql("begin")
        if engine.dialect.name == "postgresql":
            self._has_deferrable = bool(root.scalar(DEFERRABLE))
        root.exec_driver_sql(OUTER)
        self._pooled = root.connection
        for name, listener in self._listeners():
            event.listen(engine, name, listener)
        return root

    def _listeners(self) -> list[tuple[str, Callable[..., bool]]]:
        return [
            ("do_execute", self._do_execute),
            ("do_executemany", self._do_executemany),
            ("do_execute_no_params", self._do_execute_no_params),
        ]

    def _do_execute(self, cursor: DBAPICursor, statement: str, parameters: Any, context: ExecutionContext) -> bool:
        return self._send(
            statement, context, lambda sent: context.dialect.do_execute(cursor, sent, parameters, context)
        )  # Any: as SQLAlchemy has it, here and below

    def _do_executemany(self, cursor: DBAPICursor, statement: str, parameters: Any, context: ExecutionContext) -> bool:
        return self._send(
            statement, context, lambda sent: context.dialect.do_executemany(cursor, sent, parameters, context)
        )

    def _do_execute_no_params(self, cursor: DBAPICursor, statement: str, context: ExecutionContext) -> bool:
        return self._send(statement, context, lambda sent: context.dialect.do_execute_no_params(cursor, sent, context))

    def _send(self, statement: str, context: ExecutionContext, send: Callable[[str], None]) -> bool:
        """Send a face's statement in its turn, and note what it did; false for a statement of somebody else."""
        face = context.root_connection if context else None
        if not isinstance(face, Face):
            return False
        if face.is_beginning and begins(statement):
            return True  # what a listener for SQLite sends: the outer transaction has begun long ago
        for part in parts_of(statement) if face.dialect.name == "postgresql" else [statement]:
            if found := find_why_not(part):
                raise NeedsRealCommit(statement=found[0], why=found[1])
        self._send_in_turn(face, face.rename(statement), send)
        return True

    def _send_in_turn(self, face: Face, statement: str, send: Callable[[str], None]) -> None:
        step = find_step(statement)
        doing = "begins" if step.kind == "set" else "goes on"
        with self._turns.take(face.caller, doing=doing, being="being answered", waits=not face.dialect.is_async):
            plan = self._savepoints.plan(step)
            try:
                if not plan.skip:
                    send(statement)
                _execute(self._root, [f"savepoint {name}" for name in plan.again])
            except Exception:
                self._savepoints.spoil(face.caller)
                if step.kind == "release":  # a failed transaction is committed: the server would have rolled it back
                    self._roll_back(Step("rollback", step.name), face.caller)
                raise
            except BaseException:  # a task was cancelled: SQLAlchemy gives up its connection
                self._cut_short = f"cut short   {_where()}"
                raise
            self._savepoints.note(step, face.caller, plan)

    def _roll_back(self, step: Step, caller: Caller) -> None:
        """Once more in a session's place, so that the others can go on; the first failure is the one that is told."""
        with suppress(sa.exc.DBAPIError):
            _execute(self._root, [f"rollback to savepoint {step.name}"])
            self._savepoints.note(step, caller, Plan())

    def _close(self, root: sa.Connection) -> None:
        """Roll back, whatever was lost or ended before."""
        try:
            self._check_it_is_there(root)
        finally:
            try:
                for face in list(self._faces.values()):
                    face.let_go()
                if outer := root.get_transaction():
                    outer.rollback()
                if self._isolation_level is not None and self._is_alive:
                    _raw(root).isolation_level = self._isolation_level
            except sa.exc.DBAPIError:
                root.invalidate()  # the test has lost it, and the server has rolled it back
            finally:
                root.close()

    def _check_it_is_there(self, root: sa.Connection) -> None:
        """Raises TransactionEnded unless the transaction is the one that was begun."""
        if not self._is_alive:
            return
        try:
            root.exec_driver_sql(BACK_TO_OUTER)
        except sa.exc.DBAPIError as error:
            if not error.connection_invalidated:
                raise TransactionEnded(database=self.address.database, test=self._test) from error


def _execute(connection: sa.Connection | None, statements: Iterable[str]) -> None:
    if connection is not None:
        for statement in statements:
            connection.exec_driver_sql(statement)


def _raw(connection: sa.Connection) -> Any:  # Any: a driver's connection, or SQLAlchemy's blocking face of one
    return connection.connection.dbapi_connection


def _driver(connection: sa.Connection) -> Any:  # Any: a driver's connection, asynchronous or not
    return connection.connection.driver_connection


async def _as_coroutine(connection: sa.Connection, close: Callable[[sa.Connection], None]) -> None:
    await sa.util.greenlet_spawn(close, connection)


def _caller(session: Session) -> Caller:
    return Caller(session.hash_key, _where(), session.info)


def _where() -> str:
    site = find_app_site(take(skip=2))
    return str(site) if site else "a place that is not known"
