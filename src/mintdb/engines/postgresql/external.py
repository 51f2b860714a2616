"""A PostgreSQL server that a URL names: its own database is only connected to, never written to or dropped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mintdb.address import Address, parse_url
from mintdb.engines.postgresql.errors import FixedNameOnSharedServer, NotPostgres
from mintdb.engines.postgresql.maintenance import Maintenance
from mintdb.engines.postgresql.server import PostgresServer


@dataclass(frozen=True)
class ExternalReservation:
    """A server that runs already, and a login: as tests reach it, and as mintdb does."""

    url: Address
    own: Address

    def address(self, database: str) -> Address:
        """See contract.Reservation."""
        return self.url.with_database(database)

    def open(self, *, owner: str, linger: float, let_go: Callable[[str], object]) -> PostgresServer:
        """See contract.Reservation. `linger` means nothing here: the server is not ours to stop."""
        maintenance = Maintenance(self.own, owner=owner)
        return PostgresServer(maintenance, address=self.address, let_go=let_go)


def reserve_external(url: str, *, own_url: str | None = None, slot: str = "") -> ExternalReservation:
    """Read the URL. Raises BadUrl, NotPostgres, and FixedNameOnSharedServer for a slot."""
    address = parse_url(url)
    if address.engine != "postgresql":
        raise NotPostgres(url=address.redacted, engine=address.engine)
    if slot:
        raise FixedNameOnSharedServer(url=address.redacted, worker=slot)
    return ExternalReservation(address, parse_url(own_url) if own_url else address)
