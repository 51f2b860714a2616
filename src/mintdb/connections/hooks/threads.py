"""See every thread's start, in the thread that starts it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from threading import Thread

from mintdb.connections.hooks.patch import Function, Patches, never_raises
from mintdb.connections.ledger import ledger
from mintdb.connections.threads import note_start


def follow() -> Callable[[], None]:
    """Note from now on who starts which thread; returns what undoes it."""
    patches = Patches()
    patches.replace(Thread, "start", _start)
    return patches.undo


def _start(original: Function) -> Function:
    @wraps(original)
    def start(self: Thread) -> None:
        _note(self)
        original(self)

    return start


@never_raises("threading")
def _note(thread: Thread) -> None:
    note_start(thread, ledger.opening, skip=3)
