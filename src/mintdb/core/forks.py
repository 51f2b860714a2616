"""Let a forked child disown the server connections that it inherits from its parent."""

from __future__ import annotations

import contextlib
import os
import weakref
from typing import Protocol


class HasDescriptor(Protocol):
    """A connection that can tell its socket."""

    def fileno(self) -> int: ...


_ours: weakref.WeakSet[HasDescriptor] = weakref.WeakSet()


def disown_in_child(connection: HasDescriptor) -> None:
    """From now on a child made by fork() gives up `connection`, so that a dead parent does not look alive.

    A session-wide lock is free only when every process that holds the socket is gone. The child may not close the
    connection properly: that would end the parent's session.
    """
    _ours.add(connection)


def _disown_all() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for connection in list(_ours):
        # The number must stay taken: libpq will close it once more, and must not hit somebody else's file.
        with contextlib.suppress(Exception):
            os.dup2(null, connection.fileno())
    os.close(null)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown_all)
