"""Know since when to look for changes, and look: in the write-ahead log, or by a sweep where that does not tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import field
from typing import Any

from psycopg import Error

from mintdb.engines.postgresql.rewind import wal
from mintdb.engines.postgresql.rewind.copies import own_xid
from mintdb.engines.postgresql.rewind.floor import Floor, lay
from mintdb.engines.postgresql.rewind.marks import Marks
from mintdb.engines.postgresql.rewind.relations import Survey
from mintdb.engines.postgresql.rewind.session import Powers, Session, is_transient
from mintdb.engines.postgresql.rewind.sweep import Sweeper, install
from mintdb.facts import dataclass


@dataclass
class Bearings:
    """The newest mark's place in time on one session, and which later transactions are our own."""

    session: Session
    powers: Powers
    temporary: set[str]  # transactions of ours that made temporary things, and so wrote to the catalogs
    since: str = ""
    horizon: str = ""
    own: list[str] = field(default_factory=list)
    near: int = 0  # bytes of WAL beyond which a sweep is faster
    can_sweep: bool = False  # its function is declared

    def __post_init__(self) -> None:
        self.sweep_next = not self.powers.wal
        self.sweeper = Sweeper(self.session, self.powers, None)

    def lay_floor(
        self,
        level: int,
        reference: Callable[[], Session] | None,
        known: Survey | None = None,
        kept: bytes = b"",
    ) -> Floor:
        """Take the clone as it is now for a floor; for `known` and `kept` see floor.lay."""
        # Before anything is read, so that a late writer cannot hide between the two.
        self.since, self.horizon = wal.position(self.session, self.powers)
        floor = lay(self.session, reference, level, self.temporary, known, kept)
        self.sweeper = Sweeper(self.session, self.powers, reference)
        if reference is None:
            self.sweeper.hold(floor.relations.values(), self.temporary)
        self.near = wal.NEAR_BYTES + wal.NEAR_BYTES_A_TABLE * len(floor.relations)
        self.own = sorted(self.temporary)
        return floor

    def look(self, marks: Marks, *, act: bool) -> wal.Look:
        """Find what was changed since the newest mark; put it back at once where that is simple."""
        if not self.sweep_next:
            with self._or_sweep():
                look = wal.look(
                    self.session, self.powers, self.since, self.own, marks.floor.standing, act=act, near=self.near
                )
                if look.verdict != "far":
                    return look
        return self.sweep(marks)

    def look_beside(self, question: wal.Question, marks: Marks) -> tuple[Sequence[Any], wal.Look]:  # Any: see wal
        """Look in the trip that answers a question, and act where that allows it. Not where only a sweep tells."""
        return wal.look_beside(
            self.session, self.powers, question, self.since, self.own, marks.floor.standing, near=self.near
        )

    @contextmanager
    def _or_sweep(self) -> Iterator[None]:
        """An error such as `requested WAL segment has already been removed` is no reason to swap yet."""
        try:
            yield
        except Error as error:
            if self.session.closed or is_transient(error):
                raise

    def sweep(self, marks: Marks) -> wal.Look:
        """Find it by visiting every relation."""
        if not self.can_sweep:  # most sessions never have to
            with self.session.transaction():
                install(self.session)
                self.temporary.add(own_xid(self.session))
            self.can_sweep = True
        own = {*self.own, *self.temporary}
        return self.sweeper.look(marks.floor.standing, self.horizon, own, marks.surplus)

    def arrive(self, look: wal.Look, own: list[str]) -> None:
        """Take the mark of `look` for the newest. A writer still in progress keeps our earlier transactions known."""
        self.own = (self.own if look.carried else []) + own
        self.since, self.horizon = look.next_mark, look.horizon
        self.sweep_next = look.again or not self.powers.wal

    @contextmanager
    def remembering(self) -> Iterator[list[str]]:
        """Collect the block's own transactions. Those that made temporary things count, whatever comes of the rest."""
        before, own = set(self.temporary), list[str]()
        try:
            yield own
        finally:
            made = sorted(self.temporary - before)
            self.own += made
            own += made
