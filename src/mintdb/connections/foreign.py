"""Which process a session of the server belongs to: from its client port to a pid and a command line (Linux only)."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from socket import AF_INET, AF_INET6, socket  # bound here: a test may forbid sockets, and these are not new ones
from stat import S_ISSOCK

from mintdb import clock
from mintdb.address import redact
from mintdb.contract import Session

PROC = Path("/proc")
LONGEST_WORD = 160  # characters: two lines of a terminal


def traced(session: Session) -> Session:
    """The session with the process at its other end, where that can be known."""
    if session.process is not None and session.command_line is None:
        return replace(session, command_line=find_command_line(session.process))
    if session.process is not None or session.client_port is None or session.client_port <= 0:
        return session
    process, command_line = _trace(session.backend_pid, session.client_port)
    return replace(session, process=process, command_line=command_line)


@lru_cache(maxsize=256)
def _trace(backend_pid: int, client_port: int) -> tuple[int | None, str | None]:
    """Looked for once for each session: it takes milliseconds, and a worker's session stays for many tests."""
    process = find_process(client_port)
    return process, None if process is None else find_command_line(process)


def find_process(port: int) -> int | None:
    """The process of this machine that connects from local TCP port `port`; None for another user's or machine's."""
    if _is_own(port):  # a thread that connects at this moment: asked first, for the tables of all sockets are long
        return os.getpid()
    inode = _find_inode(port)
    return None if inode is None else _find_holder(f"socket:[{inode}]")


def _is_own(port: int) -> bool:
    with suppress(OSError):
        return any(_local_port(int(name)) == port for name in os.listdir(PROC / "self" / "fd"))
    return False


def _local_port(descriptor: int) -> int | None:
    """The TCP port of one of this process's descriptors, if it is a socket that is connected."""
    with suppress(OSError):  # another thread may close it at any moment
        if not S_ISSOCK(os.fstat(descriptor).st_mode):
            return None
        with socket(fileno=os.dup(descriptor)) as duplicate:
            if duplicate.family in (AF_INET, AF_INET6):
                duplicate.getpeername()  # one that listens is connected to nobody
                return int(duplicate.getsockname()[1])
    return None


def is_child_since(process: int, moment: float) -> bool:
    """Whether a process was started by this one, or by one of its own, after `moment` (monotonic seconds)."""
    own, first = os.getpid(), True
    while process not in (0, 1, own):
        found = _find_parent(process)
        if found is None or (first and found[1] < moment):
            return False
        process, first = found[0], False
    return process == own and not first


def _find_parent(process: int) -> tuple[int, float] | None:
    """The process that started another, and by when that was, in monotonic seconds."""
    try:
        # "4711 (a name) S 4710 …": of what is behind the name the 2nd is the parent, the 20th the start in ticks.
        fields = (PROC / str(process) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    asleep = time.clock_gettime(time.CLOCK_BOOTTIME) - clock.monotonic()
    return int(fields[1]), (int(fields[19]) + 1) / os.sysconf("SC_CLK_TCK") - asleep  # ticks of 10 ms are rounded down


def find_command_line(process: int) -> str | None:
    """A process's command line, as one types it, with the passwords of URLs hidden."""
    try:
        words = (PROC / str(process) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return None
    return " ".join(_shortened(redact(word.decode(errors="replace"))) for word in words if word) or None


def _shortened(word: str) -> str:
    """A word of a command line without its middle, where it is very long: a class path, or a whole program."""
    return word if len(word) <= LONGEST_WORD else f"{word[: LONGEST_WORD // 2]}…{word[-LONGEST_WORD // 2 :]}"


def _find_inode(port: int) -> str | None:
    for table in ("net/tcp", "net/tcp6"):
        with suppress(OSError):
            for line in (PROC / table).read_text().splitlines()[1:]:
                # "0: 0100007F:D3C4 0100007F:1538 01 …": local and remote address, state 01 is ESTABLISHED
                fields = line.split()
                if fields[3] == "01" and int(fields[1].rpartition(":")[2], 16) == port and fields[9] != "0":
                    return fields[9]
    return None


def _find_holder(link: str) -> int | None:
    processes = (name for name in os.listdir(PROC) if name.isdigit())
    # The newest first: what tests start is younger than the machine's services.
    return next(filter(partial(_holds, link), sorted(map(int, processes), reverse=True)), None)


def _holds(link: str, process: int) -> bool:
    with suppress(OSError), os.scandir(PROC / str(process) / "fd") as descriptors:  # gone, or another user's
        for descriptor in descriptors:
            with suppress(OSError):
                if os.readlink(descriptor.path) == link:
                    return True
    return False
