"""What every embedded server's keeper does: start or adopt the server, serve its users, stop it when there are none.

One keeper runs for each server, in a session of its own. Whoever needs the server first sends it; it tells that process
once whether the server runs, and outlives it: to clean up after a killed run is what it is there for. It learns who
uses the server from the server itself: who has a session there, holds it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any, Protocol

from mintdb import clock
from mintdb.engines.processes import detach
from mintdb.errors import MintdbError, ServerError
from mintdb.facts import dataclass
from mintdb.locks import StillLocked, locked

TICK = 0.5  # seconds between two looks at who is there; one look costs a server 0.3 ms
KEEPER_LOCK = "keeper"  # the lock in the server of a living keeper
TEMPLATES_KEPT = 8  # of templates that nobody uses, the newest this many outlive a stop; 8 MB each and up
STATE, LOCK, STARTING, LOG = "state.json", "lock", "starting", "keeper.log"  # files of a server's live folder
USED = "mintdb-used"  # a file in a data folder that a server has run on


@dataclass(frozen=True)
class Errand:
    """What a keeper is told on its standard input."""

    settings: dict[str, Any]  # the engine's own  # Any: as JSON gives it
    cache: str
    live: str
    data: str
    port: int
    password: str
    linger: float  # seconds without any session before the server is stopped


@dataclass(frozen=True)
class State:
    """What a running server's state file says, for processes that want to join it. Only the user can read it."""

    engine: str
    port: int
    sockets: str  # the folder that holds the server's socket
    data: str
    server: int  # its process
    keeper: int
    version: str = ""

    @classmethod
    def find(cls, live: Path, is_running: Callable[[State], bool]) -> State | None:
        """The state of the server that lives in `live`, if its process is there."""
        try:
            state = cls(**json.loads((live / STATE).read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return state if is_running(state) else None

    def write(self, live: Path) -> None:
        """Replace the state file in one step."""
        new = live / f"{STATE}.new"
        with os.fdopen(os.open(new, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w") as file:
            json.dump(asdict(self), file)
        new.replace(live / STATE)


class Ward(Protocol):
    """A running server in its keeper's care, and the keeper's session there."""

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        """What its driver, and mintdb's session on it, may raise."""

    def is_open(self) -> bool:
        """Whether the keeper's session is there still."""

    def work(self) -> None:
        """Clear up behind the dead, and make what users will want."""

    def is_used(self) -> bool:
        """Whether somebody has a session on it, or wants it to stay."""

    def rest(self) -> None:
        """Wait TICK seconds, or until somebody asks for something. Never raises."""


class EmbeddedWard(Ward, Protocol):
    """One that its keeper may stop."""

    def stop(self) -> None:
        """Leave in the data folder what the next run may use, and stop the server. Never raises."""


class Craft(Protocol):
    """What the keeper of one engine knows: the engine's module `keeper` is one."""

    def find_state(self, live: Path) -> State | None:
        """The state of the server that lives in `live`, if its process is there."""

    def start(self, errand: Errand) -> State:
        """A new server. Raises a ServerError."""

    def take_up(self, errand: Errand, state: State) -> EmbeddedWard | None:
        """A session on the server, which holds KEEPER_LOCK; None where there is another keeper, or no server."""


def run(craft: Craft) -> None:
    """Read the errand, start or adopt the server, report in one line of JSON, and keep it until it is unused."""
    errand = Errand(**json.loads(sys.stdin.buffer.read()))
    if os.fork():  # the caller waits for this process only, and never has a child that it did not start itself
        os._exit(0)
    report = os.fdopen(os.dup(1), "w")
    detach(Path(errand.live) / LOG)
    try:
        state = _start_or_adopt(craft, errand)
    except MintdbError as error:
        _tell(report, {"error": type(error).__name__, "facts": {k: str(v) for k, v in error.facts.items()}})
        return
    _tell(report, {"state": asdict(state)})
    _keep(craft, errand, state)


def serve_until_unused(ward: Ward, *, linger: float) -> None:
    """Do what users need; return when the server has not been used for `linger` s, or is gone."""
    unused_since = clock.monotonic()
    while ward.is_open():
        _work_in_peace(ward)
        if _is_used(ward):
            unused_since = clock.monotonic()
        elif clock.monotonic() - unused_since >= linger:
            return
        ward.rest()


def start_on(data: Path, attempt: Callable[[], int], *, failure: type[ServerError]) -> int:
    """Start a server on a data folder by `attempt`, which makes the folder where there is none; returns its pid.

    A folder that a crash has spoilt is only a cache: it is removed where `failure` was raised, and begun anew, once.
    """
    try:
        pid = attempt()
    except failure:
        spoilt = (data / USED).exists()
        shutil.rmtree(data, ignore_errors=True)
        if not spoilt:
            raise
        pid = attempt()
    (data / USED).touch()
    return pid


def _start_or_adopt(craft: Craft, errand: Errand) -> State:
    """A running server on the errand's data folder: one that lost its keeper, or a new one."""
    live = Path(errand.live)
    # Who sent us may be killed, and its lock be free: the next process then sends another keeper at once.
    with locked(live / STARTING):
        running = craft.find_state(live)
        state = replace(running, keeper=os.getpid()) if running else craft.start(errand)
        state.write(live)
    return state


def _keep(craft: Craft, errand: Errand, state: State) -> None:
    """Serve the server's users until there has been none for the linger, then stop the server."""
    live, ward = Path(errand.live), craft.take_up(errand, state)
    while ward is not None:
        serve_until_unused(ward, linger=errand.linger)
        if not ward.is_open():  # the server died, or somebody ended all sessions
            ward = craft.take_up(errand, state)
            continue
        try:
            with locked(live / LOCK, timeout=0):
                if _is_used(ward):
                    continue
                ward.stop()
                (live / STATE).unlink(missing_ok=True)
        except StillLocked:
            continue  # somebody is joining just now
        except OSError:  # the folder is gone, and nobody can find the server any more
            ward.stop()
        return


def _work_in_peace(ward: Ward) -> None:
    """Work; what fails is tried again at the next tick, for the server must not lose its keeper over it."""
    try:
        ward.work()
    except ward.failures:
        if ward.is_open():
            traceback.print_exc()  # into keeper.log


def _is_used(ward: Ward) -> bool:
    """A server that cannot answer, its data folder removed for one, is of no use to anybody."""
    try:
        return ward.is_used()
    except ward.failures:
        return False


def _tell(report: IO[str], message: dict[str, Any]) -> None:  # Any: as JSON takes it
    """Report to whoever sent us; it may have been killed meanwhile, and the server needs its keeper all the same."""
    with contextlib.suppress(OSError), report:
        report.write(json.dumps(message))
