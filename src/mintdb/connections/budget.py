"""No more than so many connections at once: an opener waits a stated time, then is told who holds them, and where."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import field

from mintdb import clock
from mintdb.connections import gate
from mintdb.connections.closing import collect
from mintdb.connections.errors import ConnectionBudgetExceeded, TooManyProcesses
from mintdb.connections.facts import Entry
from mintdb.connections.ledger import ledger
from mintdb.connections.pools import pools
from mintdb.connections.shortage import holders
from mintdb.contract import Server
from mintdb.facts import dataclass

CONNECTING = 2.0  # seconds: longer than any server on loopback takes
POLL = 0.01  # seconds: closing is seen soon, and waiting costs nothing measurable


@dataclass
class Budget:
    """At most `limit` connections of this process to the databases that `counts` says are meant.

    Openers reserve their place before they connect, so that many at once cannot pass the limit together.
    """

    limit: int
    timeout: float  # seconds that an opener waits
    counts: Callable[[str], bool] = lambda database: True
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _reserved: list[float] = field(default_factory=list)  # when each opener that is connecting now began to

    def wait(self, database: Callable[[], str]) -> None:
        """Take a place for a blocking opener. Raises ConnectionBudgetExceeded after `timeout` seconds."""
        for pause in self._pauses(database):
            clock.sleep(pause)

    async def wait_async(self, database: Callable[[], str]) -> None:
        """The same on an event loop, which goes on meanwhile: whoever holds a connection may be running there."""
        for pause in self._pauses(database):
            await asyncio.sleep(pause)

    def find_note(self, database: Callable[[], str]) -> str | None:
        """Who holds all places, as text; None while there is one left, or for another database."""
        held = self._held() if self.counts(database()) else []
        if not held or len(held) < self.limit:
            return None
        text = f"{len(held)} connections are open and {self.limit} are allowed (max_connections):"
        return f"{text}\n{holders(held, clock.monotonic())}"

    def _pauses(self, database: Callable[[], str]) -> Iterator[float]:
        if not self.counts(database()):
            return
        deadline = clock.monotonic() + self.timeout
        if self._take():
            return
        self._make_room()
        while not self._take():
            if clock.monotonic() >= deadline:
                raise self._exceeded()
            yield POLL
            ledger.take_stock()

    def _take(self) -> bool:
        with self._lock:
            now = clock.monotonic()
            # An opener that failed never says so: its place is free again after a while.
            self._reserved[:] = [began for began in self._reserved if now - began < CONNECTING]
            if len(self._held()) + len(self._reserved) >= self.limit:
                return False
            self._reserved.append(now)
            return True

    def taken(self, entry: Entry) -> None:
        """A connection is open: it is in the ledger from here on, and needs no reservation."""
        if self.counts(entry.database):
            with self._lock:
                del self._reserved[:1]

    def _held(self) -> list[Entry]:
        return [entry for entry in ledger.open_entries() if self.counts(entry.database)]

    def _make_room(self) -> None:
        """What nobody needs: garbage that is not collected yet (a dead thread's connections), idle ones of pools."""
        collect()
        ledger.take_stock()
        if len(self._held()) >= self.limit:
            pools.visit_idle(lambda entry: not self.counts(entry.database))

    def _exceeded(self) -> ConnectionBudgetExceeded:
        held = self._held()
        return ConnectionBudgetExceeded(
            held=len(held),
            limit=self.limit,
            more=2 * self.limit,
            timeout=self.timeout,
            holders=holders(held, clock.monotonic()),
        )


def budget_of(server: Server, processes: int) -> int | None:
    """One process's share of what a server allows, less what mintdb keeps in the others; None: no limit.

    Raises TooManyProcesses where mintdb's own connections leave less than one for each.
    """
    allowed = server.connections_allowed
    if allowed is None:
        return None
    left = allowed - server.own_connections * (processes - 1)
    if left < processes:
        fit = (allowed + server.own_connections) // (server.own_connections + 1)
        raise TooManyProcesses(
            allowed=allowed + server.own_connections, processes=processes, own=server.own_connections, fit=max(1, fit)
        )
    return left // processes


@contextmanager
def limited(budget: Budget) -> Iterator[Budget]:
    """Hold every opener of the process to a budget."""
    before, gate.keeper = gate.keeper, budget
    stop = ledger.on_opened(budget.taken)
    try:
        yield budget
    finally:
        stop()
        gate.keeper = before
