"""mintdb's own server connections: nobody's leak, and disowned by a forked child."""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Callable
from typing import Protocol


class HasDescriptor(Protocol):
    """A connection that can tell its socket."""

    def fileno(self) -> int: ...

    def close(self) -> None: ...


_ours: weakref.WeakSet[HasDescriptor] = weakref.WeakSet()
_listeners: list[Callable[[object], None]] = []


def claim(connection: HasDescriptor) -> None:
    """`connection` is mintdb's: whoever accounts for the application's is told, and a forked child gives it up.

    A session-wide lock is free only when every process that holds the socket is gone: without this a dead parent would
    look alive. The child may not close the connection properly either, for that would end the parent's session.
    """
    _ours.add(connection)
    for listener in _listeners:
        listener(connection)


def on_claim(listener: Callable[[object], None]) -> None:
    """Call `listener` with every connection that is claimed from now on; the same one is registered once."""
    if listener not in _listeners:
        _listeners.append(listener)


def _disown_all() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for connection in list(_ours):
        # Closing says goodbye to the server, which must not hear it: the session is the parent's.
        with contextlib.suppress(Exception):
            os.dup2(null, connection.fileno())
            connection.close()
    os.close(null)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown_all)
