"""Draw up what became of every connection to one database while a test had it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import field
from itertools import accumulate

from mintdb import clock
from mintdb.connections.doubts import judge_fairly
from mintdb.connections.facts import Entry, Serverless
from mintdb.connections.foreign import traced
from mintdb.connections.ledger import ledger
from mintdb.connections.pools import pools
from mintdb.connections.takings import find_astray, find_forgotten, find_suspects
from mintdb.connections.threads import running_threads, started_elsewhere
from mintdb.connections.verdict import Scope, Verdict, judge_all, pools_that_may_outlive
from mintdb.contract import Session
from mintdb.facts import dataclass

Sessions = Callable[[], Sequence[Session]]
"""Who is connected to the database now, by the server's word."""


@dataclass(frozen=True)
class Account:
    """One lease of one database, from the moment at which it began."""

    test: str | None
    database: str
    port: int | None = None
    began: float = field(default_factory=clock.monotonic)
    threads: frozenset[int] = field(default_factory=running_threads)

    def verdicts(self, sessions: Sessions, *, locking: Iterable[int] = ()) -> list[Verdict]:
        """A verdict on every connection that was open at some time since the account began, and on every session.

        `locking` are the backends that hold a lock which the rewind needs.
        """
        locks, astray = frozenset(locking), find_astray(self.suspects(), since=self.began)
        return judge_fairly(lambda kept: self._verdicts(sessions, locks, kept, astray), began=self.began)

    def suspects(self) -> list[Entry]:
        """What was taken from a pool since the account began, and is not given back."""
        return find_suspects(self.open_entries(), since=self.began, older_threads=self.threads)

    def forgotten(self) -> list[Entry]:
        """What was taken from a pool since the account began, and given back by the garbage collector alone."""
        known = ledger.forgotten_since(self.began, self.database, port=self.port)
        return find_forgotten(known, since=self.began, older_threads=self.threads)

    def _verdicts(
        self, sessions: Sessions, locking: frozenset[int], kept: frozenset[int], astray: frozenset[int]
    ) -> tuple[list[Verdict], float]:
        ledger.take_stock()
        ended = ledger.ended_since(self.began, self.database, port=self.port)
        entries = [*ended, *self.forgotten(), *self.open_entries(), *self._attached()]
        tolerated = pools_that_may_outlive(pools.living())
        threads = self.threads | started_elsewhere(self.began)
        dropped = ledger.ended_backends(self.database, port=self.port)
        scope = Scope(self.test, self.began, tolerated, threads, os.getpid(), locking, kept, astray, dropped)
        known = {entry.backend_pid for entry in entries if entry.is_open}
        own, seen = _own_sessions(entries), sessions()
        looked = clock.monotonic()  # at once: whoever is busy besides must not make the test seem longer than it was
        rows = [row if row.backend_pid in known else traced(row) for row in seen]
        return judge_all(entries, rows, scope, own=own), looked

    def _attached(self) -> list[Entry]:
        """What was opened on another file, and is in a transaction with this one attached."""
        others = [entry for entry in ledger.open_entries() if entry.database != self.database]
        return [entry for entry in others if _writes_to_attached(entry, self.database)]

    def traffic(self) -> tuple[int, int]:
        """How many connections were opened since the account began, and the most that were open at once."""
        entries = [*ledger.ended_since(self.began, self.database, port=self.port), *self.open_entries()]
        return sum(entry.opened >= self.began for entry in entries), peak_of(entries, since=self.began)

    def open_entries(self) -> list[Entry]:
        """What this process has open to the database now."""
        return ledger.open_entries(self.database, port=self.port)


def _writes_to_attached(entry: Entry, database: str) -> bool:
    connection, driver = entry.connection(), entry.driver
    return connection is not None and isinstance(driver, Serverless) and driver.writes_to_attached(connection, database)


def _own_sessions(entries: Iterable[Entry]) -> dict[int, Session]:
    """By id of the entry: what connections say of themselves, where there is no server to ask."""
    found = {}
    for entry in entries:
        connection = entry.connection()
        if entry.is_open and connection is not None and isinstance(entry.driver, Serverless):
            found[id(entry)] = entry.driver.find_session(connection)
    return {key: session for key, session in found.items() if session is not None}


def peak_of(entries: Iterable[Entry], *, since: float) -> int:
    """The most that were open at once, from `since` (monotonic seconds) on."""
    steps: list[tuple[float, int]] = []
    for entry in entries:
        steps.append((max(entry.opened, since), 1))
        if entry.ended is not None:
            steps.append((max(entry.ended, since), -1))
    # Where one ends as another opens, they were not open together.
    return max(accumulate(step for _, step in sorted(steps)), default=0)


def untold(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """The guilty ones that nobody was told of yet; from now on they are told."""
    found = [verdict for verdict in verdicts if verdict.is_guilty and verdict.entry and not verdict.entry.told]
    for verdict in found:
        assert verdict.entry is not None
        verdict.entry.told = True
    return found
