"""Where the tests of one process begin and end, whoever runs them: databases are leased, judged and put back there."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import ClassVar

from mintdb import clock
from mintdb.connections.elsewhere import explain_elsewhere, find_place
from mintdb.connections.facts import Opening
from mintdb.connections.ledger import ledger
from mintdb.connections.live import LIVE, live_file
from mintdb.connections.watching import Watch
from mintdb.contract import Restored, Way
from mintdb.core.lease import Lease
from mintdb.core.marks import setting_up
from mintdb.mint import Mint, visit
from mintdb.report import Summary
from mintdb.report.facts import Tested, Worker

ELSEWHERE = "elsewhere"  # in a report: databases that mintdb did not make
HELD = (
    "what {test} wrote before a wider fixture was set up in its midst stays as long as that fixture: one of them"
    " changed the schema or, on MariaDB and MySQL, both wrote to one table. Ask for the fixture by argument, so that it"
    " is set up first"
)


class Boundaries:
    """The leases of the test that runs now, and the marks of the fixtures around it."""

    present: ClassVar[Boundaries | None] = None  # those of this process's tests, from the first one on

    def __init__(self, mint: Callable[[], Mint], summary: Summary, aliases: Callable[[], Sequence[str]]) -> None:
        """Nothing is opened before the first test. `aliases` are the databases that every test leases."""
        self._mint = mint
        self._summary = summary
        self._aliases = aliases
        self._began = 0.0  # when the test that runs now did, monotonic
        self._began_at = 0.0  # seconds since the epoch
        self._wide_ended = False  # whether a wide fixture was torn down since the last put-back
        self._watch: Watch | None = None
        self._running = ""  # the test that runs now
        self._raised: set[str] = set()  # the first lines of errors that have failed a test
        self.leases: dict[str, Lease] = {}  # of the test that runs now, by database

    @property
    def mint(self) -> Mint:
        """The facade, made when it is first needed."""
        return self._mint()

    @property
    def rewinds_examples(self) -> bool:
        """Whether the settings want each of Hypothesis's examples put back, and the test has something to put back."""
        return bool(self.leases) and self.mint.settings.rewind_examples

    # The run

    def open(self) -> None:
        """Make every database ready; what an application wrote at its import is there for every test."""
        from mintdb.engines.places import find_cache  # platformdirs, for those who run tests

        live_file.begin(find_cache() / LIVE)
        Boundaries.present = self
        settings = self.mint.settings
        if settings.isolation == "none":
            self._watch = Watch(self.mint.has_made, visit, settings.terminate)
        for alias in self._aliases():
            self.mint.open(alias).pool.marks.keep_what_is_there()

    def close(self) -> None:
        """Leave the servers, and note what there is to say of the whole process."""
        self._summary.tell_unseen()
        self._summary.tell_sprawl(self.mint.settings.leaks)
        live_file.end()
        if self._began:  # xdist's controller runs no test
            self._summary.workers.append(Worker(self.mint.worker, os.getpid(), ledger.total, ledger.peak))
        try:
            self._summary.left_behind += list(self.mint.close())
        except Exception as error:  # noqa: BLE001  # whatever it is, the tests' results count for more
            if (what := _headline(error)) not in self._raised:  # a server that is gone has failed the test already
                self._summary.troubles.append(f"could not clean up: {what}")

    # A test

    def begin(self, test: str) -> None:
        """Lease every database, before the first fixture is set up."""
        Boundaries.present = self
        self._began, self._began_at = clock.monotonic(), clock.wall()
        self._running = test
        live_file.turn()
        if self._watch is not None:
            self._watch.begin(test)
        with self._noticing():
            for alias in self._aliases():
                self.leases[alias] = self.mint.lease(alias, test=test)

    def end(self, test: str, policy: str | None = None, *, keep: Callable[[str], bool] | None = None) -> list[str]:
        """Put the databases back; returns the reports for which the test has to fail. Again is harmless.

        `policy` is the test's own; None: that of each database. A database that one is to `keep` is set aside first.
        """
        if not self._running:
            return []
        self._running = ""
        failing = [self._end_watch(test, policy or self.mint.settings.leaks)]
        if self.leases:
            self._look_elsewhere(test)
            with self._noticing():
                failing += [
                    self._release(alias, test, policy, keep=bool(keep and keep(alias))) for alias in list(self.leases)
                ]
                if self.mint.settings.isolation == "clone":
                    self._clear_home()
        return list(filter(None, failing))

    @contextmanager
    def _noticing(self) -> Iterator[None]:
        """Remember what fails in the block, and so fails the test: it need not be told once more when the run ends."""
        try:
            yield
        except Exception as error:
            self._raised.add(_headline(error))
            raise

    def before_teardown(self) -> None:
        """The test's clean-up is about to begin: it may drop databases of its own."""
        if self._watch is not None:
            self._watch.sample()

    @contextmanager
    def phase(self, opening: Opening) -> Iterator[None]:
        """What is opened in the block is opened in this phase of a test, or by this fixture."""
        before = ledger.enter(opening)
        try:
            yield
        finally:
            ledger.enter(before)
            if self._watch is not None and opening.scope != "function":
                self._watch.wider()

    # What is wider than a test

    @contextmanager
    def wide(self, owner: Hashable) -> Iterator[None]:
        """What the set-up of `owner` in the block writes lives until `end_wide(owner)`."""
        pools = [self.mint.open(alias).pool for alias in self._aliases()]
        try:
            with setting_up([pool.marks for pool in pools], owner, settle=self.mint.settings.settle):
                yield
        finally:
            for pool in pools:
                pool.remember_sessions()

    def end_wide(self, owner: Hashable) -> None:
        """`owner` was torn down; what it wrote is gone before anybody looks again."""
        self._wide_ended = True
        for alias in filter(self.mint.is_open, self._aliases()):
            self.mint.open(alias).pool.marks.after_teardown(owner)

    def clear(self, *, more_tests: bool = True) -> None:
        """Put the databases back once more if something wider was torn down after the test's own put-back."""
        if self._wide_ended and more_tests and self.mint.settings.isolation != "none":
            self._clear_home()
        self._wide_ended = False

    def _clear_home(self) -> None:
        """Put the home clones back if something was written there that belongs to no test."""
        for alias in self._aliases():
            self.mint.open(alias).pool.marks.clear(settle=self.mint.settings.settle)

    def _look_elsewhere(self, test: str) -> None:
        """Note databases that the test connected to and that mintdb did not make: a `.env` file may have won."""
        for entry in (*ledger.ended_since(self._began), *ledger.open_entries()):
            if not self.mint.has_made(entry.database) and (place := find_place(entry)) not in self._summary.elsewhere:
                self._summary.elsewhere[place] = explain_elsewhere(entry, test=test)

    def _end_watch(self, test: str, policy: str) -> str:
        if self._watch is None:
            return ""
        connections = self._watch.end()
        if connections.opened or not self.leases:
            return self._note(test, policy, ELSEWHERE, Restored(Way.KEPT, 0.0, connections=connections))
        return ""

    def _release(self, alias: str, test: str, policy: str | None, *, keep: bool) -> str:
        lease = self.leases.pop(alias)
        port = lease.address.port
        restored = self.keep(lease, test) if keep else lease.release()
        self._summary.count(restored, test, port=port or None)
        if self.mint.open(alias).pool.marks.held_test:
            self._summary.troubles.append(HELD.format(test=test))
        return self._note(test, policy or self.mint.settings.leaks_of(alias), alias, restored)

    def keep(self, lease: Lease, test: str) -> Restored:
        """End a lease, and let a person look at what the test has left."""
        self._summary.kept.append((test, lease.keep().url))
        restored = lease.release()
        return restored if restored.way is Way.DROP else replace(restored, way=Way.SWAP)

    def _note(self, test: str, policy: str, alias: str, restored: Restored) -> str:
        """Note it for the end of the run; returns what the test has to fail for."""
        tested = Tested.of(test, self.mint.worker, alias, self._began_at, restored)
        self._summary.note(tested, restored.connections.told, policy)
        return restored.report if policy == "error" else ""


def _headline(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
