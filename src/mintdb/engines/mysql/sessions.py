"""Who is connected to a database or holds a lock in it, what they do, and how to end one."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pymysql
from pymysql.constants import ER

from mintdb import clock
from mintdb.contract import Present, Session
from mintdb.engines.mysql.errors import PreparedInTheWay
from mintdb.engines.mysql.maintenance import Maintenance
from mintdb.engines.mysql.questions import Questions, find_questions
from mintdb.engines.mysql.session import code_of
from mintdb.facts import dataclass

POLL = 0.002  # seconds; a killed session is gone in less than 1 ms
STUCK_AFTER = 0.1  # seconds; a program that is between two statements of a transaction goes on within some milliseconds
PASSING = 0.5  # seconds; a statement of somebody who comes by, as a poller does, is over in some milliseconds
END_TIMEOUT = 5.0  # seconds; rolling back a large transaction is all that takes longer
READING = ("MDL_SHARED", "MDL_SHARED_READ", "MDL_SHARED_HIGH_PRIO", "MDL_INTENTION_EXCLUSIVE")
IN_TRANSACTION = "idle in transaction"
Answers = Sequence[Sequence[Any]]  # Any: rows are as the statements select
NOBODY = ("Daemon", "Binlog Dump", "Slave_IO", "Slave_SQL", "Killed")


@dataclass(frozen=True)
class Who:
    """How a server tells who holds what."""

    maintenance: Maintenance
    questions: Questions

    @property
    def by_locks(self) -> bool:
        """Whether it shows metadata locks, and to us."""
        return self.questions.by_locks

    def find(self, database: str, *, but: Collection[int] = ()) -> list[Session]:
        """Client sessions that are connected to `database`, or hold a lock in it; oldest first."""
        return [session for session, _ in self.look(database, but=but)]

    def look(self, database: str, *, but: Collection[int] = ()) -> list[tuple[Session, float]]:
        """The same, each with a number that changes whenever it begins a statement."""
        return self._take(self.maintenance.session.run_all(self.questions.about(database)), but)

    def briefly(self, database: str) -> list[str]:
        """What `take` needs to know from the server, for a packet with other questions."""
        return self.questions.briefly(database)

    def take(self, answers: Answers, database: str, *, but: Collection[int] = ()) -> list[tuple[Session, float]]:
        """What was answered to `briefly`: without statements, times and hosts, which matter of who is at work only."""
        if not self.questions.brief:
            return self._take(answers, but)
        (((held, listed),),) = answers
        modes = _modes(held)
        told = [each.split(" ", 2) for each in listed.split(",")] if listed else []
        found = [
            (_session(int(backend), command, modes), float(moment))
            for backend, moment, command in told
            if command not in NOBODY
        ]
        if modes.keys() - {session.backend_pid for session, _ in found}:  # somebody of another database
            return self.look(database, but=but)
        return [each for each in found if each[0].backend_pid not in but]

    def _take(self, answers: Answers, but: Collection[int]) -> list[tuple[Session, float]]:
        ((held,),), listed = answers
        modes = _modes(held)
        return [
            (_session(backend, command, modes, milliseconds, query, host), float(moment))
            for backend, command, milliseconds, query, host, moment in listed
            if backend not in but and command not in NOBODY and host
        ]


@dataclass(frozen=True)
class Quiet:
    """What was found when nobody was in the middle of something any more."""

    present: Present
    locked: bool  # whether somebody may hold a lock, if only for reading


def find_who(maintenance: Maintenance) -> Who:
    """How this server tells it."""
    return Who(maintenance, find_questions(maintenance.session))


def wait_until_quiet(
    who: Who, database: str, *, settle: float, older: Collection[int] = (), but: Collection[int] = ()
) -> Quiet:
    """Wait up to `settle` seconds for sessions in the middle of something; returns who is there, and who is in the way.

    In the way is who is still busy, other than a session in `older` (one that was there before the test) that only
    reads. One that sits in a transaction and has not moved for STUCK_AFTER is not waited for.
    """
    deadline = clock.monotonic() + settle
    while True:
        quiet = judge(who.look(database, but=but), older=older)
        if all(map(_is_stuck, quiet.present.in_the_way)) or clock.monotonic() >= deadline:
            return quiet
        clock.sleep(POLL)


def judge(looked: Sequence[tuple[Session, float]], *, older: Collection[int]) -> Quiet:
    """Who is in the way now, see `wait_until_quiet`."""
    in_the_way = [s for s, _ in looked if s.is_busy and not (s.backend_pid in older and s.only_reads)]
    moments = {s.backend_pid: moment for s, moment in looked}
    return Quiet(Present(moments, in_the_way), any(s.is_busy for s, _ in looked))


def find_sitting(who: Who, database: str, *, but: Collection[int] = ()) -> list[Session]:
    """Sessions that hold a lock between two statements.

    Two looks: the answers of one are not of one moment, and show somebody whose statement has ended between them so.
    """
    before = {s.backend_pid: moment for s, moment in who.look(database, but=but) if s.state == IN_TRANSACTION}
    later = who.look(database, but=but) if before else []
    return [s for s, moment in later if s.state == IN_TRANSACTION and before.get(s.backend_pid) == moment]


def end(maintenance: Maintenance, backends: Collection[int]) -> None:
    """End sessions and wait until they are gone; one that is not ours to end stays."""
    if not backends:
        return
    for backend in backends:
        maintenance.session.try_run(f"{maintenance.dialect.kill} {int(backend)}")
    deadline = clock.monotonic() + END_TIMEOUT
    while _are_there(maintenance, backends) and clock.monotonic() < deadline:
        clock.sleep(POLL)


def _are_there(maintenance: Maintenance, backends: Collection[int]) -> bool:
    listed = ", ".join(str(int(backend)) for backend in backends)
    return bool(maintenance.rows(f"select 1 from information_schema.processlist where id in ({listed}) limit 1"))


def _is_stuck(session: Session) -> bool:
    return session.state == IN_TRANSACTION and (session.seconds_in_state or 0) >= STUCK_AFTER


def _modes(held: str | bytes | None) -> Mapping[int, Sequence[str]]:
    """The locks of each session that holds some."""
    modes: dict[int, list[str]] = {}
    for each in _text(held).split(",") if held else ():
        holder, _, mode = each.partition(" ")
        modes.setdefault(int(holder), []).append(mode)
    return modes


def _session(
    backend: int,
    command: str,
    held: Mapping[int, Sequence[str]],
    milliseconds: float | None = None,
    query: str | None = None,
    host: str = "",
) -> Session:
    port, modes = host.rpartition(":")[2], held.get(backend, ())
    return Session(
        backend_pid=int(backend),
        state=_state(command, modes),
        query=query or None,
        application=None,
        seconds_in_state=float(milliseconds or 0) / 1000,
        seconds_in_transaction=None,
        client_port=int(port) if port.isdigit() else None,
        has_written=any(mode not in READING for mode in modes) if modes else None,
    )


def _text(told: str | bytes) -> str:
    """An assignment's value comes as bytes where the server has no character set for it."""
    return told.decode() if isinstance(told, bytes) else told


def _bytes(told: str | bytes) -> bytes:
    """An identifier of a transaction: MySQL tells it in hexadecimal, as it was asked to."""
    return bytes.fromhex(told.removeprefix("0x")) if isinstance(told, str) else told


def _state(command: str, modes: Sequence[str]) -> str:
    if command != "Sleep":
        return "active"
    return IN_TRANSACTION if modes else "idle"


def end_prepared(maintenance: Maintenance) -> None:
    """Roll back the transactions that wait for their second phase. One whose session lives refuses it."""
    for rollback in find_prepared(maintenance).values():
        maintenance.session.try_run(rollback)


def find_prepared(maintenance: Maintenance) -> Mapping[str, str]:
    """Those transactions of the whole server, by name, and what rolls each back. MySQL shows them to few accounts."""
    found: dict[str, str] = {}
    for form, gtrid, _, told in maintenance.rows(maintenance.dialect.recover):
        data = _bytes(told)
        shown = data[:gtrid].decode(errors="replace")
        found[shown] = f"xa rollback x'{data[:gtrid].hex()}', x'{data[gtrid:].hex()}', {form}"
    return found


@contextmanager
def naming_prepared(maintenance: Maintenance, database: str) -> Iterator[None]:
    """Raises PreparedInTheWay where the block waited for a lock in vain, and what XA prepared may have it."""
    try:
        yield
    except pymysql.OperationalError as error:
        if code_of(error) != ER.LOCK_WAIT_TIMEOUT or not (prepared := _find_shown(maintenance)):
            raise
        names, rollbacks = ", ".join(map(repr, prepared)), "; ".join(prepared.values())
        facts = {"database": database, "url": maintenance.url, "prepared": names, "remedy": rollbacks}
        raise PreparedInTheWay(**facts) from None


def _find_shown(maintenance: Maintenance) -> Mapping[str, str]:
    try:
        return find_prepared(maintenance)
    except pymysql.MySQLError:
        return {}  # this account may not see them


def all_of(sessions: Sequence[Session]) -> list[int]:
    """Their connection ids."""
    return [session.backend_pid for session in sessions]
