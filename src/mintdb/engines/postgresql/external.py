"""A PostgreSQL server that a URL names: its own database is only connected to, never written to or dropped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mintdb.address import Address, parse_url
from mintdb.core.names import NAME_LIMIT
from mintdb.engines.postgresql.errors import FixedNameOnSharedServer, NotPostgres
from mintdb.engines.postgresql.maintenance import Maintenance
from mintdb.engines.postgresql.server import PostgresServer


@dataclass(frozen=True)
class ExternalReservation:
    """The URL's server and login."""

    url: Address

    def address(self, database: str) -> Address:
        """See contract.Reservation."""
        return self.url.with_database(database)

    def open(self, *, owner: str, linger: float, let_go: Callable[[str], object]) -> PostgresServer:
        """See contract.Reservation. `linger` means nothing here: the server is not ours to stop."""
        maintenance = Maintenance(self.url, owner=owner)
        return PostgresServer(maintenance, address=self.address, let_go=let_go)


def reserve_external(url: str, *, slot: str) -> ExternalReservation:
    """Read the URL. Raises BadUrl, NotPostgres, and FixedNameOnSharedServer for a slot."""
    address = parse_url(url)
    if address.engine != "postgresql":
        raise NotPostgres(url=address.redacted, engine=address.engine)
    if slot:
        raise FixedNameOnSharedServer(url=address.redacted, worker=slot)
    return ExternalReservation(address)


__all__ = ["NAME_LIMIT", "ExternalReservation", "reserve_external"]
