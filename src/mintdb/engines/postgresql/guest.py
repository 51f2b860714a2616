"""A database of somebody else's, used as it is: mintdb creates nothing there, writes nothing, and puts nothing back.

For `isolation = "transaction"` where the role may not create databases. That nothing of a test stays is the business of
the one transaction that its sessions share, and of refusing every other connection of the test.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mintdb.address import Address
from mintdb.contract import Present, Restored, Session, Way
from mintdb.engines.postgresql.connecting import connect
from mintdb.engines.postgresql.errors import PrivilegeMissing

if TYPE_CHECKING:
    import psycopg


def may_create_databases(address: Address) -> bool:
    """Whether the role may; true where the server cannot be asked, which is told when it is needed."""
    import psycopg

    try:
        with psycopg.connect(address.url, connect_timeout=10) as connection:
            row = connection.execute(
                "select rolcreatedb or rolsuper from pg_roles where rolname = current_user"
            ).fetchone()
    except psycopg.Error:
        return True
    return bool(row and row[0])


class GuestReservation:
    """The database that a URL names. It fulfils contract.Reservation."""

    as_it_is = True

    def __init__(self, url: Address) -> None:
        self.url = url

    def address(self, database: str) -> Address:
        """See contract.Reservation. There is one database, whatever it would be called."""
        return self.url

    def open(self, *, owner: str, linger: float, let_go: Callable[[str], object]) -> GuestServer:
        """See contract.Reservation. Raises a ServerError that says what is wrong."""
        with connect(self.url) as session:
            row = session.execute("show server_version").fetchone()
        return GuestServer(self.url, str(row[0]).split()[0] if row else "")


class GuestServer:
    """A server where nothing is made. It fulfils contract.Server."""

    engine = "postgresql"
    identity: Iterable[bytes] = ()
    connections_allowed: int | None = None
    own_connections = 0
    can_be_adopted = False

    def __init__(self, url: Address, version: str) -> None:
        self.url = url
        self.version = version
        self._is_taken = False

    @property
    def own_url(self) -> str:
        return self.url.url

    @contextmanager
    def lock(self, name: str, *, timeout: float) -> Iterator[None]:
        """See contract.Server. Nothing is shared here that would need one."""
        yield

    def has_template(self, name: str, *, run: str = "") -> bool:
        """See contract.Server. The database has to have its tables."""
        return True

    def build_template(self, name: str, build: Callable[[Address], None], *, run: str = "", base: str = "") -> None:
        """See contract.Server."""
        raise self._refusal()

    def hold_name(self, name: str, *, timeout: float) -> None:
        """See contract.Server."""

    def drop_template(self, name: str) -> None:
        """See contract.Server."""

    def clone(self, template: str, name: str) -> GuestClone:
        """See contract.Server. The home clone stands for the database itself; there is no other."""
        if self._is_taken:
            raise self._refusal()
        self._is_taken = True
        return GuestClone(self.url)

    def adopt(self, name: str) -> GuestClone:
        """See contract.Server."""
        raise self._refusal()

    def reap(self) -> Sequence[str]:
        """See contract.Server."""
        return ()

    def close(self) -> None:
        """See contract.Server."""

    def _refusal(self) -> PrivilegeMissing:
        return PrivilegeMissing(url=self.url.redacted, role=self.url.user)


class GuestClone:
    """The database itself, which stays as it is. It fulfils contract.Clone."""

    marks = 0

    def __init__(self, url: Address) -> None:
        self.address = url

    def connect(self, **options: Any) -> psycopg.Connection[Any]:  # Any: psycopg's own options and rows
        """See contract.Clone."""
        import psycopg

        return psycopg.connect(self.address.url, **options)

    def settle(self, *, seconds: float, ahead: bool = False) -> Present:
        """See contract.Clone. Others use the database too: nobody is waited for."""
        return Present({})

    def restore(self) -> Restored:
        """See contract.Clone. The test's one transaction is rolled back by now."""
        return Restored(Way.ROLLED_BACK, 0.0)

    def end(self, backends: Collection[int]) -> None:
        """See contract.Clone. Nobody's sessions are mintdb's to end here."""

    def welcome(self) -> None:
        """See contract.Clone."""

    def push_mark(self) -> None:
        """See contract.Clone."""

    def drop_mark(self, number: int) -> None:
        """See contract.Clone."""

    def wrote(self) -> bool:
        """See contract.Clone."""
        return False

    def step_aside(self) -> None:
        """See contract.Clone."""

    def keep(self) -> Address:
        """See contract.Clone. What the test did is rolled back by now."""
        return self.address

    def sessions(self) -> Sequence[Session]:
        """See contract.Clone."""
        return ()

    def drop(self) -> Sequence[Session]:
        """See contract.Clone."""
        return ()
