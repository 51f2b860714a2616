"""Account for connections to databases that mintdb did not make: nothing is created, put back or dropped there.

The verdicts come from this process alone: a connection that the application opened and never closed is one, whether or
not its database has been dropped meanwhile. A server is asked only when there is something to tell of it, as whom the
application itself connects; one that has no place to spare tells nothing.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import field, replace
from typing import Protocol, runtime_checkable

from mintdb.clock import monotonic
from mintdb.connections import closing
from mintdb.connections.account import peak_of, untold
from mintdb.connections.doubts import judge_fairly
from mintdb.connections.explain import compose, tell
from mintdb.connections.facts import Entry, Place, TellsTransaction
from mintdb.connections.finding import find
from mintdb.connections.foreign import is_child_since, traced
from mintdb.connections.ledger import ledger
from mintdb.connections.pools import pools
from mintdb.connections.takings import find_astray, find_forgotten, find_suspects, make_up, write_off
from mintdb.connections.threads import running_threads, started_elsewhere
from mintdb.connections.verdict import Kind, Scope, Verdict, judge, pools_that_may_outlive
from mintdb.contract import Connections, Session, Visit, Visiting
from mintdb.facts import dataclass


@runtime_checkable
class TellsLogin(Protocol):
    """A driver of a server's that knows how its connection was opened."""

    def find_login(self, connection: object) -> Mapping[str, str]:
        """libpq's parameters, with the password."""


@dataclass
class Watch:
    """The accounts of one test after the other, over every database that is not mintdb's."""

    is_ours: Callable[[str], bool]
    visiting: Visiting = lambda login: None
    terminate: str = "never"  # see settings.TERMINATIONS
    _test: str | None = None
    _began: float = field(default_factory=monotonic)
    _alone_since: float = 0.0
    _threads: frozenset[int] = frozenset()
    _sampled: dict[int, Session] = field(default_factory=dict)  # by id() of the entry
    _logins: dict[Place, Mapping[str, str]] = field(default_factory=dict)  # of the databases that the test has used

    def __post_init__(self) -> None:
        if self.terminate == "database":
            ledger.on_opened(self._note_login)

    def begin(self, test: str | None) -> None:
        """A test, or a program that is none, begins."""
        self._test, self._began, self._threads = test, monotonic(), running_threads()
        self._alone_since = self._began
        self._sampled.clear()
        self._logins.clear()

    def wider(self) -> None:
        """A wider fixture was set up within the test: processes that run by now are that fixture's."""
        self._alone_since = monotonic()

    def sample(self) -> None:
        """The test's own clean-up is about to begin, which may drop the databases: note what each session does."""
        self._sampled = {id(entry): _session_of(entry) for entry in self._entries() if entry.is_open}

    def end(self, *, is_last: bool = False) -> Connections:
        """It has ended, and nothing follows if it `is_last`: what it left open, and never closed, is told."""
        suspects = find_suspects(self._entries(), since=self._began, older_threads=self._threads)
        astray = find_astray(suspects, since=self._began)

        def verdicts_with(kept: frozenset[int]) -> tuple[list[Verdict], float]:
            return self._verdicts([*self._entries(), *self._forgotten()], kept, astray), monotonic()

        verdicts = judge_fairly(verdicts_with, began=self._began, is_last=is_last)
        entries = self._entries()
        told = untold(verdicts)
        stays = [Stay(place, visit) for place in self._places(told) if (visit := self._visit(place, entries))]
        try:
            for stay in stays:
                stay.look(self._alone_since if self.terminate == "database" else None)
            found = [find(_joined(verdict, stays)) for verdict in told]
            found += [find(verdict, database=stay.place[2]) for stay in stays for verdict in stay.children]
            if self.terminate != "never":
                make_up(told)
                backends = _end(verdicts)
                for stay in stays if self.terminate == "database" else ():
                    stay.end(backends)
        finally:
            for stay in stays:
                stay.visit.close()
        opened = sum(entry.opened >= self._began for entry in entries)
        peak, words = peak_of(entries, since=self._began), tell(found, test=self._test or "this program")
        return Connections(opened, peak, [f.to_plain() for f in found], words, compose(words))

    def kept(self) -> list[Entry]:
        """What is open and in use, or of no pool, and of which nobody was accused."""
        return [e for e in self._entries() if e.is_open and not e.told and (e.taking or e.owner is None)]

    def _entries(self) -> list[Entry]:
        ledger.take_stock()
        return self._of_others([*ledger.ended_since(self._began), *ledger.open_entries()])

    def _forgotten(self) -> list[Entry]:
        known = self._of_others(ledger.forgotten_since(self._began))
        return find_forgotten(known, since=self._began, older_threads=self._threads)

    def _of_others(self, entries: Iterable[Entry]) -> list[Entry]:
        return [entry for entry in entries if not self.is_ours(entry.database)]

    def _verdicts(self, entries: Iterable[Entry], kept: frozenset[int], astray: frozenset[int]) -> list[Verdict]:
        tolerated = pools_that_may_outlive(pools.living())
        scope = Scope(
            self._test,
            self._began,
            tolerated,
            self._threads | started_elsewhere(self._began),
            os.getpid(),
            kept=kept,
            astray=astray,
            rewinds=False,
        )
        # Not joined by backend pid: those of different servers may be the same.
        return [judge(entry, self._session(entry), scope) for entry in entries]

    def _session(self, entry: Entry) -> Session | None:
        return (self._sampled.get(id(entry)) or _session_of(entry)) if entry.is_open else None

    # The servers

    def _note_login(self, entry: Entry) -> None:
        if not self.is_ours(entry.database) and entry.place not in self._logins and (login := _login(entry)):
            self._logins[entry.place] = login

    def _places(self, told: Iterable[Verdict]) -> Sequence[Place]:
        """The databases on which something is to be told, or ended."""
        of_leaks = [verdict.entry.place for verdict in told if verdict.kind is Kind.LEAK and verdict.entry]
        return list(dict.fromkeys([*of_leaks, *self._logins]))

    def _visit(self, place: Place, entries: Iterable[Entry]) -> Visit | None:
        logins = (_login(entry) for entry in entries if entry.is_open and entry.place == place)
        login = self._logins.get(place) or next(filter(None, logins), None)
        return None if login is None else self.visiting(login)


@dataclass
class Stay:
    """A visit to one database, and who was found there."""

    place: Place
    visit: Visit
    rows: dict[int, Session] = field(default_factory=dict)
    children: list[Verdict] = field(default_factory=list)  # sessions of processes that the test started

    def look(self, since: float | None) -> None:
        """Ask the server; `since` when (monotonic seconds) a process counts as the test's, if any does."""
        with suppress(Exception):  # a server may be going down, and each driver says so in its own way
            self.rows = {session.backend_pid: session for session in self.visit.sessions()}
        for session in map(traced, self.rows.values()):
            if since is not None and session.process is not None and is_child_since(session.process, since):
                self.children.append(Verdict(Kind.FOREIGN, "of a process that the test started", None, session))

    def end(self, backends: Mapping[Place, Collection[int]]) -> None:
        """Have the server end what the test left here, and its processes."""
        theirs = [verdict.session.backend_pid for verdict in self.children if verdict.session]
        with suppress(Exception):  # as above
            self.visit.end([*backends.get(self.place, ()), *theirs])


def _login(entry: Entry) -> Mapping[str, str] | None:
    connection, driver = entry.connection(), entry.driver
    return driver.find_login(connection) if connection is not None and isinstance(driver, TellsLogin) else None


def _joined(verdict: Verdict, stays: Iterable[Stay]) -> Verdict:
    """The verdict with what the server knows; where it knows nothing, with what the application's side does."""
    entry = verdict.entry
    rows = next((stay.rows for stay in stays if entry is not None and stay.place == entry.place), {})
    known = rows.get(entry.backend_pid or 0) if entry is not None and entry.is_open else None
    return verdict if known is None else replace(verdict, session=known)


def _session_of(entry: Entry) -> Session:
    connection = entry.connection()
    driver = entry.driver
    state = None
    if connection is not None and isinstance(driver, TellsTransaction):
        state = "idle in transaction" if driver.is_in_transaction(connection) else "idle"
    return Session(entry.backend_pid or 0, state, None, None, None, None, None)


def _end(verdicts: Iterable[Verdict]) -> Mapping[Place, Collection[int]]:
    """By their sockets alone: the server ends what it belongs to when it next looks. Returns the backends' pids."""
    leaks = [verdict.entry for verdict in verdicts if verdict.kind is Kind.LEAK and verdict.entry is not None]
    backends: dict[Place, list[int]] = defaultdict(list)
    for entry in leaks:
        backends[entry.place].append(entry.backend_pid or 0)
    doomed = {id(entry) for entry in leaks}
    if leaks:
        pools.visit_idle(lambda entry: id(entry) not in doomed)
        write_off(verdicts)
        closing.end([entry for entry in leaks if entry.is_open], lambda backend: None)
    return backends
