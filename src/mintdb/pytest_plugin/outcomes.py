"""What became of each test of a run, as plain data that another process compares."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest

from mintdb.facts import dataclass

VARIABLE = "MINTDB_OUTCOMES"  # the file that a run of a matrix writes its outcomes to
WORSE = ("passed", "skipped", "xfailed", "failed", "error")


@dataclass(frozen=True)
class Outcome:
    """How one test, or the import of one module, ended."""

    word: str
    why: str = ""  # the last line of what a failure said


class Outcomes:
    """A pytest plugin that notes every outcome, and writes them down when the run ends."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._found: dict[str, Outcome] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            self._note(report.nodeid, _outcome_of(report))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._note(report.nodeid, Outcome("error", _why(report)))

    def pytest_sessionfinish(self) -> None:
        self._file.write_text(json.dumps({test: asdict(outcome) for test, outcome in self._found.items()}))

    def _note(self, test: str, outcome: Outcome) -> None:
        before = self._found.get(test, outcome)
        self._found[test] = max(before, outcome, key=lambda each: WORSE.index(each.word))


def find_file(environ: dict[str, str] | os._Environ[str]) -> Path | None:
    """Where this run is to write its outcomes. Taken out of the variables: what it starts is not of the matrix."""
    name = environ.pop(VARIABLE, None)
    return Path(name) if name else None


def read(file: Path) -> dict[str, Outcome]:
    """What a run has written; nothing if it did not come to its end."""
    if not file.exists():
        return {}
    return {test: Outcome(**plain) for test, plain in json.loads(file.read_text()).items()}


def _outcome_of(report: pytest.TestReport) -> Outcome:
    if hasattr(report, "wasxfail"):
        return Outcome("xfailed" if report.skipped else "passed")
    if report.failed:
        return Outcome("failed" if report.when == "call" else "error", _why(report))
    return Outcome(report.outcome)


def _why(report: pytest.TestReport | pytest.CollectReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    said = crash.message if crash else report.longreprtext
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[0] if lines else ""
