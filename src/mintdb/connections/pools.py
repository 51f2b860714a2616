"""Who owns connections: every living pool, where it was created, and what it can be asked to let go of."""

from __future__ import annotations

import os
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from mintdb.address import redact
from mintdb.connections.facts import Entry, Owner
from mintdb.connections.ledger import ledger
from mintdb.connections.stack import Site
from mintdb.facts import dataclass


@dataclass(frozen=True)
class Sprawl:
    """Several pools of one kind, blocking or for event loops, that lead to one place."""

    url: str  # without a password
    owners: Sequence[Owner]

    @property
    def sites(self) -> Sequence[Site | None]:
        """Where each was created, in order of creation."""
        return [owner.site for owner in self.owners]


class Pools:
    """The pools of one process; they are never kept alive by being known."""

    def __init__(self) -> None:
        self._owners: dict[int, tuple[weakref.ref[object], Owner]] = {}
        self._ours: weakref.WeakSet[Owner] = weakref.WeakSet()
        self.keep_idle = True  # False: a pool closes a connection when it is given back
        os.register_at_fork(after_in_child=self._owners.clear)  # a child must not close its parent's sessions

    def add(self, pool: object, owner: Owner) -> None:
        """A pool (or engine) was made, or an owner has a new one."""
        key = id(pool)

        def forget(_: object) -> None:
            self._owners.pop(key, None)

        self._owners[key] = weakref.ref(pool, forget), owner

    def is_ours(self, pool: object) -> None:
        """A pool is mintdb's own, made for the tests: it is no sprawl of the application's."""
        if owner := self.find(pool):
            self._ours.add(owner)

    def find(self, pool: object) -> Owner | None:
        """The owner that a pool object is."""
        known = self._owners.get(id(pool))
        return known[1] if known is not None and known[0]() is pool else None

    def find_objects(self, owner: Owner) -> list[object]:
        """The pool objects that an owner is: an engine, and each pool that it was seen to have."""
        known = [reference() for reference, other in self._owners.copy().values() if other is owner]
        return [pool for pool in known if pool is not None]

    def known(self) -> list[Owner]:
        """Pools that exist, in order of creation; an engine is one, although its pool was disposed of."""
        owners = dict.fromkeys(owner for _, owner in self._owners.copy().values())
        return sorted(owners, key=lambda owner: owner.created)

    def living(self) -> list[Owner]:
        """Pools that exist and are open, in order of creation."""
        return [owner for owner in self.known() if owner.pool is None or owner.pool.is_alive()]

    def visit_idle(self, keep: Callable[[Entry], bool], owners: Iterable[Owner] | None = None) -> None:
        """Show the entry of each idle pooled connection to `keep`, which has it to itself; close it if that is False.

        A connection that was opened before it could be seen is kept.
        """

        def keep_connection(connection: object) -> bool:
            entry = ledger.find(connection)
            return entry is None or keep(entry)

        for owner in self.living() if owners is None else owners:
            if owner.pool is not None:
                owner.pool.visit_idle(keep_connection)

    def let_go(self, database: str, *, port: int | None = None) -> Sequence[Entry]:
        """Close every pool's idle connections to `database`, so that it can be renamed; the pools reconnect when used.

        Returns what is still open: connections in use, those of no known pool, and those of an event loop that runs
        in another thread.
        """
        self.visit_idle(lambda entry: entry.database != database or port not in (None, entry.port))
        ledger.take_stock()
        return ledger.open_entries(database, port=port)

    def sprawl(self, url: str | None = None) -> Sequence[Sprawl]:
        """Places that more than one living pool leads to, the most crowded first.

        One pool for blocking code and one for event loops are what an application needs that has both.
        """
        by_place: dict[tuple[str, bool, object], list[Owner]] = defaultdict(list)
        for owner in (owner for owner in self.living() if owner not in self._ours):
            leads_to = redact((owner.pool and owner.pool.find_url()) or "")
            if owner.pool is not None and leads_to and url in (None, leads_to):
                by_place[leads_to, owner.pool.is_async(), owner.pool.find_likeness()].append(owner)
        crowded = [Sprawl(leads_to, owners) for (leads_to, *_), owners in by_place.items() if len(owners) > 1]
        return sorted(crowded, key=lambda sprawl: len(sprawl.owners), reverse=True)


pools = Pools()
"""The pools of this process."""
