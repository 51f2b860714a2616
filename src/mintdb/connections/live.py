"""Let other processes see which test opened which connection: a file for each process, written through its memory.

That costs some microseconds, without a call to the system, and no thread, socket or signal of ours has to answer when
somebody asks. Who reads it takes the newest line of a backend's pid; whether that backend is still there, the server
says.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from mintdb.connections.facts import Entry, Opening
from mintdb.connections.ledger import ledger
from mintdb.connections.stack import shown_app_site

LIVE = "connections"  # the folder, in the cache, of these files
SLOT = 512  # bytes for a connection: what is longer, a test's name, is cut off
SLOTS = 2048  # when half of them are used, the file is begun anew with what is open, at the next test


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
        self._memory: mmap.mmap | None = None
        self._path: Path | None = None
        self._slots: Iterator[int] = iter(())
        self._stop: Callable[[], None] = lambda: None
        os.register_at_fork(after_in_child=self._disown)

    def begin(self, folder: Path) -> None:
        """Tell of every connection from now on. Where the folder cannot be written, nothing is told."""
        if self._memory is not None:
            return
        with suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path = folder / f"{os.getpid()}"
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "wb") as file:
                file.write(bytes(SLOT * SLOTS))  # really there: a full disk would end the process later, by SIGBUS
                file.flush()
                self._memory = mmap.mmap(descriptor, SLOT * SLOTS)
            self._slots = count()
            self._stop = ledger.on_opened(self._opened)

    def turn(self) -> None:
        """A test begins: a file that has got full is begun anew."""
        if self._memory is None or next(self._slots) < SLOTS // 2:
            return
        self._memory[:] = bytes(SLOT * SLOTS)
        self._slots = count()
        for entry in ledger.open_entries():
            self._opened(entry)

    def end(self) -> None:
        """Nothing is open any more that somebody could ask about."""
        self._stop()
        if self._memory is not None and self._path is not None:
            self._memory.close()
            self._path.unlink(missing_ok=True)
        self._disown()

    def _opened(self, entry: Entry) -> None:
        memory, number = self._memory, next(self._slots, SLOTS)  # one step: threads never get the same slot
        if memory is None or entry.backend_pid is None or number >= SLOTS:
            return
        place, who = shown_app_site(entry.stack), _who(entry.opening)
        line = f"{entry.backend_pid}\t{entry.port}\t{entry.opened_at:.3f}\t{entry.thread}\t{place}\t{who}"
        told = line.encode(errors="replace")[: SLOT - 1]
        memory[number * SLOT : number * SLOT + len(told)] = told

    def _disown(self) -> None:
        # Shared with the parent, whose file it is; closing it here does not close it there.
        self._memory = self._path = None


def _who(opening: Opening | None) -> str:
    if opening is None:
        return ""
    return opening.test or (f"fixture {opening.fixture}" if opening.fixture else "")


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
            for slot in path.read_bytes().split(b"\0"):
                seen = _read(int(path.name), slot.decode(errors="replace"))
                if seen is not None:
                    found[seen.port, seen.backend_pid] = seen
    return found


def _read(process: int, line: str) -> Seen | None:
    fields = line.split("\t")
    if len(fields) != 6:
        return None  # it is being written
    pid, port, opened_at, thread, place, test = fields
    return Seen(process, int(pid), int(port), float(opened_at), thread, place or None, test or None)
