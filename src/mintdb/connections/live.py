"""Let other processes see which test opened which connection: a file for each process, written through its memory.

That costs some microseconds, without a call to the system, and no thread, socket or signal of ours has to answer when
somebody asks. What many connections have in common, a test's name or a line of source, is written once, and each
connection's row says where. Who reads it takes the newest row of a backend's pid; whether that backend is still there,
the server says.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

from mintdb import clock
from mintdb.connections.facts import NOWHERE as NO_PLACE
from mintdb.connections.facts import ByThread, Entry, Opening, Place
from mintdb.connections.ledger import ledger
from mintdb.connections.stack import shown_app_site
from mintdb.facts import dataclass

LIVE = "connections"  # the folder, in the cache, of these files
TEXT = 256  # bytes: what is longer, a test's name, is cut off
TEXTS = 2048  # as many fit; the first is empty, and stands for what is not known
ROWS_AT = TEXTS * TEXT
FIRST = ROWS_AT // 8  # of the cells of 8 bytes, each a number, that make up the rows
CELLS = 3  # of each: the backend's pid, when it was opened, and what most of a test's have in common
ROWS = 2048
BITS = 16  # for each of what they have in common: the port, and the places of thread, line and test
NOWHERE = (None, 0)  # in place of a stack that is not known
Told = tuple[Opening | None, ByThread | None, Place, object, object, int]
"""What rows have in common: opening, thread, place, code and instruction of a stack's last frame; and their cell."""
SIZE = ROWS_AT + ROWS * CELLS * 8  # when half is used, the file is begun anew with what is open, at the next test


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
        self._path: Path | None = None
        self._memory: memoryview | None = None
        self._numbers: memoryview[int] | None = None
        self._seconds: memoryview[float] | None = None
        self._epoch = 0.0  # what turns monotonic seconds into those since the epoch
        self._stop: Callable[[], None] = lambda: None
        self._begin_anew()
        os.register_at_fork(after_in_child=self._let_go)

    def begin(self, folder: Path) -> None:
        """Tell of every connection from now on. Where the folder cannot be written, nothing is told."""
        if self._memory is not None:
            return
        with suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = folder / f"{os.getpid()}"
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "wb") as file:
                file.write(bytes(SIZE))  # really there: a full disk would end the process later, by SIGBUS
                file.flush()
                self._memory, self._path = memoryview(mmap.mmap(descriptor, SIZE)), path
            self._numbers, self._seconds = self._memory.cast("Q"), self._memory.cast("d")
            self._epoch = clock.wall() - clock.monotonic()
            self._begin_anew()
            self._stop = ledger.on_opened(self._opened)

    def _begin_anew(self) -> None:
        self._rows, self._places = count(), count(1)  # each number is given out once, whatever the threads do
        self._known = {"": 0}  # text to its place
        self._last: Told = None, None, NO_PLACE, None, 0, 0  # what was told last

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
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        self._let_go()

    def _opened(self, entry: Entry) -> None:
        # The processor has waited for the server, and everything here is new to it: each call costs microseconds.
        numbers, seconds, row = self._numbers, self._seconds, next(self._rows)
        if numbers is None or seconds is None or entry.backend_pid is None or row >= ROWS:
            return
        stack, at = entry.stack or NOWHERE, FIRST + row * CELLS
        opening, thread, place, code, instruction, common = self._last
        if (
            entry.opening is not opening
            or entry.by is not thread
            or entry.place != place
            or stack[-2] is not code
            or stack[-1] != instruction
        ):
            common = self._in_common(entry)
            self._last = entry.opening, entry.by, entry.place, stack[-2], stack[-1], common
        seconds[at + 1], numbers[at + 2] = entry.opened + self._epoch, common
        numbers[at] = entry.backend_pid  # last: a row without it is not read

    def _in_common(self, entry: Entry) -> int:
        common = entry.port
        for text in (entry.thread, shown_app_site(entry.stack), _who(entry.opening)):
            common = common << BITS | self._place(text)
        return common

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

    def _let_go(self) -> None:
        # Not closed, for a thread may be writing; in a forked child it is the parent's, too.
        self._memory = self._numbers = self._seconds = self._path = None


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

    if len(content) != SIZE:
        return  # it is only just being made
    numbers, seconds = memoryview(content).cast("Q"), memoryview(content).cast("d")
    for at in range(FIRST, len(numbers), CELLS):
        if pid := numbers[at]:
            port, thread, line, test = (numbers[at + 2] >> BITS * left & (1 << BITS) - 1 for left in (3, 2, 1, 0))
            yield Seen(process, pid, port, seconds[at + 1], text(thread), text(line) or None, text(test) or None)
