"""`TestCase`s whose every test has a database in mint condition; class-level data is kept for the class.

Importing this module exports the configured URLs, so import it before the application. From then on the databases are
put back after every test of the process, whoever's `TestCase` it is of. Under pytest, mintdb's plugin does all that.
"""

from __future__ import annotations

import os
import sys
import unittest
from typing import TYPE_CHECKING, Any

from mintdb.boundaries import Boundaries
from mintdb.errors import LeaseError
from mintdb.settings import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mintdb.core.lease import Lease

__all__ = ["MintAsyncTestCase", "MintTestCase"]


class NoTestRuns(LeaseError):
    """A TestCase's database was asked for where no test runs. Facts: what."""

    text = """\
{what} was asked for, but no test has a database now
  1. ask for it in a test, in setUp or in setUpClass
  2. or let the application read its URL from a variable that `export` names"""


class _WithDatabase:
    """What MintTestCase and its asynchronous twin share."""

    database = DEFAULT  # which configured database `self.db` is
    _lease: Lease | None = None  # the one that pytest's fixture has

    @property
    def db(self) -> Lease:
        """The test's lease: `.url`, `.url_for(form)`, `.connect()`. Raises NoTestRuns before and after the test."""
        leases = Boundaries.present.leases if Boundaries.present else {}
        lease = leases.get(self.database, self._lease)
        if lease is None:
            raise NoTestRuns(what="self.db")
        return lease

    @classmethod
    def url_for(cls, form: str = "libpq") -> str:
        """The database's URL, which is the same for the whole run: for `setUpClass`. Raises NoTestRuns."""
        if Boundaries.present is None:
            raise NoTestRuns(what="url_for()")
        return Boundaries.present.mint.reserve(cls.database).url_for(form)

    if "mintdb.pytest_plugin" in sys.modules:  # pytest runs, and may run these as well
        import pytest

        @pytest.fixture(autouse=True)
        def _mintdb_lease(self, mintdb: Lease) -> Iterator[None]:
            self._lease = mintdb
            yield
            self._lease = None


class MintTestCase(_WithDatabase, unittest.TestCase):
    """A `TestCase` with `self.db`. What `setUpClass` writes lives as long as the class, `setUpModule` as the module."""


class MintAsyncTestCase(_WithDatabase, unittest.IsolatedAsyncioTestCase):
    """The same as an `IsolatedAsyncioTestCase`."""


def _hold_unittest() -> None:
    """Export the URLs now, and put the databases back after each test of unittest's own runner."""
    from mintdb.connections.hooks import watch
    from mintdb.doorman import Doorman
    from mintdb.handover import find_handover
    from mintdb.mint import Mint
    from mintdb.settings import DatabaseSettings, load
    from mintdb.unittest_boundaries import Tests, on_first_test

    handover = find_handover(os.environ)
    if handover is not None and not handover.taken:
        return  # `mintdb run` has exported its database, and holds the tests
    settings = load()
    mint = Mint(settings if settings.configured else settings.with_database(DatabaseSettings()))
    os.environ |= mint.exports()
    watch()
    aliases = list(mint.settings.databases)
    # An application may connect at its import, before the first test.
    doorman = Doorman({mint.reserve(alias).database: alias for alias in aliases}, lambda alias: _open(mint, aliases))

    def make() -> Tests:
        doorman.leave()
        return Tests(mint, aliases)

    on_first_test(make)


def _open(mint: Any, aliases: list[str]) -> None:  # Any: a Mint
    for alias in aliases:
        mint.open(alias)


if "mintdb.pytest_plugin" not in sys.modules:
    _hold_unittest()
