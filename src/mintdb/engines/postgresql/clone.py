"""One database copied from a template, put back by rewinding it, or by swapping a fresh one beneath its name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mintdb import clock
from mintdb.address import Address
from mintdb.contract import Present, Restored, Session, Way
from mintdb.core.marks import MarkHeld
from mintdb.core.names import DatabaseName, Role, new_token
from mintdb.engines.postgresql import databases, replication, sessions, surveys, warm
from mintdb.engines.postgresql.connecting import connect
from mintdb.engines.postgresql.floors import Floors
from mintdb.engines.postgresql.maintenance import Maintenance
from mintdb.engines.postgresql.rewind import DATABASE, CannotRewind, Look, PutBack, Question, Rewinder, Trail
from mintdb.engines.postgresql.sessions import Glance
from mintdb.facts import dataclass
from mintdb.variables import unmisled

if TYPE_CHECKING:
    import psycopg

NOT_SWAPPED = 0  # no database's oid: a swap that fails half-way leaves it, and the next put-back swaps again
RESTARTED = "the server was restarted, or ended mintdb's own session"
JUST_NOW = 0.005  # seconds; a rewind can stand a writer that begins in the midst of it, so also one just before
DROPPED, RENAMED = "a test dropped it", "a test gave it another name"
RENAMES = 3  # the second time nobody is let in any more, the third time those are gone who stood in the door
GOODBYE = 0.1  # seconds; a session that its client has closed is gone from the server in 1 to 5 ms


@dataclass(frozen=True)
class Stay:
    """What a clone needs of its server: the session that may create databases, and the ways to reach one."""

    maintenance: Maintenance
    owner: str
    address: Callable[[str], Address]  # as tests reach a database
    own_address: Callable[[str], Address]  # as mintdb does
    keep: Callable[[str], None]  # lets a database of the owner databases.KEPT stay when this run has ended
    let_go: Callable[[str], object]  # asks the pools of this process to drop their idle connections to a database
    watch: Callable[[], Sequence[str]]  # tells what has changed around all databases since it was asked before


@dataclass(frozen=True)
class Settled:
    """Who was on a clone when it was last settled, and what was then put back, or found that is to be put back."""

    at: float  # seconds, monotonic
    present: Present
    put: PutBack | Look | None


class PostgresClone:
    """A clone under one name for life. One thread at a time may use it."""

    def __init__(self, stay: Stay, template: str | None, name: str) -> None:
        """A new clone of `template`; with None, a database that is there already, and is somebody else's to drop."""
        self._stay = stay
        self._name = name
        self._floors = Floors(stay.maintenance, template, name)
        self._told = databases.read_told(stay.maintenance, template) if template else {}
        self._older: set[int] = set()  # backends that were there before the test
        self._replicating = replication.NONE  # slots and subscriptions that were
        self._settled: Settled | None = None
        self._ahead: PutBack | None = None  # what was put back since the last restore, whoever was ended after that
        self._work: psycopg.Connection[Any] | None = None  # our own session on the clone
        self._rewinder: Rewinder | None = None
        self._only_swaps: str | None = None  # why this clone is never rewound
        self._aside: int | None = None  # the database's oid when we stepped aside, NOT_SWAPPED in the midst of a swap
        self._adopted = template is None
        self._is_of_others = self._adopted and not databases.is_ours(stay.maintenance, name)
        if template is None:
            exact = self._push_floor()
            self._take_bearings(self._open_reference if exact else None)
        else:
            self._copy()
            self._take_bearings_on_a_copy(template)

    @property
    def address(self) -> Address:
        return self._stay.address(self._name)

    def connect(self, **options: Any) -> psycopg.Connection[Any]:  # Any: psycopg's own options and rows
        """See contract.Clone."""
        import psycopg

        embedded = self._stay.own_address(self._name).host.startswith("/")
        with unmisled(embedded=embedded):
            return psycopg.connect(self.address.url, **options)

    def settle(self, *, seconds: float, ahead: bool = False) -> Present:
        """See contract.Clone."""
        self._settled = self._settle(seconds, ahead=ahead)
        if isinstance(self._settled.put, PutBack):
            self._ahead = self._settled.put
        return self._settled.present

    def end(self, backends: Collection[int]) -> None:
        """See contract.Clone."""
        if backends:
            self._settled = None
        sessions.end(self._stay.maintenance, self._name, backends)

    def restore(self) -> Restored:
        """See contract.Clone."""
        started = clock.monotonic()
        settled = self._take_settled()
        present, ahead, self._ahead = settled.present, self._ahead, None
        ended = list(present.in_the_way)
        self.end([s.backend_pid for s in ended])
        try:
            restored = _told(ahead, self._put_back(settled.put))
        except CannotRewind as obstacle:
            reason = RESTARTED if self._has_lost_its_sessions() else obstacle.reason
            restored = self._swap()
            restored = replace(restored, reason=restored.reason or reason)
            ended += restored.ended
        self._older = set(present.backends) - {s.backend_pid for s in ended}
        outside = (*self._not_ours(restored.outside), *self._stay.watch())
        return replace(restored, seconds=clock.monotonic() - started, ended=ended, outside=outside)

    def _not_ours(self, outside: Sequence[str]) -> list[str]:
        """Without databases that mintdb has made meanwhile, for a run with a fixed name say, or that are gone."""
        created = [name.removeprefix(DATABASE) for name in outside if name.startswith(DATABASE)]
        strange = databases.list_strange(self._stay.maintenance, created) if created else ()
        return [name for name in outside if not name.startswith(DATABASE) or name.removeprefix(DATABASE) in strange]

    def welcome(self) -> None:
        """See contract.Clone."""
        maintenance = self._stay.maintenance
        seen = sessions.glance(maintenance, self._name, but=self._own_backends())
        self._older = set(seen.backends)
        if not self._is_of_others:
            self._replicating = replication.find(maintenance, self._name) if seen.replicates else replication.NONE

    def push_mark(self) -> None:
        """See contract.Clone."""
        schema_changed = self._rewinder is None or self._rewinder.push_mark().ddl
        if schema_changed:
            self._push_floor()
        else:
            self._floors.push_rows()

    @property
    def marks(self) -> int:
        """See contract.Clone."""
        return self._floors.height

    def drop_mark(self, number: int) -> None:
        """See contract.Clone."""
        self._settled = None
        try:
            if self._rewinder is not None:
                self._rewinder.drop_mark(number)
            elif number != self.marks:
                raise ValueError(f"mark {number} is a floor with marks on it")
        except ValueError:
            raise MarkHeld(number=number) from None
        self._floors.drop(number)

    def wrote(self) -> bool:
        """See contract.Clone. Where only swaps are possible nobody can tell, so it may have been."""
        return self._rewinder is None or not self._come_back() or self._rewinder.wrote()

    def step_aside(self) -> None:
        """See contract.Clone."""
        self._aside = databases.read_oid(self._stay.maintenance, self._name)
        self._close_work()
        self._close_reference()

    def _come_back(self) -> bool:
        """Open our session again if we had stepped aside; false where somebody has swapped the database meanwhile."""
        if self._aside is None or self._rewinder is None:
            return True
        if databases.read_oid(self._stay.maintenance, self._name) != self._aside:
            return False
        self._aside = None
        self._rewinder.come_back(self._open_work(), reference=self._open_reference)
        return True

    def keep(self) -> Address:
        """See contract.Clone. An embedded server is told to stay."""
        kept = str(DatabaseName(Role.CLONE, "kept", owner=new_token(), worker="test"))
        self._swap_away(kept, owner=databases.KEPT)
        self._stay.keep(kept)
        return self._stay.address(kept)

    def sessions(self) -> Sequence[Session]:
        """See contract.Clone."""
        found = sessions.list_sessions(self._stay.maintenance, self._name, but=self._own_backends())
        return sessions.with_locks(self._stay.maintenance, found)

    def drop(self) -> Sequence[Session]:
        """See contract.Clone."""
        ended = self._vacate()
        self._close_reference()
        if not self._adopted:
            databases.drop(self._stay.maintenance, self._name)
        self._floors.drop_all()
        return ended

    # putting back

    def _settle(self, seconds: float | None, *, ahead: bool = False) -> Settled:
        maintenance, own = self._stay.maintenance, self._own_backends()
        started = clock.monotonic()
        seen, put = self._put_back_ahead(own) if ahead else (None, None)
        spent = clock.monotonic() - started if put else 0.0
        seen = seen or sessions.glance(maintenance, self._name, but=own)
        in_the_way: Sequence[Session] = ()
        if seen.busy:
            in_the_way = self._wait(seconds, own)
        prepared = databases.roll_back_prepared(maintenance, self._name) if seen.prepared else ()
        if seen.replicates:
            replication.remove(maintenance, self._name, but=self._replicating)
        present = Present(seen.backends, in_the_way, prepared, seen.arrivals, spent)
        return Settled(clock.monotonic(), present, put)

    def _wait(self, seconds: float | None, own: list[int]) -> Sequence[Session]:
        maintenance, name, older = self._stay.maintenance, self._name, self._older
        if seconds is None:  # that was done before
            return sessions.wait_for_passers_by(maintenance, name, older=older, but=own)
        return sessions.wait_until_quiet(maintenance, name, settle=seconds, older=older, but=own)

    def _take_settled(self) -> Settled:
        """What the caller has just found, if that was nobody in the way; else what is found now."""
        settled, self._settled = self._settled, None
        if settled and not settled.present.in_the_way:
            is_done = isinstance(settled.put, PutBack)  # who writes later than that is for the next put-back
            if is_done or clock.monotonic() - settled.at < JUST_NOW:
                return settled
        return self._settle(None)

    def _put_back_ahead(self, own: list[int]) -> tuple[Glance | None, PutBack | Look | None]:
        """See who is connected and, where nobody is at work, put back what is simple: one trip instead of two."""
        if self._rewinder is None or self._aside is not None:
            return None, None
        try:
            answer, put = self._rewinder.put_back_beside(Question(sessions.GLANCE, (self._name, own)))
        except CannotRewind:
            return None, None
        return sessions.read_glance(self._stay.maintenance, answer), put

    def _put_back(self, ahead: PutBack | Look | None) -> PutBack:
        if isinstance(ahead, PutBack):
            return ahead
        if self._rewinder is None:
            raise CannotRewind(self._only_swaps or "this clone cannot be rewound")
        if not self._come_back():
            raise CannotRewind("it was swapped meanwhile, or only half")
        try:
            return self._rewinder.put_back(ahead)
        except CannotRewind as obstacle:
            if not obstacle.transient:
                raise
            return self._rewinder.put_back()

    def _has_lost_its_sessions(self) -> bool:
        """Whether the server has ended ours; then the one on the reference is not used again either."""
        is_lost = self._work is not None and self._work.closed
        if is_lost:
            self._close_reference()
        return is_lost

    def _swap(self) -> Restored:
        """Trash the database and give its name to a fresh clone; tells which sessions had to be ended."""
        return self._swap_away(str(DatabaseName(Role.TRASH, worker=new_token())))

    def _swap_away(self, name: str, *, owner: str = "") -> Restored:
        lost: tuple[str, ...] = ()
        if self._replicating != replication.NONE and not self._is_of_others:  # a worker of theirs would be in the way
            replication.remove(self._stay.maintenance, self._name)
            lost, self._replicating = (str(self._replicating),), replication.NONE
        reason, called = None, databases.find_called_now(self._stay.maintenance, self._name)
        if called != self._name and self._aside != NOT_SWAPPED:
            reason = RENAMED if called else DROPPED
        if called and called != self._name:
            databases.take_back_name(self._stay.maintenance, self._name, called=called)
        ended = self._vacate()
        self._aside = NOT_SWAPPED
        if called:
            ended += self._rename(name, owner=owner)
        self._copy()
        outside = self._move()
        self._aside = None
        return Restored(Way.SWAP, 0.0, reason, ended=ended, outside=outside, lost=lost)

    def _rename(self, name: str, *, owner: str) -> list[Session]:
        """Give the vacated database another name; returns the sessions that had to be ended after all."""
        import psycopg

        maintenance, ended, is_closed = self._stay.maintenance, list[Session](), False
        for attempt in range(1, RENAMES + 1):
            try:
                databases.rename(maintenance, self._name, name, owner=owner)
                break
            except psycopg.errors.ObjectInUse:  # somebody connects anew as soon as he can: a pool, in its own thread
                if attempt == RENAMES:
                    raise
                databases.let_connect(maintenance, self._name, allowed=False)
                ended, is_closed = [*ended, *self._vacate()], True
        if is_closed:
            databases.let_connect(maintenance, name, allowed=True)
        return ended

    def _vacate(self) -> list[Session]:
        """Make the database one without sessions: a rename or a copy would wait 5 s for the last of them and fail.

        Returns the sessions that had to be ended: those of ours, and of pools that let go, end by themselves.
        """
        own = self._own_backends()
        self._close_work()
        for _ in range(2):  # a pool may have been growing, in a thread of its own, while it was asked
            self._stay.let_go(self._name)
            if not (left := sessions.wait_until_gone(self._stay.maintenance, self._name, seconds=GOODBYE)):
                break
        sessions.end(self._stay.maintenance, self._name, [s.backend_pid for s in left])
        return [s for s in left if s.backend_pid not in own]

    def _copy(self) -> None:
        """Make the database anew, as the newest floor has it."""
        warm.take(self._stay.maintenance, self._floors.newest, self._name, owner=self._stay.owner)
        databases.tell(self._stay.maintenance, self._name, self._told)
        if self._is_of_others:
            databases.forget(self._stay.maintenance, self._name)  # or it would be dropped as an orphan one day

    # marks

    def _push_floor(self) -> bool:
        """A mark with DDL: only a template of its own can be swapped to.

        Returns whether the clone and that template are the same file by file.
        """
        maintenance, own = self._stay.maintenance, self._own_backends()
        self._stay.let_go(self._name)
        if sessions.wait_until_gone(maintenance, self._name, seconds=GOODBYE, but=own):
            self._floors.push_dumped(self._stay.own_address)
            return False
        self._close_work()
        sessions.wait_until_gone(maintenance, self._name, seconds=GOODBYE)
        self._floors.push_copied()
        self._move()
        return True

    # our own session

    def _take_bearings_on_a_copy(self, template: str) -> None:
        maintenance = self._stay.maintenance
        kept = surveys.find(maintenance, template)
        self._take_bearings(self._open_reference, kept)
        if self._rewinder is not None and self._rewinder.map != kept:
            surveys.keep(maintenance, template, self._rewinder.map)

    def _take_bearings(self, reference: Callable[[], psycopg.Connection[Any]] | None, kept: bytes = b"") -> None:
        try:
            self._rewinder = Rewinder(self._open_work(), reference=reference, kept=kept)
        except CannotRewind as obstacle:
            self._only_swaps = obstacle.reason
            self._close_work()

    def _move(self) -> tuple[str, ...]:
        if self._rewinder is None:
            return ()
        return self._rewinder.move_to(self._open_work(), reference=self._open_reference)

    def _open_work(self) -> psycopg.Connection[Any]:
        self._work = connect(self._stay.own_address(self._name))
        return self._work

    def _open_reference(self) -> psycopg.Connection[Any]:
        return connect(self._stay.own_address(self._floors.reference()))

    def _close_work(self) -> None:
        if self._rewinder is not None:
            self._rewinder.leave()
        elif self._work is not None:
            self._work.close()
        self._work = None

    def _close_reference(self) -> None:
        if self._rewinder is not None:
            self._rewinder.close()

    def _own_backends(self) -> list[int]:
        return [self._work.info.backend_pid] if self._work and not self._work.closed else []


def _told(ahead: PutBack | None, put: PutBack) -> Restored:
    both = [each for each in (ahead, put) if each is not None]
    way = Way.UNTOUCHED if all(each.trail is Trail.UNTOUCHED for each in both) else Way.REWIND
    tables = tuple(dict.fromkeys(name for each in both for name in each.tables))
    outside = tuple(dict.fromkeys(name for each in both for name in each.outside))
    return Restored(way, 0.0, tables=tables, outside=outside, horizon_held_by=put.horizon_held_by)
