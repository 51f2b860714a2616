"""Settle the account of a lease: end what must not stay, say who is to mend it, and tidy the sessions that stay."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import field, replace

from mintdb import clock
from mintdb.connections import closing, state
from mintdb.connections.account import Account, untold
from mintdb.connections.explain import compose, tell, tell_habit, tell_lock, tell_prepared
from mintdb.connections.facts import Entry, Serverless
from mintdb.connections.finding import Finding, find, where_from
from mintdb.connections.foreign import traced
from mintdb.connections.habits import habits, line_of
from mintdb.connections.ledger import ledger
from mintdb.connections.pools import pools
from mintdb.connections.takings import make_up, write_off
from mintdb.connections.verdict import Kind, Verdict
from mintdb.contract import Clone, Connections, Present, Session
from mintdb.facts import dataclass

GOODBYE = 0.1  # seconds; the server ends a session 1 to 5 ms after its client has closed it
POLL = 0.005
LONG = 1.0  # seconds; a transaction that is at work is over by then, however short a test is
OUTSIDE = "a lease"  # what a report calls a lease that no test has


@dataclass
class CloneAccounts:
    """The accounts of one clone's leases, one after the other. It fulfils core.clones.Accounts."""

    database: str
    port: int
    ends_leaks: bool = True  # False: they are only reported
    _account: Account = field(init=False)
    _last_seen: dict[int, float] = field(default_factory=dict)  # backends at the end of the last lease
    _arrivals: int | None = None  # sessions that there had been by then

    def __post_init__(self) -> None:
        self.begin(None)

    def begin(self, test: str | None) -> None:
        """See core.clones.Accounts."""
        self._account = Account(test, self.database, self.port)

    def rename(self, test: str) -> None:
        """See core.clones.Accounts."""
        self._account = replace(self._account, test=test)

    def close(self, clone: Clone, present: Present) -> Connections:
        """See core.clones.Accounts."""
        test = self._account.test or OUTSIDE
        opened, peak = self._account.traffic()
        prepared = tell_prepared(present.prepared, test=test)
        if not self._is_anything_unexplained(present):
            return Connections(opened, peak, told=prepared, report=compose(prepared))
        verdicts = self._account.verdicts(clone.sessions)
        told = untold(verdicts) + [v for v in verdicts if _is_foreign_in_the_way(v, present)]
        beside = self._account.open_entries()
        found = [find(v, database=self.database, held=_find_held(v), beside=beside) for v in told]
        if self.ends_leaks:
            make_up(told)
            ended = self._end(clone, verdicts)
            found = [_with_its_end(f, v, ended) for f, v in zip(found, told, strict=True)]
            if present.in_the_way:
                closing.stop_reading(self._account.open_entries())
        if any(v.kind is Kind.RESIDENT and v.session is not None and v.session.is_busy for v in verdicts):
            clone.welcome()  # its transaction only reads: nobody is to end it on the way
        words = [*tell(found, test=test), *prepared]
        lasted = clock.monotonic() - self._account.began
        notes = [note for v in verdicts if (note := _tell_lock(v, lasted) or _tell_habit(v))]
        return Connections(opened, peak, [f.to_plain() for f in found], words, compose(words), notes)

    def remember(self) -> None:
        """See core.clones.Accounts. What is idle in a pool needs no remembering: it is reset, or opened anew."""
        state.remember(entry for entry in self._account.open_entries() if entry.owner is None or entry.taking)

    def last_look(self, clone: Clone) -> Sequence[Session]:
        """See core.clones.Accounts. A session that its client has closed is given a moment to be gone."""
        deadline = clock.monotonic() + GOODBYE
        while (left := self._of_others(clone)) and clock.monotonic() < deadline:
            clock.sleep(POLL)
        return [traced(session) for session in left]

    def _of_others(self, clone: Clone) -> list[Session]:
        own = {entry.backend_pid for entry in self._account.open_entries()}
        own |= ledger.ended_backends(self.database, port=self.port)
        return [session for session in clone.sessions() if session.backend_pid not in own]

    def was_alone(self, present: Present, backends: Collection[int]) -> bool:
        """See core.clones.Accounts."""
        if present.in_the_way or present.prepared or present.arrivals is None or present.arrivals != self._arrivals:
            return False
        changed = self._last_seen.items() ^ present.backends.items()
        return all(pid in backends for pid, _ in changed)

    def tidy(self, present: Present) -> None:
        """See core.clones.Accounts."""
        used = {pid for pid, changed in present.backends.items() if self._last_seen.get(pid) != changed}
        # On MariaDB a session that has gone to another database is not among those of this one.
        stay = [
            e for e in self._account.open_entries() if e.backend_pid in used or e.backend_pid not in present.backends
        ]
        if stay:
            state.put_back(stay)
        self._last_seen, self._arrivals = dict(present.backends), present.arrivals

    def cut_off(self) -> Sequence[Session]:
        """See core.clones.Accounts. A server has ended its own sessions already, and told whose they were."""
        left = [entry for entry in self._account.open_entries() if isinstance(entry.driver, Serverless)]
        return [_of_this_process(entry) for entry in closing.end(left, lambda backend: None)]

    def _is_anything_unexplained(self, present: Present) -> bool:
        """Whether a full account is worth while: somebody is in the way, or a connection has come, or gone unclosed."""
        if present.in_the_way:
            return True
        began = self._account.began
        ended = ledger.ended_since(began, self.database, port=self.port)
        if ended or any(entry.opened >= began for entry in self._account.open_entries()):
            return True
        return bool(self._account.forgotten() or self._account.suspects())

    def _end(self, clone: Clone, verdicts: Sequence[Verdict]) -> Sequence[Entry]:
        """Pools that the test made let go of what is idle; the rest is ended from outside, its backends at once.

        One that may outlive the test, and that nobody would open again, loses its transaction alone. Returns who was
        ended.
        """
        leaks = [v.entry for v in verdicts if v.kind is Kind.LEAK and v.entry is not None and not _has_let_go(v)]
        backends = _let_go_of(verdicts)
        if leaks:
            doomed = {id(entry) for entry in leaks}
            pools.visit_idle(lambda entry: id(entry) not in doomed)
            write_off(verdicts)
            closing.end([entry for entry in leaks if entry.is_open], backends.append)
        if leaks or backends:
            clone.end(backends)
        return leaks


def _tell_lock(verdict: Verdict, lasted: float) -> str | None:
    """Of a lock in a transaction that was there before the test: it stays, for nothing of it is in the rewind's way."""
    entry, session = verdict.entry, verdict.session
    if verdict.kind is not Kind.RESIDENT or entry is None or session is None or not (session.is_busy and session.holds):
        return None
    if (session.seconds_in_transaction or 0.0) <= max(lasted, LONG):
        return None
    holder = where_from(entry)
    return tell_lock(session.holds, holder) if holder else None


def _tell_habit(verdict: Verdict) -> str | None:
    """Of what is closed without a search, and without an accusation."""
    entry = verdict.entry
    if verdict.kind is not Kind.LEAK or entry is None or not habits.is_never_kept(entry):
        return None
    return tell_habit(line_of(entry))


def _with_its_end(finding: Finding, verdict: Verdict, ended: Sequence[Entry]) -> Finding:
    """It is told of one that might have stayed; of all others that is understood."""
    return replace(finding, was_ended=verdict.may_stay and verdict.entry in ended)


def _let_go_of(verdicts: Iterable[Verdict]) -> list[int]:
    """Backends at work for connections that their drivers have closed already: nobody is waiting for them."""
    unseen = [v.session for v in verdicts if v.kind is Kind.CLOSED and v.entry is None and v.session is not None]
    return [session.backend_pid for session in unseen if session.is_busy]


def _of_this_process(entry: Entry) -> Session:
    opened = str(entry.site) if entry.site else None
    return Session(0, None, None, "a connection of the tests' own process", None, None, None, opened=opened)


def _find_held(verdict: Verdict) -> tuple[str, ...]:
    is_idle = verdict.session is not None and not verdict.session.is_busy
    return state.find_held(verdict.entry) if is_idle and verdict.entry is not None else ()


def _has_let_go(verdict: Verdict) -> bool:
    """Whether a connection that may stay could be rolled back; it may become guilty of the same again."""
    entry, session = verdict.entry, verdict.session
    is_idle = session is not None and (session.state or "").startswith("idle in transaction")
    if entry is None or not verdict.may_stay or not is_idle or not closing.roll_back(entry):
        return False
    entry.told = False
    return True


def _is_foreign_in_the_way(verdict: Verdict, present: Present) -> bool:
    """Other processes may stay connected; one whose transaction has to be ended is named."""
    in_the_way = {session.backend_pid for session in present.in_the_way}
    return verdict.kind is Kind.FOREIGN and verdict.session is not None and verdict.session.backend_pid in in_the_way
