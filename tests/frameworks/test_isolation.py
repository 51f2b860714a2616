"""Two hundred tests that do everything to their database, in any order: each starts from the template."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import mintdb
from tests.frameworks import isolation_workload
from tests.frameworks.suites import BY_ENTRY_POINT, Suite

TESTS = 200
SOAK = bool(os.environ.get("MINTDB_SOAK"))
SEEDS = range(20) if SOAK else range(1)


@pytest.fixture
def generated(suite: Suite) -> Suite:
    """The suite of 200 tests, and what a fresh clone of its template holds."""
    suite.write(
        **{
            "schema.sql": isolation_workload.SCHEMA,
            "isolation_workload.py": Path(isolation_workload.__file__).read_text(),
            "test_generated.py": f"""
                import pytest
                from isolation_workload import check_and_change

                @pytest.mark.parametrize("number", range({TESTS}))
                def test_starts_from_the_template(number):
                    check_and_change(number)
            """,
        }
    )
    suite.environment |= BY_ENTRY_POINT  # pytest-randomly looks for xdist
    with mintdb.open(suite.folder) as mint, mint.lease() as lease:
        (suite.folder / "expected.json").write_text(json.dumps(isolation_workload.describe(lease.url)))
    return suite


@pytest.mark.parametrize("seed", SEEDS)
def test_each_of_200_tests_in_random_order_on_four_workers_starts_from_the_template(
    generated: Suite, seed: int
) -> None:
    ran = generated.run("-p", "randomly", f"--randomly-seed={seed}", "-n", "4", "-q")
    assert ran.outcomes == {"passed": TESTS}, ran.output
    assert f"{TESTS} put back" in ran.output


@pytest.mark.parametrize("seed", SEEDS)
def test_they_do_in_one_process_too(generated: Suite, seed: int) -> None:
    chosen = [] if SOAK else ["-k", "0] or 5]"]
    ran = generated.run("-p", "randomly", f"--randomly-seed={seed + 1000}", "-q", *chosen)
    assert ran.code == 0, ran.output
    assert ran.outcomes["passed"] == (TESTS if SOAK else TESTS // 5), ran.output


@pytest.mark.parametrize("number", [77, 199])
def test_a_test_alone_starts_from_the_template(generated: Suite, number: int) -> None:
    ran = generated.run(f"test_generated.py::test_starts_from_the_template[{number}]")
    assert ran.outcomes == {"passed": 1}, ran.output


def test_the_suite_would_notice_a_test_that_is_not_undone(generated: Suite) -> None:
    ran = generated.run("--mintdb-isolation=none", "-q", "-x")
    assert ran.outcomes["failed"] == 1, ran.output
