"""Join the embedded MariaDB server that these settings share, starting it if it does not run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from mintdb.address import Address
from mintdb.engines import errors as common
from mintdb.engines.mysql import errors
from mintdb.engines.mysql.datafolder import LOG_NAME, SUPERUSER, ServerSettings
from mintdb.engines.mysql.keeper import KEEPER_LOCK, Errand, State, is_keeper, socket_in
from mintdb.engines.mysql.maintenance import Maintenance
from mintdb.engines.mysql.server import MysqlServer
from mintdb.engines.places import Places, data_parent, find_places, read_password
from mintdb.engines.ports import FIRST_PORT, HOST, LAST_PORT, find_free_port, is_free
from mintdb.engines.processes import PASSED_ON, clean_environment
from mintdb.errors import ServerError

JOIN_TIMEOUT = 150.0  # seconds: somebody else may be installing a data folder on a slow machine
START_CODE = "import sys; sys.path[:0] = {path!r}; from mintdb.engines.mysql.keeper import main; main()"
NO_TLS = {"ssl_disabled": "true"}  # PyMySQL alone asks for TLS unasked, and takes 39 ms to find that there is none


@dataclass(frozen=True)
class EmbeddedReservation:
    """Where the server of these settings answers, or will answer once it is needed."""

    settings: ServerSettings
    places: Places
    port: int
    password: str

    @property
    def live(self) -> Path:
        """The folder of the server's socket and state."""
        return self.places.live / self.settings.key

    def address(self, database: str) -> Address:
        """Where tests and applications reach a database: TCP on the loopback, which every driver can do."""
        return Address("mysql", database, HOST, self.port, SUPERUSER, self.password, NO_TLS)

    def open(self, *, owner: str, linger: float, let_go: Callable[[str], object]) -> MysqlServer:
        """See contract.Reservation. Raises PortInUse if the port was taken after it was reserved."""
        maintenance = join(self, owner=owner, linger=linger)
        return MysqlServer(
            maintenance,
            address=self.address,
            let_go=let_go,
            settings_identity=[self.settings.timezone, repr(sorted(self.settings.server_settings.items()))],
            log=find_log(maintenance, self.places),
            before_leaving=lambda: ensure_keeper(self, maintenance, linger=linger),
        )

    def own_address(self) -> Address:
        """Where mintdb itself connects: the socket, which is a little faster."""
        return Address("mysql", "", str(socket_in(self.live)), self.port, SUPERUSER, self.password)


def find_log(maintenance: Maintenance, places: Places) -> Path | None:
    """What the binary log's files are called, where the server is one of ours."""
    (data,) = maintenance.session.row("select @@datadir")
    ours = any(Path(data).is_relative_to(folder) for folder in (places.live, places.cache))
    return Path(data) / LOG_NAME if ours else None


def reserve(settings: ServerSettings) -> EmbeddedReservation:
    """Find or choose the port of the server that these settings share. Raises a ServerError."""
    places = find_places()
    live = places.live / settings.key
    try:
        live.mkdir(mode=0o711, exist_ok=True)
        with _locked(live):
            return EmbeddedReservation(settings, places, _port(live, settings.key), read_password(places.cache))
    except OSError as error:  # a full tmpfs, most likely
        raise common.FolderUnusable(folder=live, why=error.strerror) from None


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
    with _locked(reservation.live):
        if State.find(reservation.live) is None:
            _send_keeper(reservation, linger)
        maintenance = Maintenance(reservation.own_address(), owner=owner)
        _replace_keeper(reservation, maintenance, linger)
        return maintenance


def ensure_keeper(reservation: EmbeddedReservation, maintenance: Maintenance, *, linger: float) -> None:
    """Whoever leaves sees to it that somebody will stop the server: its keeper may have been killed meanwhile."""
    if maintenance.session.is_open() and maintenance.is_free(KEEPER_LOCK):
        with _locked(reservation.live):
            _replace_keeper(reservation, maintenance, linger)


def _replace_keeper(reservation: EmbeddedReservation, maintenance: Maintenance, linger: float) -> None:
    """Send a keeper if there is none. One that has just started the server may not have taken its lock yet."""
    state = State.find(reservation.live)
    if state and not is_keeper(state.keeper) and maintenance.is_free(KEEPER_LOCK):
        _send_keeper(reservation, linger)


def _send_keeper(reservation: EmbeddedReservation, linger: float) -> State:
    """Start a keeper and wait for its one line of report."""
    settings = reservation.settings
    errand = Errand(
        settings={**asdict(settings), "server_settings": dict(settings.server_settings)},
        cache=str(reservation.places.cache),
        live=str(reservation.live),
        data=str(_data_folder(reservation)),
        port=reservation.port,
        password=reservation.password,
        linger=linger,
    )
    run = subprocess.run(
        [sys.executable, "-I", "-c", START_CODE.format(path=[p for p in sys.path if p])],
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
    on_disk = reservation.places.cache / "data" / f"{reservation.places.live.name}-{reservation.settings.key}"
    in_memory = reservation.live / "data"
    if in_memory.exists() or on_disk.exists():
        return in_memory if in_memory.exists() else on_disk
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
        raise errors.PortInUse(port=f"{FIRST_PORT} to {LAST_PORT}")
    file.write_text(str(port))
    return port


@contextmanager
def _locked(live: Path) -> Iterator[None]:
    try:
        with FileLock(live / "lock", timeout=JOIN_TIMEOUT):
            yield
    except Timeout:
        raise errors.LockTimeout(what=f"the start of the server in {live}", seconds=JOIN_TIMEOUT, holder="") from None
