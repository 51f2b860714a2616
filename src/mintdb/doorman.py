"""Make a database ready when somebody connects to it before the first test does: an application at its import, say."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from mintdb.connections import gate


class Doorman:
    """Stands at the drivers' gate until every database is open. It fulfils connections.gate.Keeper."""

    def __init__(self, aliases: Mapping[str, str], make_ready: Callable[[str], None]) -> None:
        """`aliases` maps the names of databases to what `make_ready` is to be called with."""
        self._aliases = dict(aliases)
        self._make_ready = make_ready
        self._lock = threading.RLock()
        self._next = gate.keeper
        gate.keeper = self

    def wait(self, database: Callable[[], str]) -> None:
        """See connections.gate.Keeper. Raises what making ready raises, in whoever connects."""
        if self._aliases:
            self._let_in(database())
        if self._next is not None:
            self._next.wait(database)

    async def wait_async(self, database: Callable[[], str]) -> None:
        """See connections.gate.Keeper. The event loop stands still meanwhile, once in a run."""
        if self._aliases:
            self._let_in(database())
        if self._next is not None:
            await self._next.wait_async(database)

    def find_note(self, database: Callable[[], str]) -> str | None:
        """See connections.gate.Keeper."""
        return None if self._next is None else self._next.find_note(database)

    def leave(self) -> None:
        """Everything is open, or nothing will be: connecting costs nothing more."""
        self._aliases.clear()
        if gate.keeper is self:
            gate.keeper = self._next

    def _let_in(self, database: str) -> None:
        with self._lock:
            # Taken out first: what makes it ready may import an application that connects, too.
            alias = self._aliases.pop(database, None)
            if alias is not None:
                self._make_ready(alias)
