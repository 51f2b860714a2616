"""Tell the ledger of connections that the garbage collector takes, until the interpreter itself ends."""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Callable, Mapping
from functools import wraps
from threading import get_ident
from typing import Any

from mintdb.connections.hooks.patch import Function
from mintdb.connections.ledger import ledger


def teller(is_closed: Callable[[Any], bool] = lambda connection: False) -> Callable[[Any], bool]:  # Any: of any driver
    """What a connection's `__del__` has to call first. `is_closed` is asked then: it is the last time that it can be.

    It returns whether a warning of the driver's would blame a test that has not opened the connection. Everything is
    bound here: at the interpreter's end the names of our modules are gone before the last connection is.
    """
    finalizing, closed, collected = sys.is_finalizing, ledger.closed, ledger.collected

    def tell(connection: object) -> bool:
        if finalizing():
            return False
        if is_closed(connection):
            closed(connection)
            return False
        return collected(connection)

    return tell


class Collector:
    """Whether the garbage collector is at work in this thread: what a pool gets back then, nobody gives back."""

    def __init__(self) -> None:
        self._thread = 0

    def follow(self) -> Callable[[], None]:
        """Be told of every collection from now on; returns what stops that."""
        gc.callbacks.append(self._note)
        return lambda: gc.callbacks.remove(self._note)

    @property
    def is_at_work(self) -> bool:
        return self._thread == get_ident()

    def _note(self, phase: str, _: Mapping[str, int], get_ident: Callable[[], int] = get_ident) -> None:
        self._thread = get_ident() if phase == "start" else 0


def telling(tell: Callable[[Any], bool]) -> Callable[[Function], Function]:  # Any: see above
    """Replace a driver's `__del__` by one that tells first, and warns only where the warning meets who opened it."""
    open_now = ledger.open_now

    def make(original: Function) -> Function:
        @wraps(original)
        def __del__(self: Any) -> None:  # Any: see above
            if id(self) not in open_now or not tell(self):
                original(self)
                return
            with warnings.catch_warnings():  # the account of the test that opened it names it, with its line
                warnings.simplefilter("ignore", ResourceWarning)
                original(self)

        return __del__

    return make
