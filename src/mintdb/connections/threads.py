"""Know whose a thread is: a test's, a wider fixture's, or of the thread that started it."""

from __future__ import annotations

import threading
from threading import Thread
from weakref import WeakKeyDictionary

from mintdb import clock
from mintdb.connections.facts import Opening, Start
from mintdb.connections.stack import take
from mintdb.connections.verdict import is_older_or_wider

LONG_AGO = Start(0.0, None)
_starts: WeakKeyDictionary[Thread, Start] = WeakKeyDictionary()


def running_threads() -> frozenset[int]:
    """The identifiers of the threads that run now."""
    return frozenset(thread.ident for thread in threading.enumerate() if thread.ident is not None)


def started_elsewhere(began: float) -> frozenset[int]:
    """The identifiers of the running threads that are not of the test that began then (monotonic seconds)."""
    running = [(thread.ident, _starts.get(thread)) for thread in threading.enumerate()]
    return frozenset(
        ident for ident, start in running if ident and start and is_older_or_wider(start.opening, start.moment, began)
    )


def note_start(thread: Thread, opening: Opening | None, *, skip: int = 1) -> None:
    """A thread is being started. A server's workers are the server's, whichever test's request they are started for.

    `skip` frames of hooks are left out of its stack.
    """
    starter, stack = threading.current_thread(), take(skip=skip + 1)
    if starter is threading.main_thread():
        _starts[thread] = Start(clock.monotonic(), opening, stack)
    else:
        of_the_starter = _starts.get(starter, LONG_AGO)
        _starts[thread] = Start(of_the_starter.moment, of_the_starter.opening, stack)


def find_start(thread: Thread) -> Start | None:
    """How a thread was started, where that was seen."""
    return _starts.get(thread)
