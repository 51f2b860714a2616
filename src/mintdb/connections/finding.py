"""What is known of a connection that somebody has to hear of: plain facts, from its verdict."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from threading import Thread, main_thread
from typing import Any

from mintdb.connections.facts import Entry
from mintdb.connections.stack import Frames, Site, find_package, passes, runs
from mintdb.connections.verdict import Kind, Verdict
from mintdb.facts import dataclass


@dataclass(frozen=True)
class Finding:
    """One connection that somebody has to hear of. None: not known."""

    kind: Kind
    reason: str = ""
    backend_pid: int | None = None
    state: str | None = None
    seconds: float | None = None  # in its transaction, else in its state
    database: str | None = None
    driver: str | None = None
    opened: Site | None = None
    taken: Site | None = None  # from its pool; then `thread` is the taker's
    thread: str | None = None
    started: Site | None = None  # that thread, where it is all that is known of who did it
    thread_is_to_stop: bool = False  # it runs on, and no package has started it
    task: str | None = None
    task_is_alive: bool = False
    fixture: str | None = None
    scope: str | None = None  # of that fixture, if it is wider than a test: then the fixture is guilty
    owner: str | None = None  # the kind of pool
    owner_opened: Site | None = None
    alias: str | None = None
    query: str | None = None
    process: int | None = None
    command_line: str | None = None
    waits_for: str | None = None
    blocked_by: Sequence[int] = ()
    blockers: Sequence[str] = ()  # the same in words: with the application's line, where that is known
    holds: Sequence[str] = ()
    is_astray: bool = False  # see Verdict
    may_stay: bool = False  # see Verdict
    was_ended: bool = False  # although it may stay: it could not be rolled back
    is_async: bool = False  # whether it belongs to an event loop
    session: str | None = None  # of SQLAlchemy's that has taken it: "Session" or "scoped_session"
    package: str | None = None  # that the application called, and which opened or took it
    begins: bool = False  # whether it was taken by `engine.begin()`

    @property
    def place(self) -> Site | None:
        """The line to look at: where it was taken from its pool, else opened, else where its pool was made."""
        return self.taken or self.opened or self.owner_opened or self.started

    def to_plain(self) -> dict[str, Any]:  # Any: JSON
        """What is known of it, as plain data; `place` and `pool_place` are lines of source as people read them."""
        sites = {"place": self.place, "pool_place": self.owner_opened}
        facts = {name: getattr(self, name) for name in _PLAIN} | {
            name: None if site is None else str(site) for name, site in sites.items()
        }
        return {"kind": str(self.kind), **{name: value for name, value in facts.items() if value not in (None, ())}}


_PLAIN = (
    *("reason", "backend_pid", "state", "seconds", "database", "driver", "thread", "task", "fixture", "scope"),
    *("owner", "alias", "query", "process", "command_line", "waits_for", "blocked_by", "blockers", "holds"),
)


def _find_backend(verdict: Verdict) -> int | None:
    """None where no server numbers its sessions: a process is told as one."""
    entry, session = verdict.entry, verdict.session
    if session is None:
        return entry.backend_pid if entry else None
    return session.backend_pid if session.backend_pid not in (0, session.process) else None


def find(
    verdict: Verdict, *, database: str | None = None, held: Sequence[str] = (), beside: Iterable[Entry] = ()
) -> Finding:
    """The facts of a verdict that a report needs; `held` is what the application's side knows of its session.

    `beside` are the connections among which those are that it waits for.
    """
    entry, session = verdict.entry, verdict.session
    holder = entry and (entry.taking or entry)
    thread = holder.thread_ref() if holder else None
    opening = holder.opening if holder else None
    return Finding(
        kind=verdict.kind,
        reason=verdict.reason,
        backend_pid=_find_backend(verdict),
        state=session.state if session else None,
        seconds=(session.seconds_in_transaction or session.seconds_in_state) if session else None,
        database=entry.database if entry else database,
        driver=entry.driver.name if entry else None,
        opened=entry.site if entry else None,
        taken=entry.taking.site if entry and entry.taking else None,
        thread=holder.thread if holder else None,
        started=holder.by.start.site if holder and holder.by.start and holder.site is None else None,
        thread_is_to_stop=thread is not None and _is_to_stop(thread, entry),
        task=entry.task if entry else None,
        task_is_alive=bool(entry and entry.task_is_alive),
        fixture=opening.fixture if opening else None,
        scope=opening.scope if opening and opening.scope != "function" else None,
        owner=entry.owner.kind if entry and entry.owner else None,
        owner_opened=entry.owner.site if entry and entry.owner else None,
        alias=entry.alias if entry else None,
        query=session.query if session else None,
        process=session.process if session else None,
        command_line=session.command_line if session else None,
        waits_for=session.waits_for if session else None,
        blocked_by=session.blocked_by if session else (),
        blockers=name_backends(session.blocked_by, beside) if session else (),
        holds=(*session.holds, *held) if session else (),
        is_astray=verdict.is_astray,
        may_stay=verdict.may_stay,
        is_async=_is_async(entry),
        session=_find_session(entry.taking.stack) if entry and entry.taking else None,
        package=find_package(holder.stack) if holder else None,
        begins=bool(holder and _begins(holder.stack)),
    )


def name_backends(pids: Sequence[int], entries: Iterable[Entry]) -> tuple[str, ...]:
    """Backends as people read them, with the application's line where one of the connections is its."""
    lines = {entry.backend_pid: where_from(entry) for entry in entries} if pids else {}
    named = ((pid, lines.get(pid)) for pid in pids)
    return tuple(f"backend {pid}" + (f" ({line})" if line else "") for pid, line in named)


def where_from(entry: Entry) -> str | None:
    """The line that opened a connection, or took it from its pool, and the thread where that is not the main one."""
    taking = entry.taking
    site, thread = (taking or entry).site, (taking or entry).thread
    if site is None:
        return None
    return f"{'taken' if taking else 'opened'} {site}" + (f', thread "{thread}"' if thread != "MainThread" else "")


def _is_to_stop(thread: Thread, entry: Entry | None) -> bool:
    """Whether it is the application's to stop: a pool's workers, and what a web framework runs, are not."""
    if thread is main_thread() or not thread.is_alive() or entry is None or entry.task is not None:
        return False
    module = sys.modules.get(type(thread).__module__)
    is_of_a_package = "-packages/" in (getattr(module, "__file__", None) or "")
    return not is_of_a_package and (entry.owner is None or entry.taking is not None)


def _find_session(stack: Frames) -> str | None:
    if passes(stack, "sqlalchemy/orm/scoping.py") or passes(stack, "sqlalchemy/ext/asyncio/scoping.py"):
        return "scoped_session"
    return "Session" if passes(stack, "sqlalchemy/orm/session.py") else None


def _begins(stack: Frames) -> bool:
    return runs(stack, "Engine.begin") or runs(stack, "AsyncEngine.begin")


def _is_async(entry: Entry | None) -> bool:
    if entry is None:
        return False
    connection = entry.connection()
    return entry.was_async if connection is None else entry.driver.is_async(connection)
