"""Each example of Hypothesis, and each run of a state machine, starts from the database as the test found it."""

from __future__ import annotations

import asyncio
import inspect
import re
import time
import unittest
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

import mintdb
from mintdb import clock
from mintdb.contract import Restored, Way
from mintdb.core.lease import Lease, NoMarkInTransaction, UncommittedWrites
from mintdb.hypothesis import NoExamples, NothingToRewind, rewind_examples
from tests.frameworks.suites import Suite

few = settings(max_examples=8, deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=True)


@pytest.fixture(scope="module")
def mint(server_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[mintdb.Mint]:
    root = tmp_path_factory.mktemp("examples")
    (root / "schema.sql").write_text("create table t (id serial primary key, n int);")
    with mintdb.open(root, schema="sql:schema.sql", project="examples") as mint:
        yield mint


@pytest.fixture
def lease(mint: mintdb.Mint) -> Iterator[Lease]:
    with mint.lease(test="test_x") as lease:
        yield lease


@pytest.fixture
def insert(lease: Lease) -> Callable[[int], int]:
    """Insert a row as an application does, and tell the row's id."""

    def insert(n: int) -> int:
        with psycopg.connect(lease.url) as connection:
            return connection.execute("insert into t (n) values (%s) returning id", [n]).fetchone()[0]

    return insert


@pytest.fixture
def rows(lease: Lease) -> Callable[[], list[int]]:
    def rows() -> list[int]:
        with psycopg.connect(lease.url) as connection:
            return [row[0] for row in connection.execute("select n from t order by id")]

    return rows


Insert = Callable[[int], int]
Rows = Callable[[], list[int]]


def test_what_was_there_before_is_there_for_each_example_and_nothing_else(insert: Insert, rows: Rows) -> None:
    insert(100)
    seen = []

    @rewind_examples
    @few
    @example(7)
    @given(st.integers(0, 9))
    def check(n: int) -> None:
        seen.append((rows(), insert(n)))

    check()
    assert len(seen) > 5
    assert set(map(str, seen)) == {"([100], 2)"}
    assert rows() == [100]


@pytest.mark.parametrize("order", ["both", "innermost", "between", "outermost"])
def test_the_decorator_may_stand_anywhere_and_twice(insert: Insert, rows: Rows, order: str) -> None:
    calls = []

    def check(n: int) -> None:
        """What it says."""
        calls.append(n)
        assert insert(n) == 1

    decorators = {
        "both": [rewind_examples, given(st.integers(0, 9)), example(4), few, rewind_examples],
        "innermost": [rewind_examples, given(st.integers(0, 9)), example(4), few],
        "between": [given(st.integers(0, 9)), rewind_examples, example(4), few, rewind_examples],
        "outermost": [given(st.integers(0, 9)), example(4), few, rewind_examples],
    }
    decorated = check
    for decorator in decorators[order]:
        decorated = decorator(decorated)
    decorated()
    assert calls[0] == 4
    assert len(calls) == 9
    assert (decorated.__name__, decorated.__doc__) == ("check", "What it says.")
    assert inspect.unwrap(decorated.hypothesis.inner_test) is check


def test_shrinking_and_replay_start_from_the_mark_and_the_failing_state_stays(insert: Insert, rows: Rows) -> None:
    insert(100)

    @rewind_examples
    @few
    @given(st.lists(st.integers(0, 50), max_size=5))
    def check(numbers: list[int]) -> None:
        assert rows() == [100]
        for n in numbers:
            insert(n)
        assert sum(rows()) < 130

    with pytest.raises(AssertionError) as caught:
        check()
    assert "numbers=[30]" in "".join(caught.value.__notes__)
    assert rows() == [100, 30]


def test_an_example_after_a_failed_or_a_rejected_one_starts_from_the_mark(insert: Insert, rows: Rows) -> None:
    starts = []

    @rewind_examples
    @few
    @given(st.integers(0, 9))
    def check(n: int) -> None:
        starts.append(rows())
        insert(n)
        assume(n % 2)
        assert n < 5

    for _ in range(2):  # what a failed one left to be looked at is gone when the next begins
        with pytest.raises(AssertionError):
            check()
    assert len(starts) > 10
    assert starts == [[]] * len(starts)


def test_what_a_strategy_writes_belongs_to_its_example(insert: Insert, rows: Rows) -> None:
    insert(100)
    seen = []

    @rewind_examples
    @few
    @given(st.builds(insert, st.integers(0, 9)))
    def check(key: int) -> None:
        seen.append((key, len(rows())))

    check()
    assert set(seen) == {(2, 2)}


def test_two_tests_in_one_lease_have_a_mark_each(insert: Insert, rows: Rows) -> None:
    @rewind_examples
    @few
    @given(st.integers())
    def check(n: int) -> None:
        counts.add(len(rows()))
        insert(1)

    for expected in (0, 1, 2):
        counts: set[int] = set()
        check()
        assert counts == {expected}
        insert(0)


def test_each_run_of_a_state_machine_starts_from_the_mark(insert: Insert, rows: Rows) -> None:
    insert(100)
    starts = []

    @rewind_examples
    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            starts.append(rows())
            insert(1)
            self.inserted = 2

        @rule(n=st.integers(0, 9))
        def add(self, n: int) -> None:
            insert(n)
            self.inserted += 1

        @invariant()
        def counted(self) -> None:
            assert len(rows()) == self.inserted < 5

    @rewind_examples
    class Derived(Machine):
        """Put back once for each run, too."""

    Derived.TestCase.settings = settings(few, stateful_step_count=5)
    result = unittest.TestResult()
    Derived.TestCase().run(result)
    assert "assert 5 == 5" not in str(result.failures)
    assert len(result.failures) == 1
    assert starts == [[100]] * len(starts)
    assert len(starts) > 5


def test_a_class_means_all_its_tests_with_examples(insert: Insert, rows: Rows) -> None:
    @rewind_examples
    class Tests(unittest.TestCase):
        def setUp(self) -> None:
            insert(100)

        @few
        @given(st.integers(0, 9))
        def test_a(self, n: int) -> None:
            assert rows()[-1] == 100
            insert(n)

        def test_b(self) -> None:
            assert rows() == [100, 100]

    result = unittest.TestResult()
    Tests("test_a").run(result)
    Tests("test_b").run(result)
    assert (result.testsRun, result.failures, result.errors) == (2, [], [])


def test_coroutines_are_rewound_aside_of_their_loop(insert: Insert, lease: Lease) -> None:
    @rewind_examples
    @few
    @given(st.integers(0, 9))
    async def check(n: int) -> None:
        async with await psycopg.AsyncConnection.connect(lease.url) as connection:
            cursor = await connection.execute("insert into t (n) values (%s) returning id", [n])
            assert await cursor.fetchone() == (1,)

    inner = check.hypothesis.inner_test
    assert asyncio.iscoroutinefunction(inner)
    check.hypothesis.inner_test = lambda n: asyncio.run(inner(n))  # as plugins for coroutines do it
    check()


def test_putting_back_does_not_count_against_the_deadline(lease: Lease, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def take_a_minute() -> Restored:
        nonlocal now
        now += 60
        return Restored(Way.UNTOUCHED, 60)

    monkeypatch.setattr(lease, "rewind", take_a_minute)
    monkeypatch.setattr(time, "perf_counter", lambda: now)  # Hypothesis's
    monkeypatch.setattr(clock, "REAL", (lambda: now,))  # and ours

    @rewind_examples
    @settings(few, max_examples=2, deadline=40, phases=[Phase.generate])
    @given(st.integers())
    def check(n: int) -> None:
        pass

    check()


def test_a_connection_of_a_fixture_stays_and_one_of_an_example_is_named_and_ended(mint: mintdb.Mint) -> None:
    left = []
    with mint.lease(test="test_x") as lease:
        mine = psycopg.connect(lease.url)
        mine.execute("select 1")

        @rewind_examples
        @settings(few, max_examples=2)
        @given(st.integers())
        def check(n: int) -> None:
            left.append(psycopg.connect(lease.url))
            left[-1].execute("insert into t (n) values (1)")

        check()
        assert mine.execute("select count(*) from t").fetchone() == (0,)
        mine.close()
        assert all(connection.closed or is_ended(connection) for connection in left)
    assert lease.release().way is Way.REWIND


def is_ended(connection: psycopg.Connection) -> bool:
    try:
        connection.execute("select 1")
    except psycopg.OperationalError:
        return True
    return False


def test_what_is_not_committed_cannot_be_there_for_each_example(lease: Lease) -> None:
    connection = lease.connect()
    connection.execute("insert into t (n) values (1)")

    @rewind_examples
    @few
    @given(st.integers())
    def check(n: int) -> None:
        raise AssertionError("it must not run")

    with pytest.raises(UncommittedWrites) as caught:
        check()
    assert (
        str(caught.value)
        == f"""\
{lease.address.database} cannot be marked: what was written is not committed
  backend {connection.info.backend_pid} last ran insert into t (n) values (1)
  1. commit before the examples begin: a mark holds only what is committed"""
    )


def test_where_all_is_one_transaction_it_says_so(lease: Lease) -> None:
    lease.is_one_transaction = True
    with pytest.raises(NoMarkInTransaction) as caught:
        lease.mark()
    assert (
        str(caught.value)
        == f"""\
{lease.address.database} cannot be put back before the test ends: under isolation = "transaction" all of it is one \
transaction
  1. let this test really commit:  isolation = "rewind"  in its marker
  2. or take rewind_examples away, and roll back in each example:  session.rollback()"""
    )


def test_without_a_database_it_says_so() -> None:
    @rewind_examples
    @few
    @given(st.integers())
    def check(n: int) -> None:
        pass

    with pytest.raises(NothingToRewind) as caught:
        check()
    assert (
        str(caught.value)
        == """\
check has no database whose examples could be rewound
  1. configure one:  [tool.mintdb.databases.default]
  2. or ask for the fixture `mintdb`, or use  with mintdb.open(…) as mint, mint.lease():"""
    )


def test_a_class_without_examples_is_a_mistake() -> None:
    with pytest.raises(NoExamples) as caught:
        rewind_examples(type("Tests", (), {"test_a": lambda self: None}))
    assert (
        str(caught.value)
        == """\
rewind_examples found no @given in class 'Tests', and it is no RuleBasedStateMachine
  1. decorate the functions, or put it above the class whose methods have @given"""
    )


SUITE = """
import os
import unittest

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from mintdb.hypothesis import rewind_examples

few = settings(
    max_examples=5, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def open_account(owner):
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        return connection.execute("insert into account (owner) values (%s) returning id", [owner]).fetchone()[0]


@pytest.fixture(scope="module")
def bank():
    return open_account("bank")


@pytest.fixture
def ann(bank):
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("insert into account (owner) values ('Ann')")
        yield connection  # open in every example


@rewind_examples
@few
@given(owner=st.sampled_from(["Bob", "Cid"]))
def test_fixtures_of_every_scope_are_there_for_each_example(bank, ann, owner):
    assert (bank, open_account(owner)) == (1, 3)
    assert ann.execute("select count(*) from account").fetchone() == (3,)


@rewind_examples
class TestUnittest(unittest.TestCase):
    @few
    @given(st.sampled_from(["Bob", "Cid"]))
    def test_it(self, owner):
        self.assertEqual(open_account(owner), 2)


@pytest.mark.mintdb(rewind_examples=True)
class TestMarked:
    @pytest.mark.parametrize("first", ["Eve", "Fay"])
    @few
    @given(owner=st.sampled_from(["Bob", "Cid"]))
    def test_a_markers_examples_too(self, bank, ann, first, owner):
        assert [open_account(first), open_account(owner)] == [3, 4]

    @pytest.mark.mintdb(rewind_examples=False)
    @few
    @given(owner=st.just("Dan"))
    def test_and_the_nearest_marker_counts(self, owner):
        with pytest.raises(psycopg.errors.UniqueViolation):
            [open_account(owner) for _ in range(2)]


@few
@given(owner=st.just("Dan"))
def test_without_the_decorator_the_second_example_meets_the_first(owner):
    with pytest.raises(psycopg.errors.UniqueViolation):
        [open_account(owner) for _ in range(2)]


LEFT = []


@rewind_examples
@settings(few, max_examples=2)
@given(n=st.booleans())
def test_a_leak(n):
    LEFT.append(psycopg.connect(os.environ["DATABASE_URL"]))
    LEFT[-1].execute("insert into account (owner) values ('Eve')")


@rewind_examples
@few
@given(owner=st.text("xyz", min_size=1))
def test_a_failure(owner):
    open_account(owner)
    assert len(owner) < 3
"""
API = """
import os

import psycopg
import pytest
import schemathesis
from flask import Flask, jsonify
from hypothesis import settings

from mintdb.hypothesis import rewind_examples

app = Flask(__name__)
owner = {"name": "owner", "in": "query", "schema": {"type": "string"}}
operation = {"parameters": [owner], "responses": {"200": {"description": "its number"}}}
description = {
    "openapi": "3.0.0",
    "info": {"title": "Bank", "version": "1"},
    "paths": {"/accounts": {"post": operation}},
}


@app.get("/openapi.json")
def describe():
    return jsonify(description)


@app.post("/accounts")
def open_account():
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        return jsonify(connection.execute("insert into account (owner) values ('x') returning id").fetchone()[0])


schema = schemathesis.openapi.from_wsgi("/openapi.json", app)


@schema.parametrize()
@settings(max_examples=5, database=None, deadline=None)
@rewind_examples
def test_inside(case):
    response = case.call()
    assert case.method != "POST" or response.json() == 1


@rewind_examples
@schema.parametrize()
@settings(max_examples=5, database=None, deadline=None)
def test_outside(case):
    response = case.call()
    assert case.method != "POST" or response.json() == 1


@pytest.mark.mintdb(rewind_examples=True)
class TestMarked:
    @schema.parametrize()
    @settings(max_examples=5, database=None, deadline=None)
    def test_in_a_class(self, case):
        response = case.call()
        assert case.method != "POST" or response.json() == 1
"""
WHOLE = """
import unittest

import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mintdb.hypothesis import rewind_examples
from test_examples import few, open_account


@pytest.fixture
def ann():
    return open_account("Ann")


@few
@given(owner=st.sampled_from(["Bob", "Cid"]))
def test_a_function(ann, owner):
    assert (ann, open_account(owner)) == (1, 2)


@few
@given(owner=st.sampled_from(["Bob", "Cid"]))
async def test_a_coroutine(ann, owner):
    assert (ann, open_account(owner)) == (1, 2)


@rewind_examples
@few
@given(owner=st.sampled_from(["Bob", "Cid"]))
def test_a_decorated_function(ann, owner):
    assert (ann, open_account(owner)) == (1, 2)


class TestUnittest(unittest.TestCase):
    def setUp(self):
        open_account("Ann")

    @few
    @given(st.sampled_from(["Bob", "Cid"]))
    def test_it(self, owner):
        self.assertEqual(open_account(owner), 2)


class Machine(RuleBasedStateMachine):
    @initialize()
    def begin(self):
        self.opened = 0

    @rule()
    def open(self):
        self.opened += 1
        assert open_account(f"owner {self.opened}") == self.opened


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=5, stateful_step_count=3, deadline=None)


def test_the_machine_is_left_as_it_was():
    assert "teardown" not in vars(Machine)


def test_without_examples(ann):
    assert open_account("Bob") == 2
"""


HYPOTHESIS = ("-p", "hypothesispytest")
ASYNC = ("-p", "asyncio", "-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function")


def test_in_a_suite_of_pytest_and_unittest(suite: Suite) -> None:
    ran = suite.write(test_examples=SUITE).run("-q", "--mintdb-keep", *HYPOTHESIS)
    assert ran.outcomes == {"passed": 7, "failed": 1}, ran.output
    assert "LEAK  test_examples.py::test_a_leak left 1 connection open" in ran.output
    assert "last ran insert into account (owner) values ('Eve')" in ran.output
    kept = re.search(r"'(postgresql://.*)'", ran.output)[1]
    with psycopg.connect(kept) as connection:
        owners = [row[0] for row in connection.execute("select owner from account order by id")]
    assert owners[0] == "bank"
    assert len(owners[1]) == 3


@pytest.mark.skipif(find_spec("schemathesis") is None, reason="Schemathesis is not installed")
def test_in_a_suite_of_schemathesis(suite: Suite) -> None:
    plugins = (*HYPOTHESIS, "-p", "schemathesis.pytest.plugin")
    ran = suite.write(test_api=API).run("-q", *plugins, "-W", "ignore")
    assert ran.outcomes == {"passed": 3}, ran.output


def test_a_setting_means_the_whole_suite(suite: Suite) -> None:
    suite.environment["MINTDB_REWIND_EXAMPLES"] = "true"
    suite.write(test_examples=SUITE, test_whole=WHOLE)
    ran = suite.run("-q", *HYPOTHESIS, *ASYNC, "test_whole.py")
    assert ran.outcomes == {"passed": 7}, ran.output
