"""An embedded server that runs now, for a person who asks: what is on it, who uses it, and how it is stopped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Protocol

from mintdb.engines.errors import LockTimeout, ServerInUse
from mintdb.engines.keeper import LOCK, STATE, State
from mintdb.engines.places import find_places
from mintdb.engines.processes import wait_until_gone
from mintdb.facts import dataclass
from mintdb.locks import StillLocked, locked

LOCK_TIMEOUT = 30.0  # seconds; who joins a server holds the lock for as long as a start takes
KEEPER_TIMEOUT = 5.0  # seconds; a keeper notices within one tick that its server has gone


@dataclass(frozen=True)
class Running:
    """One embedded server that runs now, and the folder of its live state."""

    live: Path
    state: State

    @property
    def pinned(self) -> bool:
        """Whether it stays although nobody uses it."""
        return (self.live / "pinned").exists()

    def pin(self) -> None:
        """Let it stay although nobody uses it, until it is stopped."""
        (self.live / "pinned").touch()

    def data_size(self) -> int:
        """Bytes that its data folder takes; what is removed meanwhile does not count."""
        return sum(_size(Path(folder, name)) for folder, _, names in os.walk(self.state.data) for name in names)


@dataclass(frozen=True)
class Run:
    """What lives and uses a server through mintdb."""

    owner: str
    process: int | None  # None: the server does not tell


@dataclass(frozen=True)
class Contents:
    """What is on a server at this moment: names of databases."""

    product: str  # with its version
    since: datetime
    runs: Sequence[Run]
    templates: Sequence[str]
    clones: Sequence[str]
    kept: Sequence[str]  # clones that outlive their run


class Inventory(Protocol):
    """The module `inventory` of an engine that has servers."""

    def find_running(self) -> Sequence[Running]:
        """The servers of this user, on this machine and in this namespace."""

    def look(self, running: Running) -> Contents:
        """What is on a server. Raises a ServerError if it goes away in this moment."""

    def stop(self, running: Running, *, force: bool = False) -> Sequence[Run]:
        """Unpin a server, drop what was kept on it and stop it; returns the runs that this ended.

        One that has stopped meanwhile, or has made room for another, is left as it is. Raises ServerInUse, and does
        nothing, where live runs use it, unless `force`. By force it also stops a server that does not let mintdb in,
        and removes its data.
        """


def find_all(find_state: Callable[[Path], State | None]) -> list[Running]:
    """The running servers that are of `find_state`'s engine."""
    return [
        Running(live, state) for live in sorted(find_places().live.iterdir()) if (state := find_state(live)) is not None
    ]


def refuse_in_use(running: Running, runs: Sequence[Run]) -> None:
    """Raise ServerInUse if anybody uses it."""
    if runs:
        raise ServerInUse(port=running.state.port, runs=", ".join(map(shown, runs)))


def shown(run: Run) -> str:
    """A run as people read it."""
    return run.owner if run.process is None else f"{run.owner} (process {run.process})"


def stop(
    running: Running,
    *,
    force: bool,
    find_state: Callable[[Path], State | None],
    clear: Callable[[], Sequence[Run]],
    halt: Callable[[State], object],
    failures: tuple[type[Exception], ...],
) -> Sequence[Run]:
    """Stop a server while nobody can join it: see Inventory.stop.

    `clear` drops what was kept on it, and returns the runs that use it; `failures` are what it raises where the server
    does not let mintdb in.
    """
    with _nobody_joins(running):
        state = find_state(running.live)
        if state is None or state.server != running.state.server:  # its keeper was quicker
            return ()
        runs = _find_cleared(clear, failures, force=force)
        (running.live / "pinned").unlink(missing_ok=True)
        halt(state)
        (running.live / STATE).unlink(missing_ok=True)
        if runs is None:  # what it does not let us in to will be begun anew
            shutil.rmtree(running.state.data, ignore_errors=True)
    wait_until_gone(running.state.keeper, KEEPER_TIMEOUT)
    return runs or ()


def _find_cleared(
    clear: Callable[[], Sequence[Run]], failures: tuple[type[Exception], ...], *, force: bool
) -> Sequence[Run] | None:
    try:
        return clear()
    except failures as error:
        if isinstance(error, ServerInUse) or not force:
            raise
        return None


@contextmanager
def _nobody_joins(running: Running) -> Iterator[None]:
    try:
        with locked(running.live / LOCK, timeout=LOCK_TIMEOUT):
            yield
    except StillLocked:
        raise LockTimeout(what=f"the server in {running.live}", seconds=LOCK_TIMEOUT, holder="") from None


def _size(file: Path) -> int:
    try:
        return file.stat().st_size if file.is_file() else 0
    except OSError:  # dropped since it was listed
        return 0
