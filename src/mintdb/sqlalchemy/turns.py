"""Let one session at a time speak on the connection that all of them share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from mintdb.sqlalchemy.errors import OutOfTurn
from mintdb.sqlalchemy.savepoints import Caller

PATIENCE = 30.0  # seconds that a thread waits for another one's statement; longer than a test's statement should take


class Turns:
    """Threads wait for each other. A task cannot, for the event loop would wait with it: it is refused.

    A statement and what is noted of it are one turn, so that the order noted is the order sent.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._holder: tuple[Caller, str] | None = None  # and what it does

    @contextmanager
    def take(self, caller: Caller, *, doing: str, being: str, waits: bool) -> Iterator[None]:
        """The block is one turn, of a session that `doing` ("begins") while it is `being` ("connecting").

        Within its own turn a session goes on. Raises OutOfTurn.
        """
        if self._holder is not None and not self._holder[0].is_other_than(caller):
            yield
            return
        if not self._lock.acquire(timeout=PATIENCE if waits else 0):
            raise self._out_of_turn(caller, doing + (f", having waited {PATIENCE:g} s," if waits else ""))
        self._holder = caller, being
        try:
            yield
        finally:
            self._holder = None
            self._lock.release()

    def _out_of_turn(self, caller: Caller, doing: str) -> OutOfTurn:
        first, being = self._holder or (None, "at work")
        site = first.site if first else "a place that is not known"
        return OutOfTurn(doing=f"{doing} while another one is {being}", first=site, second=caller.site)
