"""The report that a person gets: pure text from facts. A line that is not known is left out, never guessed."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from mintdb.connections.finding import Finding
from mintdb.connections.remedies import steps_for
from mintdb.connections.stack import Site
from mintdb.connections.verdict import Kind
from mintdb.contract import Told

GROUPS_SHOWN = 10  # for each test: what a person reads before scrolling on
BACKENDS_SHOWN = 5
SITES_SHOWN = 40
THREADED = {"psycopg pool", "asyncpg pool"}  # these open theirs in threads and tasks of their own
QUERY_SHOWN = 160  # characters: two lines of a terminal


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


def tell_lock(locks: Sequence[str], holder: str) -> str:
    """What there is to say of a lock that a connection keeps in a transaction which may go on."""
    return (
        f"{', '.join(locks)} is held from test to test, in a transaction that does not end, by a connection ({holder}):"
        " whoever else asks for it waits; commit or roll back there"
    )


def tell_habit(line: object) -> str:
    """What there is to say once of a line whose pools are closed without a search, having been told several times."""
    return (
        f"the pools of {line} were left open in test after test: where it makes more for the same fixture or test"
        " function, they are closed and not told, since to look who keeps them is slow here; close each with its test"
    )


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
    parts = finding.kind, finding.place, finding.owner_opened, program, finding.was_ended
    return " ".join(str(part) for part in parts if part)


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
        finding.started,
        finding.owner,
        finding.owner_opened,
        finding.state,
        finding.driver,
        finding.command_line,
        finding.was_ended,
    )


def _group(group: Sequence[Finding]) -> list[str]:
    first = group[0]
    lines = [_server_line(group), *_opened_lines(group), *_query_line(first), *_lock_lines(first)]
    return [f"  {line}" for line in [*lines, *steps_for(first)] if line]


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
    elif (by := _by(group)) and first.owner not in THREADED:
        started = f", started {first.started}" if first.started else ""
        lines.append(f"by       {by.removeprefix(', ')}{started}")
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
        by = ", ".join(finding.blockers)
        yield f"waits    for {finding.waits_for}" + (f", held by {by}" if by else "")
    if finding.holds:
        yield f"holds    {', '.join(finding.holds)}"
    if finding.was_ended:
        yield "ended    nobody could roll it back from outside"


def _count(number: int) -> str:
    return f"{number:,} connection{'s' * (number != 1)}"
