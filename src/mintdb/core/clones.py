"""The clones of one process: a home clone under one address for the whole run, and further ones on request."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import field, replace
from threading import RLock
from typing import Protocol
from weakref import WeakKeyDictionary

from mintdb import clock
from mintdb.address import Address
from mintdb.contract import Clone, Connections, Present, Restored, Server, Session, Way
from mintdb.core.lease import Care, Lease, UncommittedWrites
from mintdb.core.marks import MarkStack
from mintdb.facts import dataclass

PUT_OFF_AT_MOST = 100  # rolled back tests in a row: their dead rows are never vacuumed without a put-back


class Accounts(Protocol):
    """What accounts for the connections to one clone, from the beginning of each lease to its end."""

    def begin(self, test: str | None) -> None:
        """A lease begins."""

    def rename(self, test: str) -> None:
        """The test that has the lease is known by name only now."""

    def close(self, clone: Clone, present: Present) -> Connections:
        """It ends: end the leaks, and say what became of every connection."""

    def was_alone(self, present: Present, backends: Collection[int]) -> bool:
        """Whether nobody but `backends` can have done anything since the last lease ended."""

    def remember(self) -> None:
        """The state that connections' sessions have now is the one to return to."""

    def cut_off(self) -> Sequence[Session]:
        """The clone was swapped: end what would go on reading the old one; returns what was ended now."""

    def last_look(self, clone: Clone) -> Sequence[Session]:
        """The clone is about to be dropped: who of other processes is still connected."""

    def tidy(self, present: Present) -> None:
        """Let the connections that stay forget what the test did to their sessions."""


@dataclass
class Place:
    """One clone and what goes with it."""

    clone: Clone
    accounts: Accounts
    marks: MarkStack = field(init=False)
    test: str | None = None
    inner: Accounts | None = None  # from the test's own mark to each rewind within it
    within: list[Restored] = field(default_factory=list)  # each rewind within the lease that goes on
    put_off: int = 0  # leases in a row after which it was not put back
    owed: bool = False  # whether a put-back failed: nobody may have it before one succeeds

    def __post_init__(self) -> None:
        self.marks = MarkStack(self.clone)

    def whole(self, last: Restored) -> Restored:
        """What a lease did and found, with every rewind within it; `last` is the put-back at its end."""
        all_of_it = [*self.within, last]
        findings = [finding for each in all_of_it for finding in each.connections.findings]
        told = [each for one in all_of_it for each in one.connections.told]
        report = "\n".join(each.report for each in all_of_it if each.report)
        wrote = [each for each in all_of_it if each.way is not Way.UNTOUCHED]
        decisive = wrote[-1] if last.way is Way.UNTOUCHED and wrote else last
        connections = replace(last.connections, findings=findings, told=told, report=report)
        return replace(last, way=decisive.way, reason=decisive.reason, connections=connections)


class ClonePool:
    """Clones of one template. Any thread may lease; putting back happens one at a time."""

    def __init__(
        self,
        server: Server,
        template: str,
        name_for: Callable[[int], str],
        *,
        settle: float,
        accounts_for: Callable[[Clone], Accounts],
        adopt: bool = False,
    ) -> None:
        """`name_for(1)` is the home clone's name, `name_for(n)` the nth clone's. The home clone is made at once.

        With `adopt` it is there already: this process's starter has made it, and will drop it.
        """
        self._server = server
        self._template = template
        self._name_for = name_for
        self._settle = settle
        self._accounts_for = accounts_for
        self._lock = RLock()
        self._made = 1
        home = server.adopt(name_for(1)) if adopt else server.clone(template, name_for(1))
        self._home = Place(home, accounts_for(home))
        self._free = [self._home]
        self._leased: WeakKeyDictionary[Lease, Place] = WeakKeyDictionary()  # released ones too

    @property
    def home(self) -> Clone:
        """The clone with the address that was exported."""
        return self._home.clone

    @property
    def marks(self) -> MarkStack:
        """The marks of the home clone."""
        return self._home.marks

    def lease(self, isolation: str, *, test: str | None = None, login: Address | None = None) -> Lease:
        """Lease the home clone, or, while it is leased, a further one. `clone` isolation has one of its own.

        `login` is an address of any clone, as the lease's holder reaches them where that is not as everybody does.
        A clone whose last put-back failed is put back first: what that raises, this raises, and leases nothing.
        """
        with self._lock:
            place = self._make() if isolation == "clone" or not self._free else self._free[0]
            self._make_good(place)
            self._free = [each for each in self._free if each is not place]
            place.test, place.inner, place.within = test, None, []
            place.accounts.begin(test)
            address = login.with_database(place.clone.address.database) if login else None
            lease = Lease(place.clone, self._care(place, isolation), address=address)
            self._leased[lease] = place
            return lease

    def rename_test(self, test: str) -> None:
        """Whoever leased the home clone knows by now which test it is for."""
        self._home.accounts.rename(test)

    def remember_sessions(self) -> None:
        """A wide fixture was set up: what it did to its connections' sessions stays."""
        self._home.accounts.remember()

    def drop(self) -> Sequence[Session]:
        """End all leases and drop all clones; returns the sessions of other processes that this ended."""
        with self._lock:
            leased = [(lease, place) for lease, place in self._leased.items() if lease.restored is None]
            for lease, _ in leased:
                lease.lose()
            places = {id(place): place for place in (self._home, *self._free, *(place for _, place in leased))}
            self._free = []
            left: list[Session] = []
            for place in places.values():
                left += place.accounts.last_look(place.clone)
                place.clone.drop()
            return left

    def _make(self) -> Place:
        self._made += 1
        clone = self._server.clone(self._template, self._name_for(self._made))
        return Place(clone, self._accounts_for(clone))

    def _care(self, place: Place, isolation: str) -> Care:
        if isolation == "none":
            return Care(lambda _: self._put_back(place, keep=True), lambda: None, lambda: Restored(Way.KEPT, 0.0))
        if isolation == "clone":
            return Care(lambda _: self._drop(place), lambda: self._mark(place), lambda: self._rewind(place))
        return Care(
            lambda rolled_back: self._put_back(place, rolled_back),
            lambda: self._mark(place),
            lambda: self._rewind(place),
        )

    def _mark(self, place: Place) -> None:
        with self._lock:
            present = place.clone.settle(seconds=self._settle)
            if writers := [session for session in present.in_the_way if session.has_written]:
                holders = "\n".join(f"  backend {s.backend_pid} last ran {s.query}" for s in writers)
                raise UncommittedWrites(database=place.clone.address.database, holders=holders)
            place.marks.keep_the_tests()
            # What is open now is older than what follows: it may stay, and is judged when the lease ends.
            place.inner = self._accounts_for(place.clone)
            place.inner.begin(place.test)

    def _rewind(self, place: Place) -> Restored:
        with self._lock:
            accounts = place.inner or place.accounts
            restored = self._restore(place, accounts)
            accounts.begin(place.test)
            place.within.append(restored)
            return restored

    def _put_back(self, place: Place, rolled_back: Collection[int] = (), *, keep: bool = False) -> Restored:
        with self._lock:
            place.owed = not keep
            try:
                restored = self._restore(place, place.accounts, ends=True, rolled_back=rolled_back, keep=keep)
                place.owed = False
            finally:
                # The home clone goes first again: who leases one at a time has one URL for ever.
                self._free.insert(0 if place is self._home else len(self._free), place)
            return place.whole(restored)

    def _make_good(self, place: Place) -> None:
        """Put back what could not be put back when the last lease ended."""
        if place.owed:
            place.clone.settle(seconds=self._settle)
            if place.clone.restore().way is Way.SWAP:
                place.accounts.cut_off()
            place.owed = False

    def _restore(
        self,
        place: Place,
        accounts: Accounts,
        *,
        ends: bool = False,
        rolled_back: Collection[int] = (),
        keep: bool = False,
    ) -> Restored:
        """Settle the account and put the clone back; where the lease `ends`, to the mark below the test's own."""
        clone = place.clone
        present = clone.settle(seconds=self._settle, ahead=not rolled_back and not keep)
        started = clock.monotonic() - present.spent
        connections = accounts.close(clone, present)
        can_wait = bool(rolled_back) and accounts.was_alone(present, rolled_back)
        accounts.tidy(present)  # first: a temporary table that is gone is no obstacle to a rewind
        if can_wait and self._put_off(place):
            return Restored(Way.ROLLED_BACK, clock.monotonic() - started, connections=connections)
        place.put_off = 0
        if ends:
            place.marks.after_test()
        restored = Restored(Way.KEPT, 0.0) if keep else clone.restore()
        ended = (*restored.ended, *(accounts.cut_off() if restored.way is Way.SWAP else ()))
        return replace(restored, seconds=clock.monotonic() - started, ended=ended, connections=connections)

    @staticmethod
    def _put_off(place: Place) -> bool:
        """Let a clone wait for its put-back; False if it cannot."""
        if place.put_off == PUT_OFF_AT_MOST or place.inner or not place.marks.put_off():
            return False
        place.put_off += 1
        return True

    def _drop(self, place: Place) -> Restored:
        with self._lock:
            present = place.clone.settle(seconds=self._settle)
            started = clock.monotonic()
            connections = place.accounts.close(place.clone, present)
            ended = place.clone.drop()
            seconds = clock.monotonic() - started
            return place.whole(Restored(Way.DROP, seconds, ended=ended, connections=connections))
