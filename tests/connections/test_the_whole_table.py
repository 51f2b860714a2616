"""Whatever opens a connection, wherever, and whatever becomes of it: the report names exactly who has to mend what."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cases
import pytest
from tests.frameworks import suites
from tests.frameworks.suites import Suite

from mintdb.engines.mysql.binaries import find_binaries
from mintdb.engines.mysql.errors import BinariesNotFound
from mintdb.report.facts import RunReport
from mintdb.report.files import read

SOAK = "MINTDB_SOAK" in os.environ
TIMEOUT = 3600 if SOAK else suites.TIMEOUT  # seconds; the whole product is some 750 tests


@pytest.fixture
def engines() -> list[str]:
    """The engines whose servers are here."""
    try:
        find_binaries()
    except BinariesNotFound:
        return ["postgresql", "sqlite"]
    return ["postgresql", "sqlite", "mysql"]


def test_every_way_to_open_a_connection_is_told_as_it_was(
    tmp_path: Path, server_home: Path, engines: list[str]
) -> None:
    table = cases.all_cases(engines) if SOAK else cases.some_cases(engines)
    suite = Suite(tmp_path)
    tests = cases.write(suite, table, engines)

    ran = suite.run("-q", "-p", "asyncio", "--mintdb-report", "run.json", timeout=TIMEOUT)

    assert "failed" not in ran.outcomes, ran.output
    report = read(tmp_path / "run.json")
    assert len({tested.test for tested in report.tests}) == tests.count("def test_")
    expected = {case.test: case.expected(tests) for case in table}
    assert not cases.differences(report, expected)
    children = json.loads((tmp_path / "children.json").read_text())
    named = {each["command_line"].split()[-1]: each["process"] for each in foreign(report)}
    assert named
    assert named.items() <= children.items()


def foreign(report: RunReport) -> list[dict]:
    return [each for tested in report.tests for each in tested.findings if each["kind"] == "foreign"]
