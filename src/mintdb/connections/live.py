"""Let other processes see which test opened which connection: a file for each process, only ever appended to.

Writing a line costs some microseconds, and no thread, socket or signal of ours has to answer when somebody asks. Who
reads it takes the newest line of a backend's pid; whether that backend still is there, the server says.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mintdb.connections.facts import Entry, Opening
from mintdb.connections.ledger import ledger
from mintdb.connections.stack import shown_app_site

LIVE = "connections"  # the folder, in the cache, of these files
LONGEST = 1 << 20  # bytes: then it is begun anew with what is open, at the next test


@dataclass(frozen=True)
class Seen:
    """What a process has told of one connection."""

    process: int
    backend_pid: int
    port: int
    opened_at: float  # seconds since the epoch
    thread: str
    place: str | None
    test: str | None


class LiveFile:
    """This process's file, from `begin` to its end; a forked child has none until it begins one."""

    def __init__(self) -> None:
        self._descriptor: int | None = None
        self._path: Path | None = None
        self._stop: Callable[[], None] = lambda: None
        os.register_at_fork(after_in_child=self._disown)

    def begin(self, folder: Path) -> None:
        """Tell of every connection from now on. Where the folder cannot be written, nothing is told."""
        if self._descriptor is not None:
            return
        with suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path = folder / f"{os.getpid()}"
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
            self._stop = ledger.on_opened(self._opened)

    def turn(self) -> None:
        """A test begins: a file that has grown long is begun anew."""
        if self._descriptor is None or os.lseek(self._descriptor, 0, os.SEEK_END) < LONGEST:
            return
        os.ftruncate(self._descriptor, 0)
        for entry in ledger.open_entries():
            self._opened(entry)

    def end(self) -> None:
        """Nothing is open any more that somebody could ask about."""
        self._stop()
        if self._descriptor is not None and self._path is not None:
            os.close(self._descriptor)
            self._path.unlink(missing_ok=True)
        self._disown()

    def _opened(self, entry: Entry) -> None:
        if self._descriptor is not None and entry.backend_pid is not None:
            place, who = shown_app_site(entry.stack), _who(entry.opening)
            line = f"{entry.backend_pid}\t{entry.port}\t{entry.opened_at:.3f}\t{entry.thread}\t{place}\t{who}"
            with suppress(OSError):
                os.write(self._descriptor, line.translate(_ONE_LINE).encode(errors="replace") + b"\n")

    def _disown(self) -> None:
        # Shared with the parent, whose file it is; closing it here does not close it there.
        self._descriptor = self._path = None


def _who(opening: Opening | None) -> str:
    if opening is None:
        return ""
    return opening.test or (f"fixture {opening.fixture}" if opening.fixture else "")


_ONE_LINE = str.maketrans("\n\r", "  ")
live_file = LiveFile()
"""The one of this process."""


def read_all(folder: Path) -> dict[tuple[int, int], Seen]:
    """What living processes of this machine tell, by port and backend pid; files of dead ones are removed."""
    found = {}
    for path in folder.glob("[0-9]*") if folder.is_dir() else ():
        if not Path(f"/proc/{path.name}").exists():
            path.unlink(missing_ok=True)
            continue
        with suppress(OSError):
            for line in path.read_text(errors="replace").splitlines():
                seen = _read(int(path.name), line)
                if seen is not None:
                    found[seen.port, seen.backend_pid] = seen
    return found


def _read(process: int, line: str) -> Seen | None:
    fields = line.split("\t")
    if len(fields) != 6:
        return None  # it is being written
    pid, port, opened_at, thread, place, test = fields
    return Seen(process, int(pid), int(port), float(opened_at), thread, place or None, test or None)
