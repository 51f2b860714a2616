"""Account for connections to databases that mintdb did not make: nothing is created, put back or dropped there.

What is known comes from this process alone: a connection that the application opened and never closed is one, whether
or not its database has been dropped meanwhile. No session of ours is added to a server that may have none to spare.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from mintdb.connections import closing
from mintdb.connections.account import peak_of, running_threads, untold
from mintdb.connections.clock import monotonic
from mintdb.connections.doubts import judge_fairly
from mintdb.connections.explain import explain, find
from mintdb.connections.facts import Entry
from mintdb.connections.ledger import ledger
from mintdb.connections.pools import pools
from mintdb.connections.verdict import Kind, Scope, Verdict, judge, pools_that_may_outlive
from mintdb.contract import Connections, Session


@runtime_checkable
class TellsTransaction(Protocol):
    """A driver that knows, without asking its server, whether a connection is in a transaction."""

    def is_in_transaction(self, connection: object) -> bool: ...


@dataclass
class Watch:
    """The accounts of one test after the other, over every database that is not mintdb's."""

    is_ours: Callable[[str], bool]
    ends_leaks: bool = False  # True: what a test opened and left open is closed from outside
    _test: str | None = None
    _began: float = field(default_factory=monotonic)
    _threads: frozenset[int] = frozenset()
    _sampled: dict[int, Session] = field(default_factory=dict)  # by id() of the entry

    def begin(self, test: str | None) -> None:
        """A test, or a program that is none, begins."""
        self._test, self._began, self._threads = test, monotonic(), running_threads()
        self._sampled.clear()

    def sample(self) -> None:
        """The test's own clean-up is about to begin, which may drop the databases: note what each session does."""
        self._sampled = {id(entry): _session_of(entry) for entry in self._entries() if entry.is_open}

    def end(self) -> Connections:
        """It has ended: what it left open, and never closed, is told."""
        verdicts = judge_fairly(lambda kept: self._verdicts(self._entries(), kept), began=self._began)
        entries = self._entries()
        found = [find(verdict, database=None) for verdict in untold(verdicts)]
        if self.ends_leaks:
            _end(verdicts)
        opened = sum(entry.opened >= self._began for entry in entries)
        report = explain(found, test=self._test or "this program")
        return Connections(opened, peak_of(entries, since=self._began), [f.to_plain() for f in found], report)

    def _entries(self) -> list[Entry]:
        ledger.take_stock()
        known = (*ledger.ended_since(self._began), *ledger.open_entries())
        return [entry for entry in known if not self.is_ours(entry.database)]

    def _verdicts(self, entries: Iterable[Entry], kept: frozenset[int]) -> list[Verdict]:
        tolerated = pools_that_may_outlive(pools.living())
        scope = Scope(self._test, self._began, tolerated, self._threads, os.getpid(), kept=kept, rewinds=False)
        # Not joined by backend pid: those of different servers may be the same.
        return [judge(entry, self._session(entry), scope) for entry in entries]

    def _session(self, entry: Entry) -> Session | None:
        return (self._sampled.get(id(entry)) or _session_of(entry)) if entry.is_open else None


def _session_of(entry: Entry) -> Session:
    connection = entry.connection()
    driver = entry.driver
    state = None
    if connection is not None and isinstance(driver, TellsTransaction):
        state = "idle in transaction" if driver.is_in_transaction(connection) else "idle"
    return Session(entry.backend_pid or 0, state, None, None, None, None, None)


def _end(verdicts: Iterable[Verdict]) -> None:
    """By their sockets alone: the server ends what it belongs to when it next looks at it."""
    leaks = [verdict.entry for verdict in verdicts if verdict.kind is Kind.LEAK and verdict.entry is not None]
    doomed = {id(entry) for entry in leaks}
    if leaks:
        pools.visit_idle(lambda entry: id(entry) not in doomed)
        closing.end([entry for entry in leaks if entry.is_open], lambda backend: None)
