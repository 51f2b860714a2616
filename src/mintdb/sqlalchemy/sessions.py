"""Open a session for one test, and let nobody use it after that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, SessionTransaction

from mintdb.sqlalchemy.errors import SessionAfterTest
from mintdb.sqlalchemy.loops import end_on_its_loop
from mintdb.sqlalchemy.savepoints import ENDED

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession


class TestSession(Session):
    """A session that knows when its test is over."""

    __test__ = False  # it is no test, whatever its name

    @classmethod
    def shared_engines(cls) -> Sequence[sa.Engine]:
        """Whose connections such sessions may use beside those of the engine that they are given."""
        return ()

    def get_bind(self, *args: Any, **options: Any) -> sa.Engine | sa.Connection:  # Any: as Session has it
        """Raises SessionAfterTest; every statement asks here first."""
        self._check_not_over()
        return super().get_bind(*args, **options)

    def begin(self, nested: bool = False) -> SessionTransaction:  # as Session has it
        """Raises SessionAfterTest."""
        self._check_not_over()
        return super().begin(nested)

    def commit(self) -> None:
        """Raises SessionAfterTest, even where there is nothing to commit."""
        self._check_not_over()
        super().commit()

    def _check_not_over(self) -> None:
        if ENDED in self.info:
            raise SessionAfterTest(test=self.info[ENDED])


@contextmanager
def open_session(
    bind: sa.Engine, *, test: str, kind: type[TestSession] = TestSession, **options: Any
) -> Iterator[Session]:
    """A session on an engine; what it has not committed by the end of the block is rolled back."""
    session = kind(bind, **options)  # Any: Session's own options
    try:
        yield session
    finally:
        session.info[ENDED] = test
        close(session)


@contextmanager
def open_async_session(
    bind: AsyncEngine, *, test: str, kind: type[TestSession] = TestSession, **options: Any
) -> Iterator[AsyncSession]:
    """The same for an asynchronous engine. It may be entered and left where no event loop runs."""
    from sqlalchemy.ext.asyncio import AsyncSession  # needs greenlet, which not everybody has

    session = AsyncSession(bind, sync_session_class=kind, **options)  # Any: as above
    try:
        yield session
    finally:
        session.sync_session.info[ENDED] = test
        end_on_its_loop([bind.sync_engine, *kind.shared_engines()], session.close, session.sync_session.invalidate)


def close(session: Session) -> None:
    """Close a session; whose connection the test has lost, is let go of."""
    try:
        session.close()
    except sa.exc.DBAPIError:
        session.invalidate()
