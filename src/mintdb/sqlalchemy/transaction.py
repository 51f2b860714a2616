"""isolation = "transaction": an application's sessions and the test's are part of one transaction per database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import Session, SessionTransaction, scoped_session, sessionmaker
from sqlalchemy.util import ScopedRegistry, ThreadLocalRegistry

from mintdb.address import Address
from mintdb.sqlalchemy.engines import check_leads_to, leads_to
from mintdb.sqlalchemy.errors import SessionAfterTest
from mintdb.sqlalchemy.guard import Guard
from mintdb.sqlalchemy.one import OneTransaction

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import async_scoped_session, async_sessionmaker

    # What an application makes its sessions with.  # Any: whatever class these are of
    Maker = sessionmaker[Any] | async_sessionmaker[Any] | scoped_session[Any] | async_scoped_session[Any]


class Transactions:
    """The outer transactions of one test: one for each leased database that a session asks for."""

    def __init__(self, addresses: Iterable[Address], *, variables: Mapping[str, str], test: str = "the test") -> None:
        """`variables` are those that mintdb exports, for an error to name."""
        self._all = [OneTransaction(address, test=test) for address in addresses]
        self._variables = variables
        self._test = test
        self._is_over = False
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        """From here on a second connection to one of the databases is refused."""
        self._undo.enter_context(Guard([one.address for one in self._all]))
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over = True
        with self._undo:
            for one in self._all:
                self._undo.callback(one.end)

    def engines(self) -> list[sa.Engine]:
        """Those that the transactions' connections were taken from."""
        return [engine for one in self._all if (engine := one.find_engine())]

    def get_connection(self, session: Session, engine: sa.Engine) -> sa.Connection:
        """The one connection to the database that an engine leads to, for a session's transaction.

        Raises EngineElsewhere, ConnectionLost, OutOfTurn and TwoKindsOfSession.
        """
        return self._get(engine).get_face(session, engine)

    def check_not_over(self) -> None:
        """Raises SessionAfterTest once the test is over."""
        if self._is_over:
            raise SessionAfterTest(test=self._test)

    def join(self, *makers: Maker) -> None:
        """Let an application's sessions, from now to the end of the test, be part of the outer transaction."""
        for maker in makers:
            if hasattr(maker, "registry"):
                self._undo.callback(setattr, maker, "registry", maker.registry)
                maker.registry = _empty(maker)  # those made before, in whatever thread, do not know of the transaction
            self._join_maker(getattr(maker, "session_factory", maker))

    def check_commit(self, session: Session) -> None:
        """A session is about to commit. Raises what the database would: IntegrityError for a deferred constraint."""
        for one in self._all:
            one.check_commit(session)

    def forget(self, session: Session) -> None:
        """A session's transaction has ended."""
        for one in self._all:
            one.forget(session)

    def kind_of(self, base: type[Session]) -> type[Session]:
        """A class of sessions like `base` that are part of the outer transaction."""
        return joining(base, self)

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

    def _get(self, engine: sa.Engine) -> OneTransaction:
        for one in self._all:
            if leads_to(engine, one.address):
                return one
        check_leads_to(engine, self._all[0].address, variables=self._variables)
        raise AssertionError


def _empty(maker: Any) -> ScopedRegistry[Any]:  # Any: a scoped session, blocking or not, of whatever class
    """A registry like a scoped session's own, with no session in it."""
    if isinstance(maker.registry, ThreadLocalRegistry):
        return ThreadLocalRegistry(maker.session_factory)
    return ScopedRegistry(maker.session_factory, maker.registry.scopefunc)


def _put_back(options: dict[str, Any], kept: dict[str, Any]) -> None:  # Any: a sessionmaker's keyword arguments
    options.clear()
    options.update(kept)


def joining(base: type[Session], transactions: Transactions) -> type[Session]:
    """A class like `base` whose sessions are bound to the one connection, wherever `base` would bind them."""

    def get_bind(self: Session, *args: Any, **options: Any) -> sa.Connection:  # Any: as Session has it
        transactions.check_not_over()
        return transactions.get_connection(self, base.get_bind(self, *args, **options).engine)

    def begin(self: Session, nested: bool = False) -> SessionTransaction:  # as Session has it
        transactions.check_not_over()
        return base.begin(self, nested)

    def commit(self: Session) -> None:
        transactions.check_not_over()
        base.commit(self)

    own = {"get_bind": get_bind, "begin": begin, "commit": commit, "shared_engines": transactions.engines}
    joined: type[Session] = type(f"Joined{base.__name__}", (base,), own)

    @event.listens_for(joined, "before_commit")
    def before_commit(session: Session) -> None:
        if not session.in_nested_transaction():
            session.flush()
            transactions.check_commit(session)

    @event.listens_for(joined, "after_transaction_end")
    def after_transaction_end(session: Session, transaction: SessionTransaction) -> None:
        if transaction.parent is None:
            transactions.forget(session)

    return joined
