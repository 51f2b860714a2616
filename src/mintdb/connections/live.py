"""Let other processes see which test opened which connection: a file for each process, written through its memory.

That costs some microseconds, without a call to the system, and no thread, socket or signal of ours has to answer when
somebody asks. What many connections have in common, a test's name or a line of source, is written once, and each
connection's row says where. Who reads it takes the newest row of a backend's pid; whether that backend is still there,
the server says.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

from mintdb import clock
from mintdb.connections.facts import Entry, Opening
from mintdb.connections.ledger import ledger
from mintdb.connections.stack import shown_app_site
from mintdb.facts import dataclass

LIVE = "connections"  # the folder, in the cache, of these files
TEXT = 256  # bytes: what is longer, a test's name, is cut off
TEXTS = 2048  # as many fit; the first is empty, and stands for what is not known
ROWS_AT = TEXTS * TEXT
ROW = struct.Struct("=qidHHH")  # backend's pid, port, when it was opened, and the places of thread, line and test
ROWS = 2048
NOWHERE = (None, 0)  # in place of a stack that is not known
Places = tuple[int, int, int]  # of the texts of thread, line and test
Told = tuple[Opening | None, str, object, object, Places]  # what was told last: opening, thread, a stack's last frame
SIZE = ROWS_AT + ROWS * ROW.size  # when half is used, the file is begun anew with what is open, at the next test


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
        self._epoch = 0.0  # what turns monotonic seconds into those since the epoch
        self._stop: Callable[[], None] = lambda: None
        self._begin_anew()
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
                file.write(bytes(SIZE))  # really there: a full disk would end the process later, by SIGBUS
                file.flush()
                self._memory = mmap.mmap(descriptor, SIZE)
            self._epoch = clock.wall() - clock.monotonic()
            self._begin_anew()
            self._stop = ledger.on_opened(self._opened)

    def _begin_anew(self) -> None:
        self._rows, self._places = count(), count(1)  # each number is given out once, whatever the threads do
        self._known = {"": 0}  # text to its place
        self._last: Told = None, "", None, 0, (0, 0, 0)  # what most connections of a test have alike

    def turn(self) -> None:
        """A test begins: a file that has got full is begun anew."""
        if self._memory is None or max(next(self._rows), len(self._known)) < min(ROWS, TEXTS) // 2:
            return
        self._memory[:] = bytes(SIZE)
        self._begin_anew()
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
        # The processor has waited for the server, and everything here is new to it: each call costs microseconds.
        memory, row = self._memory, next(self._rows)
        if memory is None or entry.backend_pid is None or row >= ROWS:
            return
        stack = entry.stack or NOWHERE
        opening, thread, code, at, places = self._last
        if entry.opening is not opening or entry.thread != thread or stack[-2] is not code or stack[-1] != at:
            texts = entry.thread, shown_app_site(entry.stack), _who(entry.opening)
            places = self._place(texts[0]), self._place(texts[1]), self._place(texts[2])
            self._last = entry.opening, entry.thread, stack[-2], stack[-1], places
        opened, start = entry.opened + self._epoch, ROWS_AT + row * ROW.size
        ROW.pack_into(memory, start, entry.backend_pid, entry.place[1], opened, *places)

    def _place(self, text: str) -> int:
        """Where a text stands, which is written there if it is new; 0 if there is no room left."""
        place = self._known.get(text)
        if place is None:
            place = next(self._places)
            if self._memory is None or place >= TEXTS:
                return 0
            told = text.encode(errors="replace")[:TEXT]
            self._memory[place * TEXT : place * TEXT + len(told)] = told
            self._known[text] = place
        return place

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
            for seen in _read(int(path.name), path.read_bytes()):
                found[seen.port, seen.backend_pid] = seen
    return found


def _read(process: int, content: bytes) -> Iterator[Seen]:
    def text(place: int) -> str:
        return content[place * TEXT : (place + 1) * TEXT].rstrip(b"\0").decode(errors="replace")

    for row in range(ROWS if len(content) == SIZE else 0):  # else it is only just being made
        pid, port, opened_at, thread, line, test = ROW.unpack_from(content, ROWS_AT + row * ROW.size)
        if pid:
            yield Seen(process, pid, port, opened_at, text(thread), text(line) or None, text(test) or None)
