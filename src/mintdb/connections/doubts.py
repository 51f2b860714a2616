"""The benefit of the doubt: before anybody is accused, see who holds the connection, and collect what may be garbage.

Both walk over all objects, so each is asked only where it can clear somebody.
"""

from __future__ import annotations

import math
import threading
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Sequence

from mintdb import clock
from mintdb.connections.closing import collect
from mintdb.connections.facts import Entry, Owner
from mintdb.connections.habits import habits, line_of
from mintdb.connections.holders import Hold, find_holds
from mintdb.connections.pools import pools
from mintdb.connections.stack import Site, lies_in_package
from mintdb.connections.verdict import Kind, Verdict, purpose_of

Judge = Callable[[frozenset[int]], tuple[list[Verdict], float]]
"""Verdicts on everything, where the entries with these id() are kept on purpose, and when somebody saw the sessions."""

# A pool reuses what is idle before it opens more. So many idle ones of one line, unused by the test, are no pool's.
UNUSED = {
    Hold.GATHERED: 2,  # once may be chance: a connection that was taken and not used looks the same
    Hold.LASTING: 5,  # which is what most pools keep at most, if they are told nothing
    Hold.WIDER: math.inf,  # whatever the fixture makes is its own to close
}
DRIVERS = {
    *("psycopg", "psycopg_binary", "psycopg_c", "psycopg2", "asyncpg", "aiosqlite", "pymysql", "MySQLdb", "asyncmy"),
    *("aiomysql", "mintdb", "greenlet", "gevent"),
}

POOLS = {"sqlalchemy", "psycopg_pool"}  # who makes one of these calls them

YOUNG = 1  # the generation of what a test has just made: collecting it costs next to nothing, all of them 100 ms
_no_garbage: set[Site] = set()  # lines whose leaks were alive after a collection: another one would clear nobody


def judge_fairly(judge: Judge, *, began: float, is_last: bool = False) -> list[Verdict]:
    """The verdicts, with nobody accused for what is kept on purpose, or only waits for the garbage collector.

    `is_last`: nobody follows who could take a connection from a list.
    """
    verdicts, looked = judge(frozenset())
    accused = _accused(verdicts)
    if not accused:
        return verdicts
    collect(YOUNG)
    if not all(entry.is_open for entry in accused):
        verdicts, looked = judge(frozenset())
        accused = _accused(verdicts)
    for entry in filter(habits.is_never_kept, accused):
        entry.told = True  # enough alike were: it is closed without a word, for it may be kept all the same
    unknown = {entry for entry in accused if line_of(entry) not in _no_garbage}
    # What may stay as it is has nothing more to gain than to be garbage.
    holds = _find_holds(entry for entry, verdict in accused.items() if entry in unknown or not verdict.may_stay)
    kept = frozenset(
        id(entry)
        for entry, verdict in accused.items()
        if holds[id(entry)] > (Hold.GATHERED if is_last else Hold.LIVING)
        and _is_kept(verdict, entry, holds[id(entry)], verdicts, began, looked - began)
    )
    doubtful = [entry for entry in unknown if not holds[id(entry)]]
    if any(entry.is_open for entry in doubtful):
        collect()
    _no_garbage.update(line for entry in unknown if entry.is_open and (line := line_of(entry)))
    if not kept and not doubtful:
        return verdicts
    return _judge_again(judge, kept, {entry.owner for entry in accused if id(entry) in kept} - {None})


def _judge_again(judge: Judge, kept: frozenset[int], kept_pools: Container[Owner | None]) -> list[Verdict]:
    """A pool that is kept may have opened more meanwhile, in a thread of its own, and may open more at any moment."""
    verdicts, _ = judge(kept)
    while newcomers := {id(e) for e in _accused(verdicts) if e.owner in kept_pools and id(e) not in kept}:
        kept |= newcomers
        verdicts, _ = judge(kept)
    return verdicts


def _accused(verdicts: Iterable[Verdict]) -> dict[Entry, Verdict]:
    return {verdict.entry: verdict for verdict in verdicts if _is_doubtful(verdict) and verdict.entry}


def _is_doubtful(verdict: Verdict) -> bool:
    """What is astray was looked for already."""
    return verdict.kind is Kind.LEAK and not verdict.is_astray


def _find_holds(accused: Iterable[Entry]) -> dict[int, Hold]:
    """By id() of the entry: the firmest hold on its connection, on its pool, or on the thread that opened it."""
    found: dict[int, Hold] = defaultdict(lambda: Hold.UNKNOWN)
    alike: dict[tuple[bool, bool], list[Entry]] = defaultdict(list)
    unsure = [entry for entry in accused if not habits.is_never_kept(entry)]
    for entry in unsure:
        alike[entry.thread == "MainThread", entry.taking is not None].append(entry)
    for (is_main, is_taken), several in alike.items():
        things = {(id(entry), kind): thing for entry in several for kind, thing in _things(entry)}
        began = clock.monotonic()
        holds = find_holds(things, locals_last=is_main, are_taken=is_taken)
        habits.note_search(clock.monotonic() - began)
        for (key, kind), hold in holds.items():
            if hold >= LEAST[kind]:
                found[key] = max(found[key], hold)
            elif kind == "thread" and found[key] is Hold.GATHERED:  # nobody keeps the thread that goes on using it
                found[key] = Hold.LIVING
    for entry in unsure:
        habits.learn(entry, is_kept=found[id(entry)] >= Hold.GATHERED)
    return found


# What firmness says something of the connection. Of a pool, its creation site tells more than a plain list does; a
# thread that runs is not garbage, but what it has opened may be.
LEAST = {"connection": Hold.UNKNOWN, "pool": Hold.LASTING, "thread": Hold.GATHERED}


def _things(entry: Entry) -> Iterable[tuple[str, object]]:
    """What may be kept, and the connection with it."""
    thread = entry.thread_ref()
    if (connection := entry.connection()) is not None and (entry.owner is None or entry.taking is not None):
        yield "connection", connection
    if entry.owner is not None:
        yield from (("pool", pool) for pool in pools.find_objects(entry.owner))
    elif thread is not None and thread.is_alive() and thread is not threading.main_thread():
        yield "thread", thread


def _is_kept(
    verdict: Verdict, entry: Entry, hold: Hold, all_of_them: Sequence[Verdict], began: float, lasted: float
) -> bool:
    """Whether it is as somebody leaves it who uses it again: held by what outlives the test, and opened by more."""
    if _is_beyond_use(entry):
        return False
    if hold is not Hold.WIDER and _is_by_the_test_itself(entry):
        return False
    if entry.owner is not None and not verdict.is_excused:
        return hold is Hold.WIDER or (hold is Hold.LASTING and _unused_pools(all_of_them, entry, lasted) < UNUSED[hold])
    alike = [other for other in all_of_them if _is_alike(other, entry)]
    if hold is Hold.GATHERED and (verdict.session is None or verdict.session.seconds_in_state is None):
        return _older(alike, began) < UNUSED[Hold.LASTING]
    return _unused(alike, lasted) < UNUSED[hold]


def _is_beyond_use(entry: Entry) -> bool:
    """An event loop that is closed takes its connections with it."""
    connection = entry.connection()
    if connection is None or not entry.driver.is_async(connection):
        return False
    return entry.loop is None or entry.loop.is_closed()


def _is_by_the_test_itself(entry: Entry) -> bool:
    """Whether the body of the test, or of its fixture, called the driver: it has to close what it opens."""
    opening, stack = (entry.opening, entry.stack) if entry.owner is None else (entry.owner.opening, entry.owner.stack)
    if opening is None or lies_in_package(stack, but=DRIVERS if entry.owner is None else DRIVERS | POOLS):
        return False
    return opening.has_in_its_body(stack)


def _is_alike(verdict: Verdict, entry: Entry) -> bool:
    """Whether it is a connection of the same line to the same database."""
    other = verdict.entry
    return other is not None and (other.database, line_of(other)) == (entry.database, line_of(entry))


def _unused(alike: Iterable[Verdict], seconds: float) -> int:
    """How many were open and idle for all that time."""
    return sum(v.session is not None and (v.session.seconds_in_state or 0) > seconds for v in alike)


def _unused_pools(verdicts: Iterable[Verdict], entry: Entry, seconds: float) -> int:
    """How many other pools of the same line to the same place has nobody used for all that time."""
    of_pools: dict[Owner, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        if verdict.entry is not None and verdict.entry.owner is not None and _is_alike(verdict, entry):
            of_pools[verdict.entry.owner].append(verdict)
    purpose = entry.owner and purpose_of(entry.owner)
    return sum(_unused(some, seconds) == len(some) and purpose_of(owner) == purpose for owner, some in of_pools.items())


def _older(alike: Iterable[Verdict], began: float) -> int:
    """How many were open when the test began: all that is known where no server tells which of them it has used."""
    return sum(v.session is not None and v.entry is not None and v.entry.opened < began for v in alike)
