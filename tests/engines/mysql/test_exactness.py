"""Whatever a test did, the clone is as it was at its mark: random workloads, compared by all that a test could see."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import Phase, given, note, settings
from hypothesis import strategies as st
from tests.engines.mysql.mariadb import dump, new_name
from tests.engines.mysql.workloads import steps, work

from mintdb.contract import Way
from mintdb.engines.mysql.clone import MysqlClone
from mintdb.engines.mysql.server import MysqlServer

FACTOR = int(os.environ.get("MINTDB_SOAK", "0") or 0) * 20 or 1
THOROUGH = settings(
    derandomize=FACTOR == 1,
    phases=[Phase.generate],
)


WAITED = {1205, 1213}  # whom a lock meets depends on which deleted rows InnoDB has purged by then


class House:
    """One clone for many workloads: what an earlier one left behind must show in a later one."""

    def __init__(self, server: MysqlServer, template: str) -> None:
        self._server, self._template = server, template
        self.ways: list[Way] = []
        self.clone: MysqlClone = server.clone(template, new_name(server))
        self.expected = dump(self.clone.address)

    def rebuild(self) -> None:
        self.clone.drop()
        self.clone = self._server.clone(self._template, new_name(self._server))

    def work(self, workload: list[tuple[int, str]], *, leave_open: bool) -> Any:
        return work(self.clone.address, workload, leave_open=leave_open)

    def put_back(self, expected: dict[str, object]) -> None:
        restored = self.clone.restore()
        note(str(restored))
        self.ways.append(restored.way)
        self.check(expected)

    def check(self, expected: dict[str, object]) -> None:
        now = dump(self.clone.address)
        differs = {key for key in expected.keys() | now.keys() if expected.get(key) != now.get(key)}
        if differs:
            self.rebuild()  # what is tried after a failure must not fail for what that one left behind
        assert {key: (expected.get(key), now.get(key)) for key in differs} == {}


def waited(result: object) -> bool:
    """Whether a statement gave up on a lock; OPTIMIZE tells it in a row."""
    return result in WAITED if isinstance(result, int) else "Lock wait timeout exceeded" in str(result)


@pytest.fixture(scope="module")
def house(server: MysqlServer, template: str) -> Iterator[House]:
    house = House(server, template)
    yield house
    house.clone.drop()


@settings(THOROUGH, max_examples=220 * FACTOR)
@given(workload=steps(ddl=False, longest=12), leave_open=st.booleans())
def test_rows_and_numbers_are_put_back_and_the_workload_runs_again_to_the_same_results(house, workload, leave_open):
    first, _held = house.work(workload, leave_open=leave_open)
    house.put_back(house.expected)
    again, _held = house.work(workload, leave_open=leave_open)
    house.put_back(house.expected)
    if not any(map(waited, (*first, *again))):
        assert again == first


@settings(THOROUGH, max_examples=60 * FACTOR)
@given(workload=steps(ddl=True, longest=12), leave_open=st.booleans())
def test_a_changed_schema_is_put_back(house, workload, leave_open):
    _, _held = house.work(workload, leave_open=leave_open)
    house.put_back(house.expected)


@settings(THOROUGH, max_examples=30 * FACTOR)
@given(
    fixtures=st.lists(steps(ddl=True, longest=5), min_size=1, max_size=2),
    tests=st.lists(steps(ddl=True, longest=6), min_size=1, max_size=2),
)
def test_marks_stack(house, fixtures, tests):
    states = [house.expected]
    try:
        for fixture in fixtures:
            house.work(fixture, leave_open=False)
            house.clone.push_mark()
            states.append(dump(house.clone.address))
        while states:
            for workload in tests:
                house.work(workload, leave_open=False)
                house.put_back(states[-1])
            states.pop()
            if states:
                house.clone.drop_mark(len(states))
                house.put_back(states[-1])
    except BaseException:
        house.rebuild()
        raise


def test_the_claims_above_were_mostly_about_rewinds(house):
    assert house.ways.count(Way.REWIND) > house.ways.count(Way.SWAP)
