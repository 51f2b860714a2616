"""Find what a test took from a pool and never gave back: the pool is poorer by that, until nothing is left of it.

Who takes a connection may well keep it: a session that a registry, a global or a wider fixture holds. So whoever holds
it is looked for, and it is astray only where a plain list has it, in which forgotten ones gather, or where it was
collected. That is a walk over all objects, so it is asked only when more of a pool is out than was ever found innocent.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from weakref import WeakKeyDictionary

from mintdb.connections.closing import collect
from mintdb.connections.doubts import UNUSED, YOUNG
from mintdb.connections.facts import Counting, Entry, Lender, Owner
from mintdb.connections.holders import Hold, find_holds
from mintdb.connections.ledger import ledger
from mintdb.connections.verdict import Kind, Verdict

_innocent: WeakKeyDictionary[Owner, int] = WeakKeyDictionary()  # how many of a pool were out, all of them for a reason


def find_suspects(entries: Iterable[Entry], *, since: float, older_threads: Collection[int]) -> list[Entry]:
    """What was taken since then by the test, and is still out; nothing of a pool that had as many out before."""
    out = _out(entries)
    numbers = Counter(owner for _, owner in out)
    return [
        entry
        for entry, owner in out
        if numbers[owner] > _innocent.get(owner, 0) and _is_of_the_test(entry, since, older_threads)
    ]


def find_forgotten(entries: Iterable[Entry], *, since: float, older_threads: Collection[int]) -> list[Entry]:
    """What the test took since then, of those that only the garbage collector gave back."""
    return [entry for entry in entries if _is_of_the_test(entry, since, older_threads)]


def _out(entries: Iterable[Entry]) -> list[tuple[Entry, Owner]]:
    return [(entry, entry.owner) for entry in entries if entry.is_open and entry.owner and entry.taking]


def find_astray(suspects: Sequence[Entry], *, since: float) -> frozenset[int]:
    """Those of the suspects that nothing made for longer than the test keeps, by id().

    One that has become garbage is collected here: either its pool has it again, or it is seen as abandoned.
    """
    if not suspects:
        return frozenset()
    collect(YOUNG)
    if not (suspects := [entry for entry in suspects if entry.is_open and entry.taking]):
        return frozenset()
    holds = _find_holds(suspects)
    if Hold.UNKNOWN in holds.values():
        collect()
    left = [entry for entry in suspects if entry.is_open and entry.taking]
    gathered = [entry for entry in left if holds.get(id(entry)) is Hold.GATHERED]
    unheld = [entry for entry in left if holds.get(id(entry)) is Hold.UNKNOWN]
    astray = {id(entry) for entry in gathered if _is_by_the_test_itself(entry) or _is_one_of_many(entry, since)}
    astray |= _find_stuck(unheld) | {id(entry) for entry in unheld if _is_lost(entry)}
    for owner, number in Counter(
        owner for entry, owner in _out(ledger.open_entries()) if id(entry) not in astray
    ).items():
        _innocent[owner] = max(number, _innocent.get(owner, 0))
    return frozenset(astray)


def _find_stuck(unheld: Sequence[Entry]) -> set[int]:
    """Those that nothing holds but an exception that is kept: the frames in which it was raised do nothing more."""
    if not unheld:
        return set()
    blocking = [entry for entry in unheld if (one := entry.connection()) and not entry.driver.is_async(one)]
    holds = _find_holds(blocking, by_what_ran=True)
    return {key for key, hold in holds.items() if hold >= Hold.GATHERED}


def _find_holds(suspects: Sequence[Entry], *, by_what_ran: bool = False) -> dict[int, Hold]:
    """A function of its own: what still refers to a connection when it has returned is not ours."""
    things = {id(entry): connection for entry in suspects if (connection := entry.connection()) is not None}
    return find_holds(things, locals_last=True, are_taken=True, by_what_ran=by_what_ran)


def _is_lost(entry: Entry) -> bool:
    """Whether nobody has it any more, and only its pool keeps it from being collected."""
    pool: object = entry.owner and entry.owner.pool
    return isinstance(pool, Lender) and pool.has_lost(entry.connection())


def _is_by_the_test_itself(entry: Entry) -> bool:
    """Whether the body of the test, or of its fixture, took it: it has to give back what it takes."""
    taking = entry.taking
    return taking is not None and taking.opening is not None and taking.opening.has_in_its_body(taking.stack)


def _is_one_of_many(entry: Entry, since: float) -> bool:
    """Whether its line had taken others before the test, which are out: who keeps one uses it before it takes more."""
    line = entry.taking and entry.taking.site
    takings = [other.taking for other, owner in _out(ledger.open_entries()) if owner is entry.owner]
    older = [taking for taking in takings if taking and taking.moment < since and taking.site == line]
    return len(older) >= UNUSED[Hold.GATHERED]


def write_off(verdicts: Iterable[Verdict]) -> None:
    """End what is astray by way of its pool, which is short of it otherwise."""
    for entry in (verdict.entry for verdict in verdicts if verdict.is_astray):
        if entry is None or entry.owner is None or entry.taking is None:
            continue
        connection, pool, slip = entry.connection(), entry.owner.pool, entry.taking.slip
        if connection is not None and pool is not None:
            with suppress(Exception):  # a pool's errors have no common base; what is left open is ended past it
                pool.write_off(connection, slip and slip())


def make_up(told: Iterable[Verdict]) -> None:
    """Give pools back the place of what was taken and collected; each is told once, so each is counted once."""
    for entry in (verdict.entry for verdict in told if verdict.kind is Kind.ABANDONED):
        pool: object = entry and entry.owner and entry.owner.pool
        if entry is not None and entry.taking is not None and isinstance(pool, Counting):
            with suppress(Exception):  # as above
                pool.make_up()


def _is_of_the_test(entry: Entry, since: float, older_threads: Collection[int]) -> bool:
    """Whether the test took it, in a thread that cannot be at work with it any more."""
    taking = entry.taking
    if taking is None or not taking.is_of_a_test(since, older_threads):
        return False
    thread = taking.thread_ref()
    if thread is threading.main_thread():
        return entry.alias is None  # Django keeps one for each thread
    return thread is None or not thread.is_alive()
