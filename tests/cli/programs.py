"""The real `mintdb` as tests start it, and what its server holds, seen behind its back."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

from mintdb.address import Address
from mintdb.engines.keeper import State
from mintdb.engines.places import find_places, read_password
from mintdb.engines.postgresql.connecting import connect
from mintdb.engines.postgresql.errors import ServerUnreachable
from mintdb.engines.postgresql.keeper import find_state

MINTDB = str(Path(sys.executable).parent / "mintdb")

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., "subprocess.Popen[str]"]


class Terminal:
    """A command in the foreground of a terminal of its own."""

    def __init__(self, *argv: str, cwd: Path) -> None:
        self.keys, terminal = pty.openpty()
        self.process = subprocess.Popen(
            argv,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            cwd=cwd,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(terminal)
        self.shown = ""

    def read_until(self, text: str) -> str:
        """What was shown up to and with `text`."""
        while text not in self.shown:
            try:
                self.shown += os.read(self.keys, 4096).decode()
            except OSError:  # the terminal's other end is closed
                break
        assert text in self.shown, self.shown
        return self.shown

    def read_to_end(self) -> None:
        """Everything that was shown, once nobody writes any more."""
        with contextlib.suppress(OSError):  # the terminal's other end is closed
            while text := os.read(self.keys, 4096):
                self.shown += text.decode()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.keys)


def live_states() -> list[State]:
    """The servers that live in this file's home."""
    return [state for folder in find_places().live.iterdir() if (state := find_state(folder))]


def databases() -> set[str]:
    """Every database of the home's servers that is neither PostgreSQL's own nor a template or a warm clone."""
    found = set()
    for state in live_states():
        address = Address("postgresql", "postgres", state.sockets, state.port, "postgres", password())
        with contextlib.suppress(ServerUnreachable), connect(address) as session:  # the linger may end just now
            rows = session.execute("select datname from pg_database where not datistemplate").fetchall()
            found |= {name for (name,) in rows}
    return {n for n in found if n not in ("postgres", "mintdb") and not n.endswith(("_template", "_warm", "_trash"))}


def password() -> str:
    """The home's server password."""
    return read_password(find_places())
