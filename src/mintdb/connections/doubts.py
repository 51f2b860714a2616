"""The benefit of the doubt: before anybody is accused, see who holds the connection, and collect what may be garbage.

Both walk over all objects, so each is asked only where it can clear somebody.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from mintdb import clock
from mintdb.connections.closing import collect
from mintdb.connections.facts import Entry
from mintdb.connections.holders import Hold, find_holds
from mintdb.connections.stack import Site, lies_in_package
from mintdb.connections.verdict import Kind, Verdict

Judge = Callable[[frozenset[int]], list[Verdict]]
"""Verdicts on everything, where the entries with these id() are kept on purpose."""

# A pool reuses what is idle before it opens more. So many idle ones of one line, unused by the test, are no pool's.
UNUSED = 5  # which is also what most pools keep at most, if they are told nothing
DRIVERS = {
    *("psycopg", "psycopg_binary", "psycopg_c", "psycopg2", "asyncpg", "aiosqlite", "pymysql", "MySQLdb", "asyncmy"),
    *("mintdb", "greenlet", "gevent"),
}

YOUNG = 1  # the generation of what a test has just made: collecting it costs next to nothing, all of them 100 ms
_no_garbage: set[Site] = set()  # lines whose leaks were alive after a collection: another one would clear nobody


def judge_fairly(judge: Judge, *, began: float) -> list[Verdict]:
    """The verdicts, with nobody accused for what is kept on purpose, or only waits for the garbage collector."""
    verdicts = judge(frozenset())
    lasted = clock.monotonic() - began  # at the moment to which the sessions' times refer
    accused = _accused(verdicts)
    if not accused:
        return verdicts
    collect(YOUNG)
    if not all(entry.is_open for entry in accused):
        verdicts = judge(frozenset())
        accused = _accused(verdicts)
    excusable = {entry for entry, verdict in accused.items() if _may_be_kept(verdict, entry, verdicts, lasted)}
    unknown = {entry for entry in accused if _line(entry) not in _no_garbage}
    holds = _find_holds(entry for entry in excusable | unknown if entry.owner is None)
    kept = frozenset(id(entry) for entry in excusable if holds.get(id(entry)) is Hold.LASTING)
    doubtful = [entry for entry in unknown if not holds.get(id(entry))]
    if any(entry.is_open for entry in doubtful):
        collect()
    _no_garbage.update(line for entry in unknown if entry.is_open and (line := _line(entry)))
    return judge(kept) if kept or doubtful else verdicts


def _accused(verdicts: Iterable[Verdict]) -> dict[Entry, Verdict]:
    return {verdict.entry: verdict for verdict in verdicts if verdict.kind is Kind.LEAK and verdict.entry}


def _find_holds(entries: Iterable[Entry]) -> dict[int, Hold]:
    """By id() of the entry. Known pools answer for their own connections, which are not looked for."""
    by_thread: dict[bool, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_thread[entry.thread == "MainThread"].append(entry)
    found = [find_holds(several, locals_last=is_main) for is_main, several in by_thread.items()]
    return {key: hold for holds in found for key, hold in holds.items()}


def _may_be_kept(verdict: Verdict, entry: Entry, all_of_them: Sequence[Verdict], lasted: float) -> bool:
    """Whether it is as somebody leaves it who uses it again: in nobody's way, and opened by more than the test."""
    session = verdict.session
    if session is None or (session.is_busy and not session.only_reads) or _is_beyond_use(entry):
        return False
    return not _is_by_the_test_itself(entry) and _unused(entry, all_of_them, lasted) < UNUSED


def _is_beyond_use(entry: Entry) -> bool:
    """An event loop that is closed takes its connections with it."""
    connection = entry.connection()
    if connection is None or not entry.driver.is_async(connection):
        return False
    return entry.loop is None or entry.loop.is_closed()


def _is_by_the_test_itself(entry: Entry) -> bool:
    """Whether the body of the test, or of its fixture, called the driver: it has to close what it opens."""
    if entry.site is None or entry.opening is None or lies_in_package(entry.stack, but=DRIVERS):
        return False
    return entry.opening.has_in_its_body(entry.site)


def _unused(entry: Entry, all_of_them: Iterable[Verdict], seconds: float) -> int:
    """How many connections of the same line to the same database were open and idle for all that time."""
    line = _line(entry)
    return sum(
        other.session is not None
        and (other.session.seconds_in_state or 0) > seconds
        and (known.database, _line(known)) == (entry.database, line)
        for other in all_of_them
        if (known := other.entry) is not None
    )


def _line(entry: Entry) -> Site | None:
    return entry.owner.site if entry.owner else entry.site
