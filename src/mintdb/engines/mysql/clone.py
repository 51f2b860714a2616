"""One database copied from a template, put back by rewinding it; its name, its URL and its connections stay."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pymysql
from pymysql.constants import ER

from mintdb import clock
from mintdb.address import Address
from mintdb.contract import Present, Restored, Way
from mintdb.contract import Session as ServerSession
from mintdb.core.marks import MarkHeld
from mintdb.core.names import DatabaseName, Role, new_token
from mintdb.engines.mysql import databases, sessions
from mintdb.engines.mysql.errors import ServerGone
from mintdb.engines.mysql.maintenance import Maintenance
from mintdb.engines.mysql.rewind import PutBack, Rewinder
from mintdb.engines.mysql.rewind.binlog import Log
from mintdb.engines.mysql.rewind.marks import Mark
from mintdb.engines.mysql.rewind.rewinder import Means
from mintdb.engines.mysql.rewind.witnesses import Answers, Read
from mintdb.engines.mysql.schema import Schema, read_schema
from mintdb.engines.mysql.session import Lenient, Session, code_of, introduce
from mintdb.engines.mysql.sessions import Quiet, Who
from mintdb.facts import dataclass

RESTARTED = "the server was restarted, or ended mintdb's own session"
JUST_NOW = 0.005  # seconds; a rewind can stand a writer that begins in the midst of it, so also one just before


@dataclass(frozen=True)
class Look:
    """What one round trip has told: who is there, and what was written."""

    at: float  # clock.monotonic()
    quiet: Quiet
    read: Read | None = None
    answers: Answers = ()


@dataclass(frozen=True)
class Stay:
    """What a clone needs of its server: the session that may create databases, and the ways to reach one."""

    maintenance: Maintenance
    who: Who
    address: Callable[[str], Address]  # as tests reach a database
    log: Path | None  # what the binary log's files are called, on a server of ours that logs all that a rewind needs
    is_ours: bool
    let_go: Callable[[str], object]  # asks the pools of this process to drop their idle connections to a database


class MysqlClone:
    """A clone under one name for life. One thread at a time may use it."""

    def __init__(self, stay: Stay, template: str | None, name: str) -> None:
        """A new clone of `template`; with None, a database that is there already, and is somebody else's to drop."""
        self._stay = stay
        self._name = name
        self._older: set[int] = set()  # connections that were there before the test
        self._adopted = template is None
        self._cleared: list[ServerSession] = []
        self._aside = False  # whether our session is closed for now
        self._locked = True  # whether somebody may hold a lock in the database
        self._looked: Look | None = None  # what `settle` has found
        self._work = Session(stay.maintenance.address)
        self._work.prepare()
        lowest = self._keep_rows() if template is None else self._copy(template)
        self._rewinder = Rewinder(self._work, name, self._means(), lowest=lowest)

    @property
    def address(self) -> Address:
        return self._stay.address(self._name)

    def connect(self, **options: Any) -> Any:  # Any: PyMySQL's own options, and its connection
        """See contract.Clone: a PyMySQL connection, without asking for TLS where none was asked for."""
        return Lenient(**{**self.address.params, **options})

    def settle(self, *, seconds: float, ahead: bool = False) -> Present:
        """See contract.Clone."""
        self._looked = self._look_ahead() if ahead and not self._aside else None
        if self._looked and not self._looked.quiet.present.in_the_way:
            return self._looked.quiet.present
        self._looked = None
        return self._wait_until_quiet(seconds).present

    def end(self, backends: Collection[int]) -> None:
        """See contract.Clone."""
        if backends:  # what was found is worth nothing any more: a rollback counts as well
            self._looked = None
        sessions.end(self._stay.maintenance, backends)

    def restore(self) -> Restored:
        """See contract.Clone."""
        started = clock.monotonic()
        try:
            self._come_back()
            restored = self._restore()
        except ServerGone as gone:
            restored = self._survive(gone)
        return replace(restored, seconds=clock.monotonic() - started)

    def _restore(self) -> Restored:
        look = self._take_look() or self._look()
        if look.quiet.present.in_the_way:  # somebody was waited for before: who is busy now may have begun just now
            look = Look(clock.monotonic(), self._wait_until_quiet(sessions.PASSING))
        present = look.quiet.present
        self._locked = look.quiet.locked
        self._cleared = list(present.in_the_way)
        self.end(sessions.all_of(self._cleared))
        with sessions.naming_prepared(self._stay.maintenance, self._name):
            restored = _told(self._rewinder.put_back(look.read, look.answers))
        ended, self._cleared = self._cleared, []
        self._older = set(present.backends) - set(sessions.all_of(ended))
        if restored.outside and self._stay.is_ours:
            introduce(self.address)  # MySQL has forgotten the passwords that it knew
        return replace(restored, ended=ended)

    def welcome(self) -> None:
        """See contract.Clone."""
        self._older = set(sessions.all_of(self.sessions()))

    def push_mark(self) -> None:
        """See contract.Clone."""
        self._rewinder.push_mark()

    @property
    def marks(self) -> int:
        """See contract.Clone."""
        return self._rewinder.marks

    def drop_mark(self, number: int) -> None:
        """See contract.Clone."""
        self._looked = None
        try:
            self._rewinder.drop_mark(number)
        except ValueError:
            raise MarkHeld(number=number) from None

    def wrote(self) -> bool:
        """See contract.Clone. Where nobody can tell, it may have been."""
        try:
            self._come_back()
            return self._rewinder.wrote()
        except ServerGone:
            self._enter_again()
        return self._rewinder.wrote()

    def step_aside(self) -> None:
        """See contract.Clone."""
        self._rewinder.close()
        self._aside = True

    def _come_back(self) -> None:
        """Open our session again if we had stepped aside."""
        if self._aside:
            self._enter()

    def _enter(self) -> None:
        self._work.open()
        self._work.prepare()
        self._rewinder.come_back()
        self._aside = False

    def _enter_again(self) -> None:
        """Open our session again on a server that has ended it. Raises ServerGone where it is not back within 5 s."""
        self._stay.maintenance.run("do 0")  # which waits
        self._stay.let_go(self._name)  # what the pools of this process have is lost as well
        self._enter()

    def _survive(self, gone: ServerGone) -> Restored:
        if self._rewinder.needs_memory:
            raise gone
        self._enter_again()
        self._older, self._cleared, self._looked = set(), [], None
        self._rewinder.start_over()
        self.welcome()
        return Restored(Way.SWAP, 0.0, reason=RESTARTED, ended=self._cleared)

    def keep(self) -> Address:
        """See contract.Clone. It is copied: no session has to end, and the server stays for it."""
        kept = str(DatabaseName(Role.CLONE, "kept", owner=new_token(), worker="test"))
        databases.copy(self._stay.maintenance, self._work, self._name, kept)
        databases.hold(self._stay.maintenance, kept, databases.KEPT)
        return self._stay.address(kept)

    def sessions(self) -> Sequence[ServerSession]:
        """See contract.Clone."""
        return self._stay.who.find(self._name, but=self._own())

    def drop(self) -> Sequence[ServerSession]:
        """See contract.Clone."""
        self._stay.let_go(self._name)
        left = self.sessions()
        self._rewinder.close()
        self.end(sessions.all_of(left))
        if not self._adopted:
            self._drop_database()
        return left

    def _look_ahead(self) -> Look | None:
        """A look, where the server is there."""
        try:
            return self._look()
        except ServerGone:
            return None

    def _look(self) -> Look:
        """Who is there and what was written, in one round trip."""
        at, read = clock.monotonic(), self._rewinder.read_log()
        about = self._stay.who.briefly(self._name)
        answers = self._work.run_all([*about, *self._rewinder.questions(read)])
        looked = self._stay.who.take(answers[: len(about)], self._name, but=self._own())
        return Look(at, sessions.judge(looked, older=self._older), read, answers[len(about) :])

    def _take_look(self) -> Look | None:
        """What `settle` has found, where that was just now."""
        look, self._looked = self._looked, None
        return look if look and clock.monotonic() - look.at < JUST_NOW else None

    def _wait_until_quiet(self, seconds: float) -> Quiet:
        return sessions.wait_until_quiet(self._stay.who, self._name, settle=seconds, older=self._older, but=self._own())

    # making

    def _copy(self, template: str) -> Mark:
        schema, filled = databases.copy(self._stay.maintenance, self._work, template, self._name)
        return Mark({table: template if table in filled else None for table in schema.tables}, schema=schema)

    def _keep_rows(self) -> Mark:
        """The rows of a database that its maker has filled: the mark of one that is taken over."""
        schema, side = read_schema(self._work, self._name), self._new_side()
        filled = databases.copy_rows(self._work, schema, self._name, side)
        return Mark({table: side if table in filled else None for table in schema.tables}, schema=schema, side=side)

    def _means(self) -> Means:
        stay = self._stay
        return Means(
            log=Log(stay.log) if stay.log else None,
            clear=self._clear_the_way,
            unblock=self._unblock,
            new_side=self._new_side,
            drop_side=lambda side: databases.drop(stay.maintenance, side),
            create=self._create_anew,
        )

    def _clear_the_way(self) -> None:
        """End who sits in a transaction in the database.

        Where nobody held a lock a moment ago, nobody is looked for: whoever came since, or runs a statement, is waited
        for as long as a lock may take.
        """
        if self._locked:
            self._clear(sessions.find_sitting(self._stay.who, self._name, but=self._own()))

    def _end_holders(self) -> None:
        """End who holds a lock; where none is shown and no transaction explains the wait, whoever is connected."""
        present = self.sessions()
        holders = [session for session in present if session.has_written is not None]
        self._clear(holders if holders or self._stay.who.by_locks else present)

    def _clear(self, left: Sequence[ServerSession]) -> None:
        self.end(sessions.all_of(left))
        self._cleared += left

    def _unblock(self) -> None:
        """A transaction that was prepared for a second phase outlives its session, and no view shows its locks.

        On a server of ours every such transaction is of some test; on another server it may be anybody's.
        """
        self._end_holders()
        if self._stay.is_ours:
            sessions.end_prepared(self._stay.maintenance)

    def _drop_database(self) -> None:
        try:
            databases.drop(self._stay.maintenance, self._name)
        except pymysql.OperationalError as error:
            if code_of(error) != ER.LOCK_WAIT_TIMEOUT:
                raise
            self._unblock()
            with sessions.naming_prepared(self._stay.maintenance, self._name):
                databases.drop(self._stay.maintenance, self._name)

    def _create_anew(self, schema: Schema) -> None:
        databases.drop(self._stay.maintenance, self._name)
        databases.create(self._stay.maintenance, self._name, collation=schema.collation)

    def _new_side(self) -> str:
        side = str(DatabaseName(Role.CLONE, "mark", owner=self._stay.maintenance.owner[:7], worker=new_token()))
        databases.create(self._stay.maintenance, side)
        return side

    def _own(self) -> list[int]:
        return [self._work.id]


def _told(put: PutBack) -> Restored:
    way = Way.UNTOUCHED if put.nothing else Way.SWAP if put.reason else Way.REWIND
    return Restored(way, 0.0, reason=put.reason, tables=put.tables, outside=put.outside)
