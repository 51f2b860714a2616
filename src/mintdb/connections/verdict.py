"""What a connection turns out to be when a lease ends: a pure function of its entry, the server's row and the lease.

Who is in doubt is not accused: a missed leak costs a connection, a false accusation costs trust in every report.

| the connection                                                             | verdict   |
|----------------------------------------------------------------------------|-----------|
| was closed, or the server does not know it any more                        | closed    |
| was collected without a close, and opened in the test                      | abandoned |
| … but by another's thread, or for an older or wider fixture's pool         | closed    |
| has ended here, and only its backend is at work still                      | closed    |
| has no entry, and is not known to be of this process                       | foreign   |
| is older than the test, of a wider fixture or another's thread; harmless   | resident  |
| … but holds a transaction that is in the rewind's way                      | leak      |
| was opened in the test, by a pool that may outlive it; harmless            | resident  |
| … but holds a transaction that is in the rewind's way                      | leak      |
| was opened in the test by Django's main thread, and is harmless            | resident  |
| was opened in the test, is harmless, and what outlives the test keeps it   | resident  |
| … but holds a transaction that is in the rewind's way                      | leak      |
| was taken from its pool in the test, and is astray                         | leak      |
| was opened in the test, and is open                                        | leak      |

A pool may outlive the test if it is older, if a wider fixture made it, or if it is the one living pool of its creation
site to one place: an engine that is created when it is first needed, for the whole run. A thread is another's if it is
older, or if a wider fixture or another's thread has started it. What outlives the test is a wider fixture; and a
module, for what the test's own body did not open: see `doubts`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from operator import attrgetter
from types import MappingProxyType

from mintdb.connections.facts import Ending, Entry, Opening, Owner
from mintdb.contract import Session
from mintdb.facts import dataclass

MOMENT = 0.1  # seconds; one that began since everybody was waited for has just come by, as a poller does
NOBODY: Mapping[int, Session] = MappingProxyType({})


class Kind(StrEnum):
    CLOSED = "closed"
    RESIDENT = "resident"
    LEAK = "leak"
    ABANDONED = "abandoned"
    FOREIGN = "foreign"


@dataclass(frozen=True)
class Scope:
    """The lease that has ended, as far as a verdict needs to know it."""

    test: str | None
    began: float  # seconds, monotonic
    tolerated: frozenset[Owner] = frozenset()  # see `pools_that_may_outlive`
    older_threads: frozenset[int] = frozenset()  # idents of the threads that ran when it began, or are not the test's
    process: int | None = None  # this one
    locking: frozenset[int] = frozenset()  # backends that hold a lock which the rewind needs
    kept: frozenset[int] = frozenset()  # entries, by id(), that something that outlives the test keeps: see `doubts`
    astray: frozenset[int] = frozenset()  # entries, by id(), taken from their pool and never given back: see `takings`
    dropped: frozenset[int] = frozenset()  # backends of connections that this process has let go of
    rewinds: bool = True  # False: nothing is put back, and no transaction is in anybody's way


@dataclass(frozen=True)
class Verdict:
    """What one connection is, and why; `entry` or `session` is None where only the other side knows it."""

    kind: Kind
    reason: str
    entry: Entry | None
    session: Session | None
    is_excused: bool = False  # of a leak: it may outlive the test, and only its transaction may not
    may_stay: bool = False  # … and nobody would open it again: it is of no pool, or somebody has taken it for good
    is_astray: bool = False  # taken from its pool and never given back

    @property
    def is_guilty(self) -> bool:
        """Whether somebody has something to mend."""
        return self.kind in (Kind.LEAK, Kind.ABANDONED)


def judge_all(
    entries: Iterable[Entry], sessions: Sequence[Session], scope: Scope, *, own: Mapping[int, Session] = NOBODY
) -> list[Verdict]:
    """A verdict for every entry and for every session without one, joined by backend pid.

    `own` are sessions that no server knows, by the id of their entry.
    """
    entries, rows = list(entries), {session.backend_pid: session for session in sessions}
    # A server that was restarted gives numbers out anew: who has the same one from before is lost, and has not seen it.
    youngest = {entry.backend_pid: entry for entry in sorted(entries, key=attrgetter("opened")) if entry.is_open}

    def find(entry: Entry) -> Session | None:
        if entry.backend_pid is None:
            return own.get(id(entry))
        return rows.pop(entry.backend_pid, None) if youngest.get(entry.backend_pid) is entry else None

    verdicts = [judge(entry, find(entry), scope) for entry in entries]
    return verdicts + [judge(None, session, scope) for session in rows.values()]


def judge(entry: Entry | None, session: Session | None, scope: Scope) -> Verdict:
    """The verdict on one connection. A session of None says that the server has none."""
    kind, reason = _judge(entry, session, scope)
    if kind is not Kind.LEAK or entry is None:
        return Verdict(kind, reason, entry, session)
    if id(entry) in scope.astray:
        return Verdict(kind, reason, entry, session, is_astray=True)
    is_excused = _find_excuse(entry, scope) is not None
    return Verdict(kind, reason, entry, session, is_excused, is_excused and _is_irreplaceable(entry, scope))


def _judge(entry: Entry | None, session: Session | None, scope: Scope) -> tuple[Kind, str]:
    if entry is None:
        return _judge_unseen(session, scope)
    if entry.ending is Ending.COLLECTED and not _belongs_elsewhere(entry, scope):
        return Kind.ABANDONED, "it was never closed, only garbage-collected"
    if not entry.is_open:
        return Kind.CLOSED, "it was closed"
    if session is None:
        return Kind.CLOSED, "the server has ended it"
    if id(entry) in scope.astray:
        return Kind.LEAK, "it was taken from its pool in the test and never given back"
    if excuse := _find_excuse(entry, scope):
        return _judge_excused(session, scope, excuse)
    return Kind.LEAK, "it was opened in the test and is still open"


def _judge_unseen(session: Session | None, scope: Scope) -> tuple[Kind, str]:
    if session is not None and session.process is None and session.backend_pid in scope.dropped:
        return Kind.CLOSED, "its driver has let go of it, which its backend is yet to see"
    if session is not None and session.process is not None and session.process == scope.process:
        return Kind.RESIDENT, "it is of this process, but was opened past its driver"
    return Kind.FOREIGN, "no connection of this process is known by its backend"


def _judge_excused(session: Session, scope: Scope, excuse: str) -> tuple[Kind, str]:
    if not session.is_busy or not scope.rewinds:
        return Kind.RESIDENT, excuse
    if session.only_reads and session.backend_pid not in scope.locking:
        return Kind.RESIDENT, f"{excuse}; its transaction is in nobody's way"
    seconds = session.seconds_in_transaction
    if session.state == "active" and seconds is not None and seconds < MOMENT:
        return Kind.RESIDENT, f"{excuse}; it runs a statement at this moment"
    return Kind.LEAK, f"its transaction is in the rewind's way ({excuse})"


def _find_excuse(entry: Entry, scope: Scope) -> str | None:
    """Why the connection may be open although the test is over."""
    if _is_wider(entry.opening, entry.opened, scope):
        return _of_whom(entry.opening)
    if (
        excuse := _find_excuse_of_thread(entry, scope)
        if entry.owner is None
        else _find_excuse_of_pool(entry.owner, scope)
    ):
        return excuse
    return "something made for more than the test keeps it" if id(entry) in scope.kept else None


def _find_excuse_of_thread(entry: Entry, scope: Scope) -> str | None:
    if entry.alias is not None and entry.thread == "MainThread":
        return f"Django keeps one connection of {entry.alias!r} for each thread"
    if _is_of_older_thread(entry, scope):
        return f"thread {entry.thread!r} is older than the test, or not the test's"
    return None


def _find_excuse_of_pool(owner: Owner, scope: Scope) -> str | None:
    if _is_wider(owner.opening, owner.created, scope):
        return f"its pool: {_of_whom(owner.opening)}"
    if owner in scope.tolerated:
        return "its pool is the only living one of its creation site"
    return None


def _is_irreplaceable(entry: Entry | None, scope: Scope) -> bool:
    """Whether nobody would open the connection again if it was ended."""
    return entry is not None and (id(entry) in scope.kept or (entry.owner is None and entry.alias is None))


def _belongs_elsewhere(entry: Entry, scope: Scope) -> bool:
    """Whether somebody else than the test had it to close: collected during a test does not mean opened by it."""
    if entry.taking is not None and entry.taking.is_of_a_test(scope.began, scope.older_threads):
        return False
    if _is_wider(entry.opening, entry.opened, scope) or _is_of_older_thread(entry, scope):
        return True
    return entry.owner is not None and _is_wider(entry.owner.opening, entry.owner.created, scope)


def _is_of_older_thread(entry: Entry, scope: Scope) -> bool:
    return entry.thread_ident in scope.older_threads and entry.thread != "MainThread"


def _is_wider(opening: Opening | None, moment: float, scope: Scope) -> bool:
    return is_older_or_wider(opening, moment, scope.began)


def is_older_or_wider(opening: Opening | None, moment: float, began: float) -> bool:
    """Whether what was made in `opening`, at a moment, is not the test's that began at another (monotonic seconds)."""
    return moment < began or (opening is not None and opening.scope != "function")


def _of_whom(opening: Opening | None) -> str:
    if opening is None or opening.scope == "function" or opening.fixture is None:
        return "older than the test"
    return f"of the {opening.scope}-scoped fixture {opening.fixture!r}"


def pools_that_may_outlive(living: Iterable[Owner]) -> frozenset[Owner]:
    """The oldest living pool of each creation site, and those of an unknown site; `living` in order of creation.

    A line that makes pools for several places, or for blocking code and for event loops, has one living pool of each.
    """
    seen: set[object] = set()
    tolerated = set()
    for owner in living:
        purpose = purpose_of(owner)
        if purpose not in seen:
            tolerated.add(owner)
        if purpose is not None:
            seen.add(purpose)
    return frozenset(tolerated)


def purpose_of(owner: Owner) -> object:
    """What pools have in common of which an application needs one; None: not known."""
    site, pool = owner.site, owner.pool
    if site is None:
        return None
    # What a test makes itself is made for each test, although each may have a database of its own.
    is_the_tests = owner.opening is not None and owner.opening.has_in_its_body(owner.stack)
    place = None if pool is None or is_the_tests else (pool.find_url(), pool.is_async(), pool.find_likeness())
    return site.file, site.line, place
