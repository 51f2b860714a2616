"""Each row of the table of verdicts, and the doubts in which nobody is accused."""

from __future__ import annotations

import dataclasses
import sys
import threading
import weakref

import pytest

from mintdb.connections.facts import ByThread, Ending, Entry, Opening, Owner, Taking
from mintdb.connections.hooks.psycopg3 import DRIVER
from mintdb.connections.verdict import Kind, Scope, judge, judge_all, pools_that_may_outlive
from mintdb.contract import Session

TEST = "tests/test_orders.py::test_refund"
BEGAN = 1000.0
CALL = Opening(test=TEST, phase="call")
FIXTURE = Opening(test=TEST, phase="setup", fixture="database", scope="session")
HERE = (sys._getframe().f_code, 0)


class Thing:
    pass


def by_thread(name: str, ident: int) -> ByThread:
    return ByThread(name, ident, weakref.ref(threading.Thread()))


MAIN = ByThread("MainThread", 1, weakref.ref(threading.main_thread()))
MAILER, SERVER = by_thread("mailer", 5), by_thread("server", 99)


def entry(**changes: object) -> Entry:
    made = Entry(DRIVER, MAIN, None, None, CALL, HERE)
    facts: dict = {
        "place": ("127.0.0.1", 5432, "shop"),
        "backend_pid": 7,
        "opened": BEGAN + 1,
        "connection": weakref.ref(Thing()),
    }
    for name, value in (facts | changes).items():
        setattr(made, name, value)
    return made


def session(state: str = "idle", *, has_written: bool | None = None, backend_pid: int = 7) -> Session:
    return Session(backend_pid, state, "select 1", None, 1.0, None, None, has_written=has_written)


def owner(created: float = BEGAN + 0.5, opening: Opening = CALL) -> Owner:
    return Owner("SQLAlchemy engine", "", created, opening, HERE)


ENGINE = owner()
SCOPE = Scope(TEST, BEGAN, tolerated=frozenset({ENGINE}), older_threads=frozenset({99}), dropped=frozenset({8}))
IDLE, READING = session(), session("idle in transaction", has_written=False)
WRITING, ACTIVE = session("idle in transaction", has_written=True), session("active")
UNKNOWN = session("idle in transaction")  # whether it has written is not known

COLLECTED = {"ended": BEGAN + 2, "ending": Ending.COLLECTED}

DROPPED = session("active", backend_pid=8)
INHERITED = dataclasses.replace(DROPPED, process=4711)

PASSING = dataclasses.replace(ACTIVE, seconds_in_transaction=0.01)
BUSY = dataclasses.replace(ACTIVE, seconds_in_transaction=0.5)
TAKING = Taking(MAIN, HERE, CALL, BEGAN + 1, None)
BY_A_FIXTURE = dataclasses.replace(TAKING, opening=FIXTURE)

TABLE = [
    ("of an older thread, whose statement has just begun", entry(opened=1.0), PASSING, Kind.RESIDENT),
    ("of an older thread, whose statement goes on", entry(opened=1.0), BUSY, Kind.LEAK),
    ("closed", entry(ended=BEGAN + 2, ending=Ending.CLOSED), None, Kind.CLOSED),
    ("closed, and its backend works on", None, DROPPED, Kind.CLOSED),
    ("closed here, and another process has it, too", None, INHERITED, Kind.FOREIGN),
    ("ended by the server", entry(), None, Kind.CLOSED),
    ("collected", entry(ended=BEGAN + 2, ending=Ending.COLLECTED), None, Kind.ABANDONED),
    ("older, collected", entry(opened=1.0, ended=BEGAN + 2, ending=Ending.COLLECTED), None, Kind.CLOSED),
    ("collected, of a pool of the test's own", entry(owner=ENGINE, **COLLECTED), None, Kind.ABANDONED),
    ("collected, taken", entry(owner=owner(1.0), taking=TAKING, **COLLECTED), None, Kind.ABANDONED),
    ("collected, taken by a fixture", entry(owner=owner(1.0), taking=BY_A_FIXTURE, **COLLECTED), None, Kind.CLOSED),
    ("taken, and not known to be astray", entry(owner=owner(1.0), taking=TAKING), IDLE, Kind.RESIDENT),
    ("collected, of an older pool", entry(owner=owner(created=1.0), **COLLECTED), None, Kind.CLOSED),
    ("collected, of a wide fixture's pool", entry(owner=owner(opening=FIXTURE), **COLLECTED), None, Kind.CLOSED),
    ("collected, of a wide fixture", entry(opening=FIXTURE, **COLLECTED), None, Kind.CLOSED),
    ("collected, of an older thread", entry(by=SERVER, **COLLECTED), None, Kind.CLOSED),
    ("without an entry", None, IDLE, Kind.FOREIGN),
    ("opened in the test", entry(), IDLE, Kind.LEAK),
    ("opened in the test, in a transaction", entry(), READING, Kind.LEAK),
    ("opened in the test, by its thread", entry(by=MAILER), IDLE, Kind.LEAK),
    ("opened by an older thread", entry(by=SERVER), IDLE, Kind.RESIDENT),
    ("opened by an older thread, has written", entry(by=SERVER), WRITING, Kind.LEAK),
    ("older", entry(opened=1.0), IDLE, Kind.RESIDENT),
    ("older, only reads", entry(opened=1.0), READING, Kind.RESIDENT),
    ("older, has written", entry(opened=1.0), WRITING, Kind.LEAK),
    ("older, perhaps has written", entry(opened=1.0), UNKNOWN, Kind.LEAK),
    ("older, active", entry(opened=1.0), ACTIVE, Kind.LEAK),
    ("of a wider fixture", entry(opening=FIXTURE), IDLE, Kind.RESIDENT),
    ("of a wider fixture, only reads", entry(opening=FIXTURE), READING, Kind.RESIDENT),
    ("of a wider fixture, has written", entry(opening=FIXTURE), WRITING, Kind.LEAK),
    ("of an older pool", entry(owner=owner(1.0)), IDLE, Kind.RESIDENT),
    ("of a wider fixture's pool", entry(owner=owner(opening=FIXTURE)), IDLE, Kind.RESIDENT),
    ("of the one pool of its site", entry(owner=ENGINE), IDLE, Kind.RESIDENT),
    ("of the one pool of its site, has written", entry(owner=ENGINE), WRITING, Kind.LEAK),
    ("of one of many pools of its site", entry(owner=owner()), IDLE, Kind.LEAK),
    ("of Django, in the main thread", entry(alias="default"), IDLE, Kind.RESIDENT),
    ("of Django, in another thread", entry(alias="default", by=MAILER), IDLE, Kind.LEAK),
]


@pytest.mark.parametrize(("connection", "row", "kind"), [case[1:] for case in TABLE], ids=[case[0] for case in TABLE])
def test_a_connection_is_judged_by_its_entry_its_row_and_the_lease(
    connection: Entry | None, row: Session | None, kind: Kind
) -> None:
    assert judge(connection, row, SCOPE).kind is kind


def test_what_is_astray_is_a_leak_whatever_its_pool_and_is_not_merely_rolled_back() -> None:
    taken = entry(owner=owner(1.0), taking=TAKING)
    verdict = judge(taken, READING, Scope(TEST, BEGAN, astray=frozenset({id(taken)})))

    assert (verdict.kind, verdict.is_astray, verdict.may_stay) == (Kind.LEAK, True, False)


def test_a_wider_session_that_only_reads_but_locks_what_the_rewind_needs_is_that_fixtures_leak() -> None:
    scope = Scope(TEST, BEGAN, locking=frozenset({7}))

    assert judge(entry(opening=FIXTURE), READING, scope).kind is Kind.LEAK


def test_a_session_of_this_process_that_was_opened_past_its_driver_is_not_called_foreign() -> None:
    row = dataclasses.replace(IDLE, process=4711)

    assert judge(None, row, Scope(TEST, BEGAN, process=4711)).kind is Kind.RESIDENT
    assert judge(None, row, Scope(TEST, BEGAN, process=1)).kind is Kind.FOREIGN


def test_the_reason_names_the_fixture() -> None:
    assert judge(entry(opening=FIXTURE), IDLE, SCOPE).reason == "of the session-scoped fixture 'database'"


def test_entries_and_rows_are_joined_by_backend_pid() -> None:
    verdicts = judge_all([entry(backend_pid=7), entry(backend_pid=8)], [IDLE, session(backend_pid=9)], SCOPE)

    assert [(v.kind, v.entry and v.entry.backend_pid, v.session and v.session.backend_pid) for v in verdicts] == [
        (Kind.LEAK, 7, 7),
        (Kind.CLOSED, 8, None),
        (Kind.FOREIGN, None, 9),
    ]


def test_a_closed_entry_does_not_take_the_row_of_a_later_connection_with_the_same_pid() -> None:
    closed = entry(ended=BEGAN + 2, ending=Ending.CLOSED)

    assert [verdict.kind for verdict in judge_all([closed, entry()], [IDLE], SCOPE)] == [Kind.CLOSED, Kind.LEAK]


def test_what_a_server_has_lost_when_it_was_restarted_is_not_blamed_for_who_has_its_number_now() -> None:
    lost, later = entry(opened=BEGAN - 5, by=by_thread("poller", 6)), entry(opened=BEGAN + 1)

    verdicts = judge_all([later, lost], [WRITING], SCOPE)

    assert [(verdict.kind, verdict.entry) for verdict in verdicts] == [(Kind.LEAK, later), (Kind.CLOSED, lost)]
    assert judge_all([lost, later], [WRITING], SCOPE) == verdicts[::-1]


def test_only_the_oldest_living_pool_of_a_creation_site_may_outlive_its_test() -> None:
    first, second, unknown = owner(1.0), owner(2.0), Owner("SQLAlchemy pool", "", 3.0, CALL, ())

    assert pools_that_may_outlive([first, second, unknown]) == {first, unknown}


class Leading:
    """A pool, as far as a verdict asks."""

    def __init__(self, url: str, *, is_async: bool = False) -> None:
        self.url, self.serves_loops = url, is_async

    def find_url(self) -> str:
        return self.url

    def is_async(self) -> bool:
        return self.serves_loops

    def find_likeness(self) -> None:
        return None


def test_a_line_that_makes_pools_for_several_places_has_one_of_each_unless_it_is_the_tests_own() -> None:
    leading = [Leading("postgresql://h/a"), Leading("postgresql://h/b"), Leading("postgresql://h/b", is_async=True)]

    def made(function: str, *pools: Leading) -> list[Owner]:
        opening = Opening(f"tests/test_orders.py::{function}", "call")
        return [Owner("", "", float(number), opening, HERE, pool) for number, pool in enumerate(pools)]

    of_a_factory = made("test_refund", *leading, leading[0])
    assert pools_that_may_outlive(of_a_factory) == set(of_a_factory[:3])
    of_the_test = made("<module>", *leading)  # which is the function of HERE
    assert pools_that_may_outlive(of_the_test) == set(of_the_test[:1])
