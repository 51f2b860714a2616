"""The report that a person gets: pure text from facts. A line that is not known is left out, never guessed."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from mintdb.connections.facts import Entry
from mintdb.connections.stack import Site
from mintdb.connections.verdict import Kind, Verdict
from mintdb.contract import Told
from mintdb.facts import dataclass

GROUPS_SHOWN = 10  # for each test: what a person reads before scrolling on
BACKENDS_SHOWN = 5
SITES_SHOWN = 40
QUERY_SHOWN = 160  # characters: two lines of a terminal


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
    thread_is_alive: bool = False
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
    holds: Sequence[str] = ()
    is_astray: bool = False  # see Verdict
    may_stay: bool = False  # see Verdict
    is_async: bool = False  # whether it belongs to an event loop

    @property
    def place(self) -> Site | None:
        """The line to look at: where it was taken from its pool, else opened, else where its pool was made."""
        return self.taken or self.opened or self.owner_opened

    def to_plain(self) -> dict[str, Any]:  # Any: JSON
        """What is known of it, as plain data; `place` and `pool_place` are lines of source as people read them."""
        sites = {"place": self.place, "pool_place": self.owner_opened}
        facts = {name: getattr(self, name) for name in _PLAIN} | {
            name: None if site is None else str(site) for name, site in sites.items()
        }
        return {"kind": str(self.kind), **{name: value for name, value in facts.items() if value not in (None, ())}}


_PLAIN = (
    *("reason", "backend_pid", "state", "seconds", "database", "driver", "thread", "task", "fixture", "scope"),
    *("owner", "alias", "query", "process", "command_line", "waits_for", "blocked_by", "holds"),
)


def _find_backend(verdict: Verdict) -> int | None:
    """None where no server numbers its sessions: a process is told as one."""
    entry, session = verdict.entry, verdict.session
    if session is None:
        return entry.backend_pid if entry else None
    return session.backend_pid if session.backend_pid not in (0, session.process) else None


def find(verdict: Verdict, *, database: str | None = None, held: Sequence[str] = ()) -> Finding:
    """The facts of a verdict that a report needs; `held` is what the application's side knows of its session."""
    entry, session = verdict.entry, verdict.session
    holder = entry and (entry.taking or entry)
    thread = holder and holder.thread_ref()
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
        thread_is_alive=bool(thread and thread.is_alive()),
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
        holds=(*session.holds, *held) if session else (),
        is_astray=verdict.is_astray,
        may_stay=verdict.may_stay,
        is_async=_is_async(entry),
    )


def _is_async(entry: Entry | None) -> bool:
    if entry is None:
        return False
    connection = entry.connection()
    return entry.was_async if connection is None else entry.driver.is_async(connection)


def tell(findings: Iterable[Finding], *, test: str) -> list[Told]:
    """What there is to say after one test: leaks, abandoned and foreign connections below titles of their own.

    Connections opened by the same line in the same way are told once, the most frequent first.
    """
    by_title: dict[str, list[Finding]] = defaultdict(list)
    for finding in sorted(findings, key=lambda finding: list(Kind).index(finding.kind)):
        if title := _find_title(finding):
            by_title[title].append(finding)
    told = []
    for title, found in by_title.items():
        filled = title.format(test=test, connections=_count(len(found)))
        told += [Told(filled, "\n".join(_group(group)), _key(group[0]), len(group)) for group in _grouped(found)]
    return told


def tell_prepared(names: Sequence[str], *, test: str) -> list[Told]:
    """What there is to say of prepared transactions, which no session holds."""
    if not names:
        return []
    left = ", ".join(map(repr, names[:BACKENDS_SHOWN])) + ", …" * (len(names) > BACKENDS_SHOWN)
    return [Told(f"PREPARED  {test} left prepared transactions, which were rolled back: {left}")]


def compose(told: Iterable[Told]) -> str:
    """One report; empty if there is nothing to say. Below each title stand at most 10 lines' worth of connections."""
    by_title: dict[str, list[Told]] = defaultdict(list)
    for each in told:
        by_title[each.title].append(each)
    return "\n".join(_part(title, several) for title, several in by_title.items())


def explain_sprawl(url: str, owners: Sequence[tuple[str, Site | None]], *, keep_idle: bool = True) -> str:
    """The report of several pools that lead to one place: each pool's kind, and where it was created."""
    or_close = ["  2. or let pools close what is given back:  keep_idle = false"] if keep_idle else []
    by_site = Counter(f"{site or 'unknown place'}, {kind}" for kind, site in owners)
    lines = [f"  {count:2} × {place}" for place, count in by_site.most_common(SITES_SHOWN)]
    if len(by_site) > SITES_SHOWN:
        lines.append(f"  … and {len(by_site) - SITES_SHOWN} other places")
    return "\n".join(
        [
            f"SPRAWL  {len(owners)} pools of one process lead to {url}",
            *lines,
            "  1. make one pool in one place, and import it",
            *or_close,
            "",
        ]
    )


def _find_title(finding: Finding) -> str | None:
    if finding.kind is Kind.LEAK and finding.scope and finding.fixture:
        fixture = f"{finding.scope}-scoped fixture {finding.fixture!r}"
        return f"LEAK  {fixture} holds {{connections}} in a transaction, found after {{test}}"
    if finding.is_astray:
        return "LEAK  {test} never gave {connections} back"
    if finding.may_stay:
        return "LEAK  {test} left {connections} in a transaction"
    return _TITLES.get(finding.kind)


_TITLES = {
    Kind.LEAK: "LEAK  {test} left {connections} open",
    Kind.ABANDONED: "ABANDONED  {test} never closed {connections}, the garbage collector did",
    Kind.FOREIGN: "FOREIGN  {connections} of other processes on the database of {test}",
}


def _part(title: str, told: Sequence[Told]) -> str:
    lines = [title, *(each.text for each in told[:GROUPS_SHOWN] if each.text)]
    if rest := told[GROUPS_SHOWN:]:
        left_out = _count(sum(each.number for each in rest))
        lines.append(f"  … and {left_out} more, opened in {len(rest)} other place{'s' * (len(rest) != 1)}")
    return "\n".join(lines) + "\n"


def _key(finding: Finding) -> str:
    """What makes connections of different tests the same story: the lines to mend, or else the program."""
    program = re.sub(r"\d+", "0", finding.command_line or "") if finding.kind is Kind.FOREIGN else None
    return " ".join(str(part) for part in (finding.kind, finding.place, finding.owner_opened, program) if part)


def _grouped(findings: Sequence[Finding]) -> list[list[Finding]]:
    groups: dict[object, list[Finding]] = defaultdict(list)
    for finding in findings:
        groups[_likeness(finding)].append(finding)
    return sorted(groups.values(), key=len, reverse=True)


def _likeness(finding: Finding) -> object:
    """What makes two connections the same story."""
    return (
        finding.opened,
        finding.taken,
        finding.owner,
        finding.owner_opened,
        finding.state,
        finding.driver,
        finding.command_line,
    )


def _group(group: Sequence[Finding]) -> list[str]:
    first = group[0]
    lines = [_server_line(group), *_opened_lines(group), *_query_line(first), *_lock_lines(first)]
    return [f"  {line}" for line in [*lines, *_steps(first)] if line]


def _server_line(group: Sequence[Finding]) -> str:
    first = group[0]
    seconds = [finding.seconds for finding in group if finding.seconds is not None]
    state = first.state or ""
    if state and seconds:
        state += f" for {'up to ' * (len(group) > 1)}{max(seconds):.1f} s"
    where = f"on {first.database}" if first.database else ""
    return ", ".join(part for part in (_backends(group), " ".join(filter(None, (state, where)))) if part)


def _backends(group: Sequence[Finding]) -> str:
    pids = [str(finding.backend_pid) for finding in group if finding.backend_pid is not None]
    if len(group) == 1:
        return f"backend {pids[0]}" if pids else ""
    shown = ", ".join(pids[:BACKENDS_SHOWN]) + ", …" * (len(pids) > BACKENDS_SHOWN)
    return f"{_count(len(group))} (backends {shown})" if pids else _count(len(group))


def _opened_lines(group: Sequence[Finding]) -> list[str]:
    first = group[0]
    lines = []
    if first.taken:
        lines.append(f"taken    {first.taken}{_by(group)}")
    elif first.opened:
        lines.append(f"opened   {first.opened}{_by(group)}")
    if first.fixture and not first.scope:
        lines.append(f"fixture  {first.fixture}")
    if first.owner_opened:
        lines.append(f"pool     {first.owner_opened}, {first.owner}")
    if first.process is not None:
        command_line = " ".join((first.command_line or "").split())  # a program in one of its arguments has lines
        lines.append(f"process  {first.process}" + (f", {command_line}" if command_line else ""))
    return lines


def _by(group: Sequence[Finding]) -> str:
    threads = {finding.thread for finding in group} - {None, "MainThread"}
    if len(threads) > 1:
        return f", {len(threads)} threads"
    if threads:
        return f', thread "{threads.pop()}"'
    return f', task "{group[0].task}"' if group[0].task else ""


def _query_line(finding: Finding) -> list[str]:
    query = " ".join((finding.query or "").split())
    if len(query) > QUERY_SHOWN:
        query = query[: QUERY_SHOWN - 1] + "…"
    return [f"last ran {query}"] if query else []


def _lock_lines(finding: Finding) -> Iterable[str]:
    if finding.waits_for:
        by = ", ".join(f"backend {pid}" for pid in finding.blocked_by)
        yield f"waits    for {finding.waits_for}" + (f", held by {by}" if by else "")
    if finding.holds:
        yield f"holds    {', '.join(finding.holds)}"


def _steps(finding: Finding) -> list[str]:
    steps = list(_remedies(finding))
    return [f"{number}. {'or ' * (number > 1)}{step}" for number, step in enumerate(steps, 1)]


def _remedies(finding: Finding) -> Iterable[str]:
    if finding.kind is Kind.FOREIGN:
        return
    yield _closing(finding)
    if finding.thread_is_alive and finding.thread not in (None, "MainThread"):
        yield "stop the thread before the test ends"
    elif finding.task_is_alive and finding.kind is Kind.LEAK:
        yield "cancel the task and wait for it before the test ends"


# A pool's connection in a transaction was taken and not given back; an idle one only shows that its pool lives on.
_GIVING_BACK = {
    "SQLAlchemy engine": "give it back where it was taken:  with engine.connect() as conn: …",
    "SQLAlchemy pool": "give it back where it was taken:  conn.close()",
    "psycopg pool": "give it back where it was taken:  with pool.connection() as conn: …",
    "asyncpg pool": "give it back where it was taken:  async with pool.acquire() as conn: …",
}
_GIVING_BACK_ASYNC = {
    "SQLAlchemy engine": "give it back where it was taken:  async with engine.connect() as conn: …",
    "psycopg pool": "give it back where it was taken:  async with pool.connection() as conn: …",
}
_ENDING_POOLS = {
    "SQLAlchemy engine": "end the engine with the test, or make one for the whole run:  engine.dispose()",
    "SQLAlchemy pool": "end the pool with the test:  pool.dispose()",
    "psycopg pool": "end the pool with the test, or make one for the whole run:  with ConnectionPool(…) as pool: …",
    "asyncpg pool": "end the pool with the test:  async with asyncpg.create_pool(…) as pool: …",
}
_ENDING_POOLS_ASYNC = {
    "SQLAlchemy engine": "end the engine with the test, or make one for the whole run:  await engine.dispose()",
    "psycopg pool": "end the pool with the test:  async with AsyncConnectionPool(…) as pool: …",
}
_CLOSING = {
    "psycopg": "close it where it was opened:  with psycopg.connect(…) as conn: …",
    "psycopg2": "close it where it was opened:  conn.close()  (psycopg2's `with conn:` only ends the transaction)",
    "asyncpg": "close it where it was opened:  await conn.close()",
    "sqlite3": "close it where it was opened:  conn.close()  (sqlite3's `with conn:` only ends the transaction)",
    "aiosqlite": "close it where it was opened:  async with aiosqlite.connect(…) as conn: …",
}


def _closing(finding: Finding) -> str:
    if finding.alias:
        return f"close it in the thread that opened it:  django.db.connections[{finding.alias!r}].close()"
    if finding.owner:
        is_taken = finding.taken is not None or finding.state not in (None, "idle")
        usual, other = (_GIVING_BACK, _GIVING_BACK_ASYNC) if is_taken else (_ENDING_POOLS, _ENDING_POOLS_ASYNC)
        return (usual | other if finding.is_async else usual)[finding.owner]
    if finding.may_stay:
        return "commit what was begun, or take it back:  conn.commit() or conn.rollback()"
    if finding.is_async and finding.driver == "psycopg":
        return "close it where it was opened:  async with await psycopg.AsyncConnection.connect(…) as conn: …"
    return _CLOSING.get(finding.driver or "", "close it where it was opened")


def _count(number: int) -> str:
    return f"{number:,} connection{'s' * (number != 1)}"
