"""The test databases of this process that are mintdb's: made, leased to one test after the other, and dropped."""

from __future__ import annotations

import atexit
import os
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from mintdb import clock
from mintdb.address import Address
from mintdb.contract import Restored, Session
from mintdb.core.clones import ClonePool
from mintdb.core.lease import Lease
from mintdb.core.names import new_token
from mintdb.django import places, telling
from mintdb.engines.postgresql.errors import NameBusy
from mintdb.facts import dataclass
from mintdb.handover import Handover
from mintdb.mint import Mint
from mintdb.settings import Settings

PATIENCE = 0.5  # seconds after which a wait for another run that holds the name is announced


@dataclass(eq=False)
class TestDatabase:
    """One of them. `adopted`: Django made it, by its own rules, and will drop or keep it."""

    __test__ = False  # it is no test class, whatever its name begins with

    alias: str
    name: str
    server: tuple[str, str]  # host and port, as far as they tell servers apart
    mint: Mint
    adopted: bool = False
    lease: Lease | None = None
    began: float = 0.0  # when the lease did, in seconds since the epoch
    is_settled_in: bool = False  # whether tests have begun, so that what is written is a test's or a fixture's

    @property
    def pool(self) -> ClonePool:
        return self.mint.open(self.alias).pool

    def settle_in(self) -> None:
        """The first test is about to begin: what was written until now, by a runner say, belongs to all of them."""
        if not self.is_settled_in:
            self.is_settled_in = True
            self.pool.marks.keep_what_is_there()

    def begin(self, test: str | None) -> None:
        """Lease it, unless it is leased."""
        if self.lease is None:
            isolation = "none" if self.mint.settings.isolation == "none" else "rewind"
            self.began = clock.wall()
            self.lease = self.mint.lease(self.alias, isolation=isolation, test=test)

    def rename(self, test: str) -> None:
        """The lease is for this test, as is known by now."""
        if self.lease is not None:
            self.pool.rename_test(test)

    def end(self, rolled_back: Collection[int] = ()) -> Restored | None:
        """Put it back, if it was leased; not yet, where nobody but these backends, all rolled back, was at work."""
        lease, self.lease = self.lease, None
        return lease.release(rolled_back) if lease else None

    def go_back(self) -> None:
        """The next test needs the mark itself: put back what tests before it have left for later."""
        if self.lease is None:
            self.pool.marks.go_back(settle=telling.settle())

    def close(self) -> Sequence[Session]:
        """Drop it, or only leave it if it was adopted; returns other processes' sessions that this ended."""
        self.lease = None
        if self.adopted:
            self.go_back()  # what fixtures of the whole run wrote ends with them, and the next run writes it again
        return self.mint.close()


databases: dict[str, TestDatabase] = {}
"""By alias; mirrors of one are not in here."""


def settle_in() -> None:
    """The first class or module is about to be set up, by code of the user's own that may write."""
    for database in databases.values():
        database.settle_in()


always_fresh = False  # whether templates are built anew (--mintdb-fresh)
keeps = False  # whether databases stay although Django is not asked to find an old one (--reuse-db --create-db)


def new(connection: Any, name: str) -> TestDatabase:  # Any: Django's wrapper is untyped
    """Clone the template, building it if need be. Raises what the schema source and the server raise."""
    mint = _open_mint(places.settings_for(connection, name))
    return _register(TestDatabase(connection.alias, name, places.place_of(connection.settings_dict), mint))


def adopt(connection: Any, name: str) -> TestDatabase:  # Any: see new
    """Take over a database that Django has made: its present state is what every test begins with."""
    settings = places.settings_for(connection, name)
    address = _address_of(connection, name)
    handover = Handover(connection.alias, name, "", address.url, address.url)
    mint = Mint(settings, handover=handover)
    mint.open(connection.alias)
    place = places.place_of(connection.settings_dict)
    return _register(TestDatabase(connection.alias, name, place, mint, adopted=True))


def forget(alias: str) -> None:
    """It is closed; nothing is put back any more."""
    databases.pop(alias, None)


def find_same(connection: Any, name: str) -> TestDatabase | None:  # Any: see new
    """The database that an alias would lead to, if it is there already under another alias."""
    wanted = name, places.place_of(connection.settings_dict)
    return next((found for found in databases.values() if (found.name, found.server) == wanted), None)


def _open_mint(settings: Settings) -> Mint:
    """Open the one database of these settings; a long wait for its name is announced."""
    (alias,) = settings.databases
    fresh = new_token() if always_fresh else ""
    patient = Mint(settings, fresh=fresh, announce=telling.say)
    if settings.name_timeout > PATIENCE:
        hasty = Mint(replace(settings, name_timeout=PATIENCE), fresh=fresh, announce=telling.say)
        try:
            hasty.open(alias)
        except NameBusy as error:
            telling.say(f"waiting up to {settings.name_timeout:g} s for {error.name}{error.holder}")
        else:
            return hasty
    patient.open(alias)
    return patient


def _address_of(connection: Any, name: str) -> Address:  # Any: see new
    if places.is_embedded(connection):
        values = connection.settings_dict
        login = (values["HOST"], int(values["PORT"]), values["USER"], values["PASSWORD"])
        return Address("postgresql", name, *login)
    return places.server_of(connection.settings_dict).with_database(name)


def _register(database: TestDatabase) -> TestDatabase:
    databases[database.alias] = database
    return database


def _leave() -> None:
    """The process ends, and Django has not destroyed them: an interrupt, or a runner that keeps them."""
    for alias in list(databases):
        with suppress(Exception):
            databases.pop(alias).close()


atexit.register(_leave)
os.register_at_fork(after_in_child=databases.clear)  # they are the parent's, who goes on
