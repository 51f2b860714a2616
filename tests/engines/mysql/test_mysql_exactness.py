"""Whatever a test did on MySQL, the clone is as it was at its mark: test_exactness, in MySQL's own words."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engines.mysql.house import FACTOR, THOROUGH
from tests.engines.mysql.workloads import MYSQL, steps

from mintdb.contract import Way

pytestmark = pytest.mark.parametrize("language", [MYSQL], indirect=True, ids=["mysql"])


@settings(THOROUGH, max_examples=9 * FACTOR)
@given(workload=steps(ddl=False, longest=12, language=MYSQL), leave_open=st.booleans())
def test_rows_and_numbers_are_put_back_and_the_workload_runs_again_to_the_same_results(house, workload, leave_open):
    house.work_twice(workload, leave_open=leave_open)


@settings(THOROUGH, max_examples=5 * FACTOR)
@given(workload=steps(ddl=True, longest=12, language=MYSQL), leave_open=st.booleans())
def test_a_changed_schema_is_put_back(house, workload, leave_open):
    house.work_once(workload, leave_open=leave_open)


@settings(THOROUGH, max_examples=2 * FACTOR)
@given(
    fixtures=st.lists(steps(ddl=True, longest=5, language=MYSQL), min_size=1, max_size=2),
    tests=st.lists(steps(ddl=True, longest=6, language=MYSQL), min_size=1, max_size=2),
)
def test_marks_stack(house, fixtures, tests):
    house.stack(fixtures, tests)


def test_the_claims_above_were_mostly_about_rewinds(house):
    assert house.ways.count(Way.REWIND) > house.ways.count(Way.SWAP)
