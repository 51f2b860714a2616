"""Where an embedded server lives, and how a process sends a keeper that starts it."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from mintdb import clock
from mintdb.engines import errors as common
from mintdb.engines.errors import FolderUnusable, LockTimeout, NoRoomForState, PortInUse
from mintdb.engines.keeper import LOCK, LOG, Errand, State
from mintdb.engines.places import Places, data_parent, find_places, make_passable, read_password
from mintdb.engines.ports import FIRST_PORT, LAST_PORT, find_free_port, is_free
from mintdb.engines.processes import PASSED_ON, POLL, runs_module, send
from mintdb.engines.starting import read_log, tail
from mintdb.errors import ServerError
from mintdb.facts import dataclass
from mintdb.locks import StillLocked, locked

JOIN_TIMEOUT = 150.0  # seconds: somebody else may be making a data folder on a slow machine
DYING = 5.0  # seconds for a killed server's process to give its memory back and be gone, however busy the machine is
T = TypeVar("T")


class ServerSettings(Protocol):
    """What decides which server is shared: equal settings share one. Always a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]  # Any: as typeshed has it

    @property
    def server_settings(self) -> Mapping[str, str]: ...

    @property
    def key(self) -> str:
        """A short digest of all that counts."""


@dataclass(frozen=True)
class Home:
    """Where the server of some settings lives, runs or will run."""

    engine: str
    settings: ServerSettings
    places: Places
    port: int
    password: str

    @property
    def live(self) -> Path:
        """The folder of the server's socket and state."""
        return self.places.live / self.settings.key

    @property
    def data(self) -> Path:
        """Where the server's data is or will be: where it was last time, else where there is room."""
        on_disk = self.places.cache / "data" / f"{self.places.live.name}-{self.settings.key}"
        in_memory = self.live / "data"
        if in_memory.exists() or on_disk.exists():
            return in_memory if in_memory.exists() else on_disk
        return in_memory if data_parent(self.places) == self.places.live else on_disk

    def find_state(self) -> State | None:
        """The state of the server, if it runs."""
        return _find_state(self.engine)(self.live)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Alone with the server's start and stop. Raises LockTimeout."""
        with _locked(self.live):
            yield

    def reach(self, connect: Callable[[State], T], *, linger: float, refusals: tuple[type[ServerError], ...]) -> T:
        """Start the server if it does not run, and connect; one that was just dying is started anew.

        `refusals` are what `connect` raises where nobody answers. Called by whoever is alone with start and stop.
        """
        state = self.find_state() or self.send_keeper(linger=linger)
        try:
            return connect(state)
        except refusals:
            if not self._has_died(state):
                raise
        return connect(self.send_keeper(linger=linger))

    def _has_died(self, state: State) -> bool:
        """Whether the server that nobody could reach is gone now, or soon."""
        deadline = clock.monotonic() + DYING
        while self.find_state() == state:
            if clock.monotonic() >= deadline:
                return False
            clock.sleep(POLL)
        return True

    def replace_keeper(self, *, linger: float, has_keeper: Callable[[], bool]) -> None:
        """Send a keeper if there is none. One that has just started the server may not have taken its lock yet."""
        state = self.find_state()
        if state and not runs_module(state.keeper, _module(self.engine, "keeper")) and not has_keeper():
            self.send_keeper(linger=linger)

    def send_keeper(self, *, linger: float) -> State:
        """Start a keeper and wait for its one line of report. Raises the ServerError that it met."""
        errand = Errand(
            settings={**asdict(self.settings), "server_settings": dict(self.settings.server_settings)},
            cache=str(self.places.cache),
            live=str(self.live),
            data=str(self.data),
            port=self.port,
            password=self.password,
            linger=linger,
        )
        (self.live / LOG).unlink(missing_ok=True)  # what an earlier one wrote explains nothing
        passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        return self._read(send(_module(self.engine, "keeper"), json.dumps(asdict(errand)), environment=passed_on))

    def _read(self, output: bytes) -> State:
        errors = import_module(_module(self.engine, "errors"))
        try:
            report = json.loads(output)
        except ValueError:
            log, said = self.live / LOG, output.decode(errors="replace").splitlines()
            raise errors.ServerDidNotStart(
                why="its keeper ended without a word",
                log="its errors" if said else log,
                tail=tail(said or read_log(log)),
            ) from None
        if "state" in report:
            return State(**report["state"])
        kind = getattr(errors, report["error"], None) or getattr(common, report["error"], None)
        if not (isinstance(kind, type) and issubclass(kind, ServerError)):
            kind = errors.ServerDidNotStart
        raise kind(**report["facts"])


def find_home(engine: str, settings: ServerSettings) -> Home:
    """Find or choose the port of the server that these settings share. Raises a ServerError."""
    places = find_places()
    live = places.live / settings.key
    try:
        make_passable(live)
        with _locked(live):
            return Home(engine, settings, places, _port(engine, live), read_password(places))
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise NoRoomForState(folder=live, above=places.live.parent.parent) from None
        raise FolderUnusable(folder=live, why=error.strerror) from None


def _port(engine: str, live: Path) -> int:
    if state := _find_state(engine)(live):
        return state.port
    file = live / "port"
    kept = file.read_text() if file.exists() else ""
    if kept.isdigit() and is_free(int(kept)):
        return int(kept)
    # The folder counts too: servers of equal settings in two homes must not reach for the same port.
    port = find_free_port(str(live))
    if port is None:
        raise PortInUse(port=f"{FIRST_PORT} to {LAST_PORT}", holder="")
    file.write_text(str(port))
    return port


@contextmanager
def _locked(live: Path) -> Iterator[None]:
    try:
        with locked(live / LOCK, timeout=JOIN_TIMEOUT):
            yield
    except StillLocked:
        raise LockTimeout(what=f"the start of the server in {live}", seconds=JOIN_TIMEOUT, holder="") from None


def _find_state(engine: str) -> Callable[[Path], State | None]:
    found: Callable[[Path], State | None] = import_module(_module(engine, "keeper")).find_state
    return found


def _module(engine: str, part: str) -> str:
    return f"mintdb.engines.{engine}.{part}"
