"""The benefit of the doubt: before anybody is accused, see who holds the connection, and collect what may be garbage.

Both walk over all objects, so each is asked only where it can clear somebody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from mintdb.connections import clock
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

_no_garbage: set[Site] = set()  # lines whose leaks were alive after a collection: another one would clear nobody


def judge_fairly(judge: Judge, *, began: float) -> list[Verdict]:
    """The verdicts, with nobody accused for what is kept on purpose, or only waits for the garbage collector."""
    verdicts = judge(frozenset())
    lasted = clock.monotonic() - began  # at the moment to which the sessions' times refer
    suspects = [verdict for verdict in verdicts if verdict.kind is Kind.LEAK]
    if not suspects:
        return verdicts
    holds = _find_holds(suspects)
    kept = frozenset(id(v.entry) for v in suspects if holds.get(id(v.entry)) is Hold.LASTING)
    kept -= {id(v.entry) for v in suspects if v.entry and not _may_be_kept(v, v.entry, verdicts, lasted)}
    lines = {_line(v.entry) for v in suspects if v.entry and not holds.get(id(v.entry))}
    if lines - _no_garbage:
        collect()
        verdicts = judge(kept)
        _no_garbage.update(filter(None, lines & {_line(v.entry) for v in verdicts if v.entry and v.kind is Kind.LEAK}))
        return verdicts
    return judge(kept) if kept else verdicts


def _find_holds(suspects: Iterable[Verdict]) -> dict[int, Hold]:
    """By id() of the entry; known pools answer for their own connections, and are not looked for."""
    holds: dict[int, Hold] = {}
    for of_main in (True, False):
        entries = [v.entry for v in suspects if v.entry and not v.entry.owner and _is_of_main(v.entry) is of_main]
        found = [(entry, connection) for entry in entries if (connection := entry.connection()) is not None]
        if found:
            firmness = find_holds([connection for _, connection in found], locals_last=of_main)
            holds |= {id(entry): hold for (entry, _), hold in zip(found, firmness, strict=True)}
    return holds


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
    test = (entry.opening.test or "").partition("[")[0].replace("::", ".")
    return entry.site.function in (test.rpartition(".")[2], entry.opening.fixture)


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


def _is_of_main(entry: Entry) -> bool:
    return entry.thread == "MainThread"
