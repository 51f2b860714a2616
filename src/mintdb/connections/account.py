"""Settle the account of a lease: judge what is still open, end what must not stay, and say who is to mend it."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from mintdb.connections import closing, state
from mintdb.connections.explain import explain, find
from mintdb.connections.facts import Ending, Entry
from mintdb.connections.foreign import traced
from mintdb.connections.ledger import ledger
from mintdb.connections.pools import pools
from mintdb.connections.verdict import Kind, Scope, Verdict, judge_all, pools_that_may_outlive
from mintdb.contract import Clone, Present, Session

OUTSIDE = "a lease"  # what a report calls a lease that no test has


@dataclass
class ClonesAccount:
    """The connections to one clone. It fulfils core's Account."""

    database: str
    port: int
    ends_leaks: bool = True  # False: they are only reported
    _test: str | None = None
    _began: float = field(default_factory=time.monotonic)
    _older_threads: frozenset[int] = frozenset()
    _last_seen: dict[int, float] = field(default_factory=dict)  # backends at the end of the last lease

    def begin(self, test: str | None) -> None:
        """See core.clones.Account."""
        self._test = test
        self._began = time.monotonic()
        self._older_threads = frozenset(t.ident for t in threading.enumerate() if t.ident is not None)

    def close(self, clone: Clone, present: Present) -> str:
        """See core.clones.Account."""
        if not self._is_anything_unexplained(present):
            return ""
        closing.collect()
        ledger.take_stock()
        verdicts = judge_all(self._entries(), [traced(s) for s in clone.sessions()], self._scope())
        told = [v for v in verdicts if v.is_guilty or self._is_foreign_in_the_way(v, present)]
        if self.ends_leaks:
            self._end(clone, told)
        findings = [find(verdict, database=self.database) for verdict in told]
        return explain(findings, test=self._test or OUTSIDE)

    def tidy(self, present: Present) -> None:
        """See core.clones.Account."""
        used = {pid for pid, changed in present.backends.items() if self._last_seen.get(pid) != changed}
        stay = [e for e in ledger.open_entries(self.database, port=self.port) if e.backend_pid in used]
        if stay:
            state.put_back(stay)
        self._last_seen = dict(present.backends)

    def _entries(self) -> list[Entry]:
        """What is open, and what the garbage collector had to close since the lease began."""
        ended = ledger.ended_since(self._began, self.database, port=self.port)
        return ledger.open_entries(self.database, port=self.port) + [e for e in ended if e.ending is Ending.COLLECTED]

    def _is_anything_unexplained(self, present: Present) -> bool:
        """Whether judging is worth a run of the garbage collector, which costs 100 ms in big applications."""
        if present.in_the_way:
            return True
        young = [entry for entry in self._entries() if entry.opened >= self._began]
        return bool(young) and any(v.is_guilty for v in judge_all(young, self._as_idle(present), self._scope()))

    def _as_idle(self, present: Present) -> list[Session]:
        """Nobody is in the way, so everybody is idle: enough to judge by."""
        return [Session(pid, "idle", None, None, None, None, None, has_written=False) for pid in present.backends]

    def _scope(self) -> Scope:
        return Scope(
            test=self._test,
            began=self._began,
            tolerated=pools_that_may_outlive(pools.living()),
            older_threads=self._older_threads,
        )

    def _is_foreign_in_the_way(self, verdict: Verdict, present: Present) -> bool:
        """Other processes may stay connected; one whose transaction must be ended is named."""
        in_the_way = {session.backend_pid for session in present.in_the_way}
        session = verdict.session
        return verdict.kind is Kind.FOREIGN and session is not None and session.backend_pid in in_the_way

    def _end(self, clone: Clone, verdicts: Sequence[Verdict]) -> None:
        """Pools that the test made let go of what is idle; the rest is ended from outside, its backends at once."""
        leaks = [v.entry for v in verdicts if v.kind is Kind.LEAK and v.entry is not None]
        doomed = {id(entry) for entry in leaks}
        pools.visit_idle(lambda entry: id(entry) not in doomed)
        backends: list[int] = [v.session.backend_pid for v in verdicts if v.kind is Kind.FOREIGN and v.session]
        closing.end([entry for entry in leaks if entry.is_open], backends.append)
        clone.end(backends)
