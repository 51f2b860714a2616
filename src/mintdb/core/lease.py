"""One test's right to a clone, from acquire to release."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Sequence
from types import TracebackType
from typing import Any, Self

from mintdb.address import Address
from mintdb.contract import Clone, Restored, Way
from mintdb.errors import LeaseError
from mintdb.facts import dataclass


class LeaseEnded(LeaseError):
    """A lease was used after its release. Facts: database."""

    text = """\
the lease of {database} has ended, and the database may be another test's by now
  1. ask for the URL or the connection inside the test"""


class UncommittedWrites(LeaseError):
    """A mark was wanted while somebody holds a transaction that has written. Facts: database, holders."""

    text = """\
{database} cannot be marked: what was written is not committed
{holders}
  1. commit before the examples begin: a mark holds only what is committed"""


class NoMarkInTransaction(LeaseError):
    """A mark was wanted where a test's sessions share one transaction. Facts: database."""

    text = """\
{database} cannot be put back before the test ends: under isolation = "transaction" all of it is one transaction
  1. let this test really commit:  isolation = "rewind"  in its marker
  2. or take rewind_examples away, and roll back in each example:  session.rollback()"""


@dataclass(frozen=True)
class Care:
    """What the pool that a leased clone is from does for it."""

    release: Callable[[Collection[int]], Restored]
    mark: Callable[[], None]
    rewind: Callable[[], Restored]


_held: list[Lease] = []


def held() -> Sequence[Lease]:
    """The leases that this thread has acquired and not yet released, the oldest first."""
    return [lease for lease in _held if lease.is_here]


class Lease:
    """A database for one test. As a context manager it is released at the end of the block.

    Whoever holds it may open any number of connections, threads and processes on `url`, and really commit.
    """

    def __init__(self, clone: Clone, care: Care, *, address: Address | None = None) -> None:
        """`address` is how its holder reaches the clone, where that is not as everybody does."""
        self._process = os.getpid()
        self._thread = threading.get_ident()
        self._clone: Clone | None = clone
        self._address = address or clone.address
        self._care = care
        self._connections: list[Any] = []  # Any: see connect
        self.restored: Restored | None = None
        self.is_one_transaction = False  # whether sessions share one, which only the end of the test rolls back
        _held.append(self)

    @property
    def is_here(self) -> bool:
        """Whether this process and thread are those that acquired it."""
        return (self._process, self._thread) == (os.getpid(), threading.get_ident())

    @property
    def address(self) -> Address:
        """Where the database answers. Raises LeaseEnded after the release."""
        self._check()
        return self._address

    @property
    def url(self) -> str:
        """The `libpq` URL. Raises LeaseEnded after the release."""
        return self.address.url

    def url_for(self, form: str) -> str:
        """The URL in another form: `jdbc`, `sqlalchemy`, or any SQLAlchemy `dialect+driver`."""
        return self.address.url_for(form)

    @property
    def params(self) -> dict[str, str | int]:
        """Keyword arguments for psycopg.connect and psycopg2.connect, or sqlite3.connect."""
        return self.address.params

    def connect(self, **options: Any) -> Any:  # Any: a connection of the engine's driver, which differs
        """A new connection of the engine's usual driver (psycopg, sqlite3, …), which gets `options`.

        It is closed with the lease, if it was not closed before.
        """
        self._check()
        assert self._clone is not None
        connection = self._clone.connect(**{**_difference(self._clone.address, self._address), **options})
        self._connections.append(connection)
        return connection

    def through(self, address: Address) -> Lease:
        """The same lease under another address of the database. Its release closes its own connections only."""
        self._check()
        assert self._clone is not None
        care = Care(lambda _: Restored(Way.KEPT, 0.0), lambda: None, lambda: Restored(Way.KEPT, 0.0))
        return Lease(self._clone, care, address=address)

    def keep(self) -> Address:
        """Set the database aside as it is, under another name, for a person to look at; the lease goes on with a copy.

        It stays until somebody drops it (`mintdb down` does, on an embedded server). Its connections are ended.
        """
        self._check()
        assert self._clone is not None
        return self._clone.keep()

    def mark(self) -> None:
        """Make the present state the one that `rewind` returns to, until the lease ends. Connections may stay open.

        Raises UncommittedWrites where somebody is in the middle of a transaction that has written, and
        NoMarkInTransaction.
        """
        self._check()
        if self.is_one_transaction:
            raise NoMarkInTransaction(database=self._address.database)
        self._care.mark()

    def rewind(self) -> Restored:
        """Put the clone back to its newest mark now: the template's, a wider fixture's, or that of `mark`.

        The lease goes on. Connections that were left open since are accounted for, and ended, as after a test; the
        report is part of what `release` returns.
        """
        self._check()
        return self._care.rewind()

    def release(self, rolled_back: Collection[int] = ()) -> Restored:
        """End the lease and put the clone back; again is harmless, and so it is in a forked child of the holder.

        `rolled_back` are backends over which the holder has rolled back all it did. Where nobody else was at work, the
        clone is then put back only before somebody needs more than that: see MarkStack.go_back.
        """
        if os.getpid() != self._process:
            return Restored(Way.KEPT, 0.0)
        if self.restored is None:
            self._end()
            self.restored = self._care.release(rolled_back)
        return self.restored

    def lose(self) -> None:
        """The clone is about to be dropped, or is nobody's any more: end the lease with nothing put back."""
        if self.restored is None:
            if self._clone is not None:  # or the put-back at its end has failed
                self._end()
            self.restored = Restored(Way.KEPT, 0.0)

    def _end(self) -> None:
        self._check()
        self._clone = None
        _held.remove(self)
        for connection in self._connections:
            connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _check(self) -> None:
        if self._clone is None:
            raise LeaseEnded(database=self._address.database)


def _difference(usual: Address, wanted: Address) -> dict[str, str | int]:
    """What has to be said to a driver that would connect as usual."""
    before, after = usual.params, wanted.params
    return {key: after.get(key, "") for key in {*before, *after} if before.get(key) != after.get(key)}
