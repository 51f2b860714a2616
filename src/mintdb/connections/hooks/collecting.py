"""Tell the ledger of connections that the garbage collector takes, until the interpreter itself ends."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from functools import wraps
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
