"""One database copied from a template, put back by rewinding it, or by swapping a fresh one beneath its name."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mintdb.address import Address
from mintdb.contract import Restored, Session, Way
from mintdb.core.names import DatabaseName, Role, new_token
from mintdb.engines.postgresql import databases, sessions, warm
from mintdb.engines.postgresql.maintenance import Maintenance, connect

if TYPE_CHECKING:
    import psycopg

WARM = 1  # clones that the keeper holds ready for each template in use


@dataclass(frozen=True)
class Stay:
    """What a clone needs of its server: the session that may create databases, and the ways to reach one."""

    maintenance: Maintenance
    owner: str
    address: Callable[[str], Address]  # as tests reach a database
    own_address: Callable[[str], Address]  # as mintdb does
    let_go: Callable[[str], object]  # asks the pools of this process to drop their idle connections to a database


class PostgresClone:
    """A clone under one name for life. One thread at a time may use it."""

    def __init__(self, stay: Stay, template: str, name: str) -> None:
        self._stay = stay
        self._template = template
        self._name = name
        self._older: set[int] = set()  # backends that were there before the test
        self._work: psycopg.Connection[Any] | None = None  # our own session on the clone
        self._copy()

    @property
    def address(self) -> Address:
        return self._stay.address(self._name)

    def restore(self, *, settle: float) -> Restored:
        """Put it back to its newest mark, ending what is in the way after `settle` seconds. Never raises for a leak."""
        started = time.perf_counter()
        present, in_the_way = sessions.wait_until_quiet(
            self._stay.maintenance, self._name, settle=settle, older=self._older, but=self._own_backends()
        )
        sessions.end(self._stay.maintenance, self._name, in_the_way)
        ended = in_the_way + self._swap()
        gone = {s.backend_pid for s in ended}
        self._older = {s.backend_pid for s in present} - gone
        return Restored(Way.SWAP, time.perf_counter() - started, reason=None, ended=ended)

    def sessions(self) -> Sequence[Session]:
        """Who is connected now, mintdb's own sessions left out."""
        return sessions.list_sessions(self._stay.maintenance, self._name, but=self._own_backends())

    def drop(self) -> Sequence[Session]:
        """Drop the database, whoever is connected; returns the sessions that this ended."""
        self._close_work()
        self._stay.let_go(self._name)
        ended = self.sessions()
        databases.drop(self._stay.maintenance, self._name)
        return ended

    def _swap(self) -> list[Session]:
        """Trash the database and give its name to a fresh clone; returns the sessions that had to be ended."""
        self._close_work()
        self._stay.let_go(self._name)
        ended = list(self.sessions())
        sessions.end(self._stay.maintenance, self._name, ended)
        trash = str(DatabaseName(Role.TRASH, worker=new_token()))
        databases.rename(self._stay.maintenance, self._name, trash, owner="")
        self._copy()
        return ended

    def _copy(self) -> None:
        maintenance = self._stay.maintenance
        notes = databases.read_notes(maintenance, self._template)
        if not warm.claim(maintenance, self._template, self._name, owner=self._stay.owner):
            strategy = str(notes["strategy"]) if notes.get("strategy") else None
            databases.create(
                maintenance, self._name, template=self._template, strategy=strategy, owner=self._stay.owner
            )
        databases.note(maintenance, self._template, warm=WARM)
        maintenance.run("notify mintdb_keeper")

    def _own_backends(self) -> list[int]:
        return [self._work.info.backend_pid] if self._work and not self._work.closed else []

    def _open_work(self) -> psycopg.Connection[Any]:
        self._work = connect(self._stay.own_address(self._name))
        return self._work

    def _close_work(self) -> None:
        if self._work:
            self._work.close()
        self._work = None
