"""What the fixtures hand to a test: the leases that its marker asks for, and what is to be known of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import pytest

from mintdb.pytest_plugin import marker
from mintdb.settings import DEFAULT

if TYPE_CHECKING:
    from mintdb.core.lease import Lease
    from mintdb.pytest_plugin.run import Run

OWN = pytest.StashKey[str]()  # the database of which a test has a clone of its own, and needs no other


class Leasing:
    """The leases of a run's tests, beyond those that every test has without asking."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def lease_for(self, item: pytest.Item) -> Iterator[Lease]:
        """The lease that the fixture `mintdb` hands to a test."""
        run, request = self._run, marker.read(item, self._run.settings)
        shared = run.boundaries.leases.get(run.settings.home_of(request.database))
        if self._is_put_back_at_home(request.isolation) and shared is not None:
            if request.database in run.boundaries.leases:
                yield shared
            else:
                with shared.through(run.mint.reserve(request.database)) as mirror:
                    yield mirror
            return
        lease = run.mint.lease(request.database, isolation=request.isolation)
        item.stash[OWN] = run.settings.home_of(request.database)
        try:
            yield lease
        finally:
            self._end(lease, item)

    def further_leases(self, item: pytest.Item) -> Iterator[Callable[..., Lease]]:
        """A factory of leases that end with the test."""
        leases: list[Lease] = []

        def make(database: str = DEFAULT, *, isolation: str | None = None) -> Lease:
            leases.append(self._run.mint.lease(database, isolation=isolation))
            return leases[-1]

        yield make
        for lease in reversed(leases):
            self._end(lease, item)

    def _end(self, lease: Lease, item: pytest.Item) -> None:
        """End a lease that a test has besides those of every test."""
        run, keep = self._run, self._run.is_to_keep(item)
        run.summary.count(run.boundaries.keep(lease, item.nodeid) if keep else lease.release())

    def leases_with(self, lease: Lease) -> list[Lease]:
        """Those that a test has: `lease` first."""
        return [lease, *(other for other in self._run.boundaries.leases.values() if other is not lease)]

    def is_home(self, lease: Lease) -> bool:
        """Whether the lease is of a clone that stays for the whole run."""
        mint, aliases = self._run.mint, (*self._run.settings.databases, DEFAULT)
        return any(lease.address == mint.reserve(alias) for alias in aliases)

    def isolation_of(self, item: pytest.Item) -> str:
        """How a test is isolated: as its marker says, else as the run is."""
        return marker.read(item, self._run.settings).isolation or self._run.settings.isolation

    def alias_of(self, item: pytest.Item) -> str:
        """Which configured database a test leases."""
        return marker.read(item, self._run.settings).database

    def exports_of(self, item: pytest.Item) -> Mapping[str, str]:
        """The variables that a test's database is exported in, and the form of the URL in each."""
        return self._run.settings.get_database(self.alias_of(item)).export

    def _is_put_back_at_home(self, isolation: str | None) -> bool:
        return isolation is None or {isolation, self._run.settings.isolation} <= {"rewind", "transaction"}
