"""Join the embedded server that these settings share, starting it if it does not run."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from mintdb.address import Address
from mintdb.engines import errors as common
from mintdb.engines.errors import FolderUnusable
from mintdb.engines.places import Places, data_parent, find_places, read_password
from mintdb.engines.ports import FIRST_PORT, HOST, LAST_PORT, find_free_port, is_free
from mintdb.engines.postgresql import errors
from mintdb.engines.postgresql.binaries import find_binaries
from mintdb.engines.postgresql.cluster import SUPERUSER, ClusterSettings
from mintdb.engines.postgresql.keeper import KEEPER_LOCK, Errand, State, is_keeper
from mintdb.engines.postgresql.maintenance import Maintenance
from mintdb.engines.postgresql.roles import entered, make
from mintdb.engines.postgresql.server import PostgresServer
from mintdb.engines.processes import PASSED_ON, clean_environment
from mintdb.errors import ServerError

JOIN_TIMEOUT = 150.0  # seconds: somebody else may be running initdb on a slow machine
START_CODE = "import sys; sys.path[:0] = {path!r}; from mintdb.engines.postgresql.keeper import main; main()"


@dataclass(frozen=True)
class EmbeddedReservation:
    """Where the server of these settings answers, or will answer once it is needed."""

    settings: ClusterSettings
    places: Places
    port: int
    password: str
    roles: Sequence[str] = ()  # to be made there
    role: str | None = None  # as which tests connect
    search_path: str | None = None

    @property
    def live(self) -> Path:
        """The folder of the server's sockets and state."""
        return self.places.live / self.settings.key

    def address(self, database: str) -> Address:
        """Where tests and applications reach a database: TCP on the loopback, which every driver can do."""
        login = Address("postgresql", database, HOST, self.port, self.role or SUPERUSER, self.password)
        return entered(login, role=None, search_path=self.search_path)

    def login(self, database: str) -> Address:
        """The same for who builds a template, with all rights."""
        return Address("postgresql", database, HOST, self.port, SUPERUSER, self.password)

    def open(self, *, owner: str, linger: float, let_go: Callable[[str], object]) -> PostgresServer:
        """See contract.Reservation. Raises PortInUse if the port was taken after it was reserved."""
        maintenance = join(self, owner=owner, linger=linger)
        make(maintenance, self.roles, password=self.password)
        identity = [self.settings.locale, self.settings.timezone, repr(sorted(self.settings.server_settings.items()))]
        return PostgresServer(
            maintenance,
            address=self.address,
            login=self.login,
            settings_identity=identity,
            let_go=let_go,
            pin=self.pin,
            is_ours=True,
            before_leaving=lambda: ensure_keeper(self, maintenance, linger=linger),
        )

    def pin(self) -> None:
        """Let the server stay, used or not, until `mintdb down`."""
        (self.live / "pinned").touch()

    def own_address(self, state: State) -> Address:
        """Where mintdb itself connects: the socket, which is a little faster."""
        host = state.sockets if hasattr(socket, "AF_UNIX") and os.name == "posix" else HOST
        return Address("postgresql", "postgres", host, self.port, SUPERUSER, self.password)


def reserve(settings: ClusterSettings) -> EmbeddedReservation:
    """Find or choose the port of the server that these settings share. Raises a ServerError."""
    places = find_places()
    live = places.live / settings.key
    try:
        live.mkdir(mode=0o711, exist_ok=True)
        with _locked(live):
            return EmbeddedReservation(settings, places, _port(live, settings.key), read_password(places.cache))
    except OSError as error:  # a full tmpfs, most likely
        raise FolderUnusable(folder=live, why=error.strerror) from None


def join(reservation: EmbeddedReservation, *, owner: str, linger: float) -> Maintenance:
    """A session on the server, which is started first if need be, and is kept running as long as the session lasts.

    Raises PortInUse if the reserved port was taken in the meantime, or another ServerError.
    """
    with _locked(reservation.live):
        state = State.find(reservation.live)
        if state is None:
            state = _send_keeper(reservation, linger)
        maintenance = Maintenance(reservation.own_address(state), owner=owner)
        _replace_keeper(reservation, maintenance, linger)
        return maintenance


def ensure_keeper(reservation: EmbeddedReservation, maintenance: Maintenance, *, linger: float) -> None:
    """Whoever leaves sees to it that somebody will stop the server: its keeper may have been killed meanwhile."""
    if maintenance.connection.closed or maintenance.holder_of(KEEPER_LOCK) is not None:
        return
    with _locked(reservation.live):
        _replace_keeper(reservation, maintenance, linger)


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


def _replace_keeper(reservation: EmbeddedReservation, maintenance: Maintenance, linger: float) -> None:
    """Send a keeper if there is none. One that has just started the server may not have taken its lock yet."""
    state = State.find(reservation.live)
    if state and not is_keeper(state.keeper) and maintenance.holder_of(KEEPER_LOCK) is None:
        _send_keeper(reservation, linger)


def _send_keeper(reservation: EmbeddedReservation, linger: float) -> State:
    """Start a keeper and wait for its one line of report."""
    errand = Errand(
        settings={**asdict(reservation.settings), "server_settings": dict(reservation.settings.server_settings)},
        cache=str(reservation.places.cache),
        live=str(reservation.live),
        data=str(_data_folder(reservation)),
        port=reservation.port,
        password=reservation.password,
        linger=linger,
    )
    code = START_CODE.format(path=[p for p in sys.path if p])
    run = subprocess.run(
        [sys.executable, "-I", "-c", code],
        input=json.dumps(asdict(errand)).encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**clean_environment(), **{name: os.environ[name] for name in PASSED_ON if name in os.environ}},
        start_new_session=True,
        check=False,
    )
    return _read_report(run.stdout, reservation)


def _read_report(output: bytes, reservation: EmbeddedReservation) -> State:
    try:
        report = json.loads(output)
    except ValueError:
        log = reservation.live / "keeper.log"
        tail = log.read_text(errors="replace").splitlines()[-12:] if log.exists() else []
        raise errors.ServerDidNotStart(
            why="its keeper ended without a word", log=log, tail="\n".join(f"    {line}" for line in tail)
        ) from None
    if "state" in report:
        return State(**report["state"])
    kind = getattr(errors, report["error"], None) or getattr(common, report["error"], None)
    if not (isinstance(kind, type) and issubclass(kind, ServerError)):
        kind = errors.ServerDidNotStart
    raise kind(**report["facts"])


def _data_folder(reservation: EmbeddedReservation) -> Path:
    """Where the server's data is or will be: where it was last time, else where there is room."""
    name = f"{reservation.places.live.name}-{reservation.settings.key}"
    on_disk = reservation.places.cache / "data" / name
    in_memory = reservation.live / "data"
    if in_memory.exists():
        return in_memory
    if on_disk.exists():
        return on_disk
    return in_memory if data_parent(reservation.places) == reservation.places.live else on_disk


def _port(live: Path, key: str) -> int:
    if state := State.find(live):
        return state.port
    file = live / "port"
    kept = file.read_text() if file.exists() else ""
    if kept.isdigit() and is_free(int(kept)):
        return int(kept)
    # The folder counts too: servers of equal settings in two homes must not reach for the same port.
    port = find_free_port(f"{live}{key}")
    if port is None:
        raise errors.PortInUse(port=f"{FIRST_PORT} to {LAST_PORT}", holder="")
    file.write_text(str(port))
    return port


@contextmanager
def _locked(live: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    try:
        with FileLock(live / "lock", timeout=JOIN_TIMEOUT):
            yield
    except Timeout:
        raise errors.LockTimeout(what=f"the start of the server in {live}", seconds=JOIN_TIMEOUT, holder="") from None
