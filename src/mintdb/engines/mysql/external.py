"""A MariaDB or MySQL server that a URL names: its own database is only connected to, never written to or dropped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mintdb.address import Address, parse_url
from mintdb.engines.mysql import databases
from mintdb.engines.mysql.embedded import find_log
from mintdb.engines.mysql.errors import FixedNameOnSharedServer
from mintdb.engines.mysql.maintenance import Maintenance
from mintdb.engines.mysql.server import MysqlServer
from mintdb.engines.places import find_places
from mintdb.facts import dataclass


@dataclass(frozen=True)
class ExternalReservation:
    """A server that runs already, and a login: as tests reach it, and as mintdb does."""

    url: Address
    own: Address

    def address(self, database: str) -> Address:
        """See contract.Reservation."""
        return self.url.with_database(database)

    def open(self, *, owner: str, linger: float, let_go: Callable[[str], object]) -> MysqlServer:
        """See contract.Reservation. What dead runs have left there is cleared up now: the server has no keeper."""
        # Nobody starts a server of ours again.
        maintenance = Maintenance(self.own, owner=owner, shown=self.url, outlives_restarts=self.own is self.url)
        databases.reap(maintenance)
        return MysqlServer(maintenance, address=self.address, let_go=let_go, log=self._find_log(maintenance))

    def _find_log(self, maintenance: Maintenance) -> Path | None:
        """A server of ours that a parent process runs, and whose socket it told us, has a log that may be read."""
        return find_log(maintenance, find_places()) if self.own is not self.url else None


def reserve_external(url: str, *, own_url: str | None = None, slot: str = "") -> ExternalReservation:
    """Read the URL. Raises BadUrl, and FixedNameOnSharedServer for a slot."""
    address = parse_url(url)
    if slot:
        raise FixedNameOnSharedServer(url=address.redacted, worker=slot)
    return ExternalReservation(address, parse_url(own_url) if own_url else address)
