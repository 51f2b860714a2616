"""A PostgreSQL server that a URL names: its own database is only connected to, never written to or dropped."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mintdb.address import Address, parse_url
from mintdb.engines.postgresql import housekeeper
from mintdb.engines.postgresql.errors import FixedNameOnSharedServer
from mintdb.engines.postgresql.maintenance import Maintenance
from mintdb.engines.postgresql.roles import borrow, check, entered
from mintdb.engines.postgresql.server import PostgresServer
from mintdb.facts import dataclass


@dataclass(frozen=True)
class ExternalReservation:
    """A server that runs already, and a login: as tests reach it, and as mintdb does."""

    url: Address
    own: Address
    needs_keeper: bool  # False where another process of ours has seen to it
    roles: Sequence[str] = ()  # which must be there, or are made for as long as they are needed
    role: str | None = None  # as which tests act
    search_path: str | None = None

    def address(self, database: str) -> Address:
        """See contract.Reservation."""
        return entered(self.url.with_database(database), role=self.role, search_path=self.search_path)

    def open(self, *, owner: str, linger: float, let_go: Callable[[str], object]) -> PostgresServer:
        """See contract.Reservation. The server is not ours to stop: its keeper only clears up after the `linger`."""
        maintenance = Maintenance(self.own, owner=owner, outlives_restarts=True)
        try:
            borrow(maintenance, self.roles, role=self.role)
        except BaseException:
            maintenance.close()
            raise
        # Nothing of a run's start needs it: a run waits for it only where it leaves something to clear up.
        self._see_to_keeper(maintenance, linger, wait=False)
        return PostgresServer(
            maintenance,
            address=self.address,
            login=self.url.with_database,
            let_go=let_go,
            look_over=lambda building: check(maintenance, building, self.roles),
            before_leaving=lambda: self._see_to_keeper(maintenance, linger, wait=True),
        )

    def _see_to_keeper(self, maintenance: Maintenance, linger: float, *, wait: bool) -> None:
        if self.needs_keeper and not maintenance.connection.closed:
            housekeeper.ensure(maintenance, self.own, linger=linger, wait=wait)


def reserve_external(
    url: str,
    *,
    own_url: str | None = None,
    slot: str = "",
    roles: Sequence[str] = (),
    role: str | None = None,
    search_path: str | None = None,
) -> ExternalReservation:
    """Read the URL. Raises BadUrl, and FixedNameOnSharedServer for a slot."""
    address = parse_url(url)
    if slot:
        raise FixedNameOnSharedServer(url=address.redacted, worker=slot)
    own = parse_url(own_url) if own_url else address
    return ExternalReservation(
        address, own, needs_keeper=own_url is None, roles=roles, role=role, search_path=search_path
    )
