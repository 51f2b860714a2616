"""Join the embedded server that these settings share, starting it if it does not run."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mintdb.address import Address
from mintdb.engines.embedded import Home, find_home
from mintdb.engines.errors import ServerGone
from mintdb.engines.keeper import KEEPER_LOCK, State
from mintdb.engines.ports import HOST
from mintdb.engines.postgresql import altered
from mintdb.engines.postgresql.binaries import find_binaries
from mintdb.engines.postgresql.cluster import SUPERUSER, ClusterSettings
from mintdb.engines.postgresql.errors import ServerUnreachable
from mintdb.engines.postgresql.maintenance import Maintenance
from mintdb.engines.postgresql.own import mend, own_address, take_settings
from mintdb.engines.postgresql.roles import entered, make
from mintdb.engines.postgresql.server import PostgresServer
from mintdb.facts import dataclass

if TYPE_CHECKING:
    from mintdb.settings import DatabaseSettings, Settings


@dataclass(frozen=True)
class EmbeddedReservation:
    """Where the server of these settings answers, or will answer once it is needed."""

    home: Home
    settings: ClusterSettings
    roles: Sequence[str] = ()  # to be made there
    role: str | None = None  # as which tests connect
    search_path: str | None = None

    def address(self, database: str) -> Address:
        """Where tests and applications reach a database: TCP on the loopback, which every driver can do."""
        login = Address("postgresql", database, HOST, self.home.port, self.role or SUPERUSER, self.home.password)
        return entered(login, role=None, search_path=self.search_path)

    def login(self, database: str) -> Address:
        """The same for who builds a template, with all rights."""
        return Address("postgresql", database, HOST, self.home.port, SUPERUSER, self.home.password)

    def open(self, *, owner: str, linger: float, let_go: Callable[[str], object]) -> PostgresServer:
        """See contract.Reservation. Raises PortInUse if the port was taken after it was reserved."""
        maintenance = join(self, owner=owner, linger=linger)
        mend(maintenance, password=self.home.password)
        altered.undo_what_is_of_the_past(maintenance, self.home.data)
        make(maintenance, self.roles, password=self.home.password)
        identity = [self.settings.locale, self.settings.timezone, repr(sorted(self.settings.server_settings.items()))]
        return PostgresServer(
            maintenance,
            address=self.address,
            login=self.login,
            settings_identity=identity,
            take_settings=lambda: take_settings(maintenance),
            watch=altered.Watched(self.home.data).look,
            let_go=let_go,
            pin=self.pin,
            is_ours=True,
            before_leaving=lambda: ensure_keeper(self, maintenance, linger=linger),
        )

    def pin(self) -> None:
        """Let the server stay, used or not, until `mintdb down`."""
        (self.home.live / "pinned").touch()

    def own_address(self, state: State) -> Address:
        """Where mintdb itself connects: the socket, which is a little faster."""
        host = state.sockets if hasattr(socket, "AF_UNIX") and os.name == "posix" else HOST
        return own_address(host, self.home.port, self.home.password)


def reserve(settings: ClusterSettings) -> EmbeddedReservation:
    """Find or choose the port of the server that these settings share. Raises a ServerError."""
    return EmbeddedReservation(find_home("postgresql", settings), settings)


def join(reservation: EmbeddedReservation, *, owner: str, linger: float) -> Maintenance:
    """A session on the server, which is started first if need be, and is kept running as long as the session lasts.

    Raises PortInUse if the reserved port was taken in the meantime, or another ServerError.
    """
    home = reservation.home
    with home.locked():
        maintenance = home.reach(
            lambda state: Maintenance(reservation.own_address(state), owner=owner, outlives_restarts=True),
            linger=linger,
            refusals=(ServerUnreachable, ServerGone),
        )
        home.replace_keeper(linger=linger, has_keeper=lambda: _has_keeper(maintenance))
        return maintenance


def ensure_keeper(reservation: EmbeddedReservation, maintenance: Maintenance, *, linger: float) -> None:
    """Whoever leaves sees to it that somebody will stop the server: its keeper may have been killed meanwhile."""
    if not maintenance.connection.closed and not _has_keeper(maintenance):
        with reservation.home.locked():
            reservation.home.replace_keeper(linger=linger, has_keeper=lambda: _has_keeper(maintenance))


def settings_for(
    *,
    binaries: str | None = None,
    locale: str | None = None,
    timezone: str | None = None,
    server_settings: dict[str, str] | None = None,
    slot: str = "",
) -> ClusterSettings:
    """Cluster settings with the defaults filled in. Raises BinariesNotFound."""
    defaults = ClusterSettings(binaries=str(find_binaries(binaries).folder), slot=slot)
    return ClusterSettings(
        binaries=defaults.binaries,
        locale=locale or defaults.locale,
        timezone=timezone or defaults.timezone,
        server_settings=server_settings or {},
        slot=slot,
    )


def settings_of(settings: Settings, database: DatabaseSettings, *, slot: str = "") -> ClusterSettings:
    """The cluster settings that a database is configured with. Raises BinariesNotFound."""
    return settings_for(
        binaries=settings.binaries,
        locale=database.locale,
        timezone=database.timezone,
        server_settings=dict(database.server_settings),
        slot=slot,
    )


def _has_keeper(maintenance: Maintenance) -> bool:
    return maintenance.holder_of(KEEPER_LOCK) is not None
