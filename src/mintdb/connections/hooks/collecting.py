"""Tell the ledger of connections that the garbage collector takes, until the interpreter itself ends."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

from mintdb.connections.hooks.patch import Function
from mintdb.connections.ledger import ledger


def teller(is_closed: Callable[[Any], bool] = lambda connection: False) -> Callable[[Any], None]:  # Any: of any driver
    """What a connection's `__del__` has to call first. `is_closed` is asked then: it is the last time that it can be.

    Everything is bound here: at the interpreter's end the names of our modules are gone before the last connection is.
    """
    finalizing, closed, collected = sys.is_finalizing, ledger.closed, ledger.collected

    def tell(connection: object) -> None:
        if not finalizing():
            (closed if is_closed(connection) else collected)(connection)

    return tell


def telling(tell: Callable[[Any], None]) -> Callable[[Function], Function]:  # Any: see above
    """Replace a driver's `__del__` by one that tells first."""

    def make(original: Function) -> Function:
        @wraps(original)
        def __del__(self: Any) -> None:  # Any: see above
            tell(self)
            original(self)

        return __del__

    return make
