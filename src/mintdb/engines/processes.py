"""Processes that outlive whoever started them: what they inherit, and whether they are still there."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from mintdb import clock

POLL = 0.01  # seconds between two looks at a process that is ending
BEHIND = ("/bin/sh", "-c", 'exec 3<&0; "$@" <&3 3<&- &', "sh")  # its child has another parent at once
PASSED_ON = ("MINTDB_ACCOUNT",)  # all that a keeper needs to know besides its errand


def clean_environment() -> dict[str, str]:
    """An environment that no caller's LANG, PGOPTIONS or PYTHONPATH has got into."""
    kept = {
        k: os.environ[k] for k in ("PATH", "HOME", "SYSTEMROOT", "TEMP", "TMP", "LD_LIBRARY_PATH") if k in os.environ
    }
    return {**kept, "LC_ALL": "C", "LANG": "C", "TZ": "UTC"}


def send(module: str, errand: str, *, environment: Mapping[str, str], wait: bool = True) -> bytes:
    """Run `main` of a module of ours in a process that inherits nothing but this environment; returns what it prints.

    `errand` is its standard input. It has returned once its first process is gone: what that one forked goes on. One
    that prints nothing has what it complained of returned. With `wait=False` it does not even wait for the interpreter
    to start, and returns nothing.
    """
    # Behind what the interpreter finds by itself: a test's folder is on the path, with its own operator.py maybe.
    code = f"import sys; sys.path += {[p for p in sys.path if p]!r}; from {module} import main; main()"
    run = subprocess.run(
        [*(() if wait else BEHIND), sys.executable, "-I", "-c", code],
        input=errand.encode(),
        stdout=subprocess.PIPE if wait else subprocess.DEVNULL,
        stderr=subprocess.PIPE if wait else subprocess.DEVNULL,
        env={**clean_environment(), **environment},
        start_new_session=True,
        check=False,
    )
    return run.stdout or run.stderr or b""


def runs_module(pid: int, module: str) -> bool:
    """Whether the process `pid` is one that `send` has made: after its death another one may have its number."""
    if not is_alive(pid):
        return False
    try:
        return module.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True


def runs_program(pid: int, program: str) -> bool:
    """Whether the process `pid` is a server's: after a crash another program may have the number."""
    if not is_alive(pid):
        return False
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == program
    except OSError:
        return True


def detach(log: Path) -> None:
    """Hold nothing of the caller's: no terminal, no pipe, no folder."""
    with contextlib.suppress(OSError):
        os.setsid()
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDONLY)
    out = os.open(log, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    for target, source in ((0, null), (1, out), (2, out)):
        os.dup2(source, target)


def is_alive(pid: int) -> bool:
    """Whether a process of that pid exists and is no zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return True


def wait_until_gone(pid: int, timeout: float) -> bool:
    """Wait for a process to end, reaping it if it is our child; False if it still lives after `timeout` seconds."""
    deadline = clock.monotonic() + timeout
    while is_alive(pid):
        with contextlib.suppress(ChildProcessError):  # it may not be ours to reap
            os.waitpid(pid, os.WNOHANG)
        if clock.monotonic() > deadline:
            return False
        clock.sleep(POLL)
    return True


def wait_until_buried(pid: int, timeout: float) -> None:
    """Wait until a process that has ended is no zombie either; not longer than `timeout` seconds."""
    deadline = clock.monotonic() + timeout
    while not is_alive(pid) and clock.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except OSError:
            return
        clock.sleep(POLL)
