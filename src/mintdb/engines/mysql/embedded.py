"""Join the embedded MariaDB or MySQL server that these settings share, starting it if it does not run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mintdb.address import Address
from mintdb.engines.embedded import Home, find_home
from mintdb.engines.errors import ServerGone
from mintdb.engines.keeper import KEEPER_LOCK
from mintdb.engines.mysql import variables
from mintdb.engines.mysql.datafolder import LOG_NAME, SUPERUSER, ServerSettings
from mintdb.engines.mysql.errors import ServerUnreachable
from mintdb.engines.mysql.keeper import socket_in
from mintdb.engines.mysql.maintenance import Maintenance
from mintdb.engines.mysql.server import MysqlServer
from mintdb.engines.places import Places
from mintdb.engines.ports import HOST
from mintdb.facts import dataclass

NO_TLS = {"ssl_disabled": "true"}  # PyMySQL alone asks for TLS unasked, and takes 39 ms to find that there is none


@dataclass(frozen=True)
class EmbeddedReservation:
    """Where the server of these settings answers, or will answer once it is needed."""

    home: Home
    settings: ServerSettings

    def address(self, database: str) -> Address:
        """Where tests and applications reach a database: TCP on the loopback, which every driver can do."""
        return Address("mysql", database, HOST, self.home.port, SUPERUSER, self.home.password, NO_TLS)

    def open(self, *, owner: str, linger: float, let_go: Callable[[str], object]) -> MysqlServer:
        """See contract.Reservation. Raises PortInUse if the port was taken after it was reserved."""
        maintenance = join(self, owner=owner, linger=linger)
        return MysqlServer(
            maintenance,
            address=self.address,
            let_go=let_go,
            settings_identity=[self.settings.timezone, repr(sorted(self.settings.server_settings.items()))],
            log=find_log(maintenance, self.home.places),
            before_leaving=lambda: ensure_keeper(self, maintenance, linger=linger),
        )

    def own_address(self) -> Address:
        """Where mintdb itself connects: the socket, which is a little faster."""
        socket = str(socket_in(self.home.live))
        return Address("mysql", "", socket, self.home.port, SUPERUSER, self.home.password)


def find_log(maintenance: Maintenance, places: Places) -> Path | None:
    """What the binary log's files are called, where the server is one of ours."""
    (data,) = maintenance.session.row("select @@datadir")
    ours = any(Path(data).is_relative_to(folder) for folder in (places.live, places.cache))
    return Path(data) / LOG_NAME if ours else None


def reserve(settings: ServerSettings) -> EmbeddedReservation:
    """Find or choose the port of the server that these settings share. Raises a ServerError."""
    return EmbeddedReservation(find_home("mysql", settings), settings)


def settings_for(
    *,
    binaries: str | None = None,
    timezone: str | None = None,
    server_settings: dict[str, str] | None = None,
    slot: str = "",
) -> ServerSettings:
    """Server settings with the defaults filled in."""
    default = ServerSettings(binaries)
    return ServerSettings(binaries, timezone or default.timezone, server_settings or {}, slot)


def join(reservation: EmbeddedReservation, *, owner: str, linger: float) -> Maintenance:
    """A session on the server, which is started first if need be, and is kept running as long as the session lasts.

    Raises PortInUse if the reserved port was taken in the meantime, or another ServerError.
    """
    home = reservation.home
    with home.locked():
        maintenance = home.reach(
            lambda _: Maintenance(reservation.own_address(), owner=owner),
            linger=linger,
            refusals=(ServerUnreachable, ServerGone),
        )
        variables.put_back(maintenance, keeper=KEEPER_LOCK)
        home.replace_keeper(linger=linger, has_keeper=lambda: _has_keeper(maintenance))
        return maintenance


def ensure_keeper(reservation: EmbeddedReservation, maintenance: Maintenance, *, linger: float) -> None:
    """Whoever leaves sees to it that somebody will stop the server: its keeper may have been killed meanwhile."""
    if maintenance.session.is_open() and not _has_keeper(maintenance):
        with reservation.home.locked():
            reservation.home.replace_keeper(linger=linger, has_keeper=lambda: _has_keeper(maintenance))


def _has_keeper(maintenance: Maintenance) -> bool:
    return not maintenance.is_free(KEEPER_LOCK)
