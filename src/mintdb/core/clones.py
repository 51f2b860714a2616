"""The clones of one process: a home clone under one address for the whole run, and further ones on request."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from threading import RLock

from mintdb.contract import Clone, Restored, Server, Session, Way
from mintdb.core.lease import Lease
from mintdb.core.marks import MarkStack


class ClonePool:
    """Clones of one template. Any thread may lease; putting back happens one at a time."""

    def __init__(self, server: Server, template: str, name_for: Callable[[int], str], *, settle: float) -> None:
        """`name_for(1)` is the home clone's name, `name_for(n)` the nth clone's. The home clone is made at once."""
        self._server = server
        self._template = template
        self._name_for = name_for
        self._settle = settle
        self._lock = RLock()
        self._made = 1
        self.home = server.clone(template, name_for(1))
        self.marks = MarkStack(self.home)
        self._free: list[Clone] = [self.home]

    def lease(self, isolation: str) -> Lease:
        """Lease the home clone, or, while it is leased, a further one. `clone` isolation has one of its own."""
        with self._lock:
            if isolation == "clone":
                clone: Clone = self._make()
                return Lease(clone, lambda: self._discard(clone))
            clone = self._free.pop(0) if self._free else self._make()
            keep = isolation == "none"
            return Lease(clone, lambda: self._put_back(clone, keep=keep))

    def drop(self) -> Sequence[Session]:
        """Drop all clones that are not leased to an own-clone test; returns the sessions that were still there."""
        with self._lock:
            clones, self._free = [self.home, *[c for c in self._free if c is not self.home]], []
            return [session for clone in clones for session in clone.drop()]

    def _make(self) -> Clone:
        self._made += 1
        return self._server.clone(self._template, self._name_for(self._made))

    def _put_back(self, clone: Clone, *, keep: bool) -> Restored:
        with self._lock:
            if clone is self.home:
                self.marks.after_test()
            restored = Restored(Way.KEPT, 0.0) if keep else clone.restore(settle=self._settle)
            # The home clone goes first again: who leases one at a time has one URL for ever.
            self._free.insert(0 if clone is self.home else len(self._free), clone)
            return restored

    def _discard(self, clone: Clone) -> Restored:
        with self._lock:
            started = time.perf_counter()
            ended = clone.drop()
            return Restored(Way.DROP, time.perf_counter() - started, ended=ended)
