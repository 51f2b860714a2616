"""Run a command to its end: every signal reaches it exactly once, and its exit code is handed back."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any

import click

from mintdb.cli import say
from mintdb.facts import dataclass

PASSED_ON = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
# A terminal's Ctrl-C, and the kernel's hang-up, go to the whole foreground group: the command has them already.
SI_KERNEL = 0x80  # asm-generic/siginfo.h; kill() gives SI_USER, which is 0
PYTHON_IGNORES = ("SIGPIPE", "SIGXFSZ", "SIGXFZ")  # a command expects them as they were before Python started


class CommandNotFound(click.ClickException):
    """There is no such command."""

    exit_code = 127  # as shells have it

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name!r} was not found: {why}")

    def show(self, file: IO[Any] | None = None) -> None:  # Any: click's own signature
        """Say it in one line."""
        say(self.message)


class CommandNotRunnable(CommandNotFound):
    """The command is there, but cannot be started."""

    exit_code = 126  # as shells have it

    def __init__(self, name: str, why: str) -> None:
        click.ClickException.__init__(self, f"{name!r} cannot be run: {why}")


@dataclass(frozen=True)
class Program:
    """A command that is there, found before anything is started for it."""

    path: str
    argv: Sequence[str]


def find_program(argv: Sequence[str]) -> Program:
    """Look the command up as a shell does. Raises CommandNotFound, CommandNotRunnable."""
    name = argv[0]
    path = shutil.which(name)
    if path:
        return Program(path, argv)
    if os.path.isdir(name):
        raise CommandNotRunnable(name, "it is a folder")
    if os.sep in name and os.path.exists(name):
        raise CommandNotRunnable(name, "it is not executable")
    raise CommandNotFound(name, "no such file" if os.sep in name else "no program of that name is on PATH")


def run(program: Program, environ: Mapping[str, str]) -> int:
    """Run a command with our terminal, files and folder, and return its exit code: 128 + n where signal n ended it.

    Signals stay blocked when this returns, so that a second Ctrl-C does not stop the clean-up half way.
    """
    if not hasattr(signal, "sigwaitinfo"):
        return _run_simply(program, environ)
    watched = {getattr(signal, name) for name in PASSED_ON} | {signal.SIGCHLD}
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # an inherited "ignore" would lose the exit code
    # Blocked before the fork: a signal that comes now waits, instead of ending us while the command goes on.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    pid = _spawn(program, environ, before)
    return _wait(pid, watched)


def _spawn(program: Program, environ: Mapping[str, str], mask: set[signal.Signals | int]) -> int:
    defaults = [getattr(signal, name) for name in PYTHON_IGNORES if hasattr(signal, name)]
    try:
        return os.posix_spawn(program.path, list(program.argv), environ, setsigmask=mask, setsigdef=defaults)
    except OSError as error:
        raise CommandNotRunnable(program.argv[0], error.strerror or str(error)) from None


def _wait(pid: int, watched: set[signal.Signals]) -> int:
    threading.Thread(target=_tell_the_end, args=[pid, threading.get_ident()], daemon=True).start()
    while True:
        # Not sigtimedwait: interrupted (Ctrl-Z, `fg`) when its time was up, CPython's gives a struct that nobody filled
        # in (signal_sigtimedwait_impl in Modules/signalmodule.c, 3.5 and later).
        caught = signal.sigwaitinfo(watched)
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return _exit_code(os.waitstatus_to_exitcode(status))
        if caught.si_signo != signal.SIGCHLD and caught.si_code != SI_KERNEL:
            os.kill(pid, caught.si_signo)  # it is not reaped yet, so the pid is still its own


def _tell_the_end(pid: int, waiting: int) -> None:
    """The kernel's SIGCHLD is lost where a library's thread, which has not blocked it, gets it: send another one."""
    with suppress(ChildProcessError):  # reaped by now, so it was not lost
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        signal.pthread_kill(waiting, signal.SIGCHLD)


def _exit_code(code: int) -> int:
    return 128 - code if code < 0 else code


def _run_simply(program: Program, environ: Mapping[str, str]) -> int:
    """Where a signal's origin cannot be known: Ctrl-C is left to the terminal, a request to end is passed on."""
    with _ignoring(signal.SIGINT):
        try:
            child = subprocess.Popen([program.path, *program.argv[1:]], env=dict(environ))
        except OSError as error:
            raise CommandNotRunnable(program.argv[0], error.strerror or str(error)) from None
        signal.signal(signal.SIGTERM, lambda number, frame: child.terminate())
        return _exit_code(child.wait())


@contextmanager
def _ignoring(number: signal.Signals) -> Iterator[None]:
    before = signal.signal(number, lambda number, frame: None)  # a handler, not "ignore": the child would inherit that
    try:
        yield
    finally:
        signal.signal(number, before)
