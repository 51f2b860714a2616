"""Write a run's report to files: JSON for programs, one self-contained HTML page for people."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

from mintdb import clock
from mintdb.address import redact
from mintdb.errors import SettingsError
from mintdb.report.facts import FORMAT, RunReport, Tested, Worker
from mintdb.report.summary import Summary

PAGE = ".html"


class PageNeedsJinja(SettingsError):
    """An HTML report was asked for, and jinja2 is not installed. Facts: file."""

    text = """\
{file} cannot be written: the HTML page needs jinja2, which is not installed
  1. install it:  python -m pip install 'mintdb[report]'
  2. or ask for the same as JSON:  a file whose name ends in .json"""


class BadReportFile(SettingsError):
    """A file that holds no report of this version's. Facts: file, why."""

    text = """\
{file} is no report of mintdb's: {why}
  1. write it anew:  pytest --mintdb-report {file}"""


def check(files: Sequence[str]) -> None:
    """Find out before the run, not after it, that a file cannot be written. Raises PageNeedsJinja."""
    for file in files:
        if file.endswith(PAGE) and find_spec("jinja2") is None:
            raise PageNeedsJinja(file=file)


def make(summary: Summary, project: str) -> RunReport:
    """What the processes of a run have counted, as one report."""
    tests = sorted(summary.tests, key=lambda tested: tested.began)
    return RunReport(
        project,
        redact(shlex.join([_program(sys.argv[0]), *sys.argv[1:]])),
        summary.began,
        clock.wall() - summary.began,
        tests,
        summary.workers,
        summary.sprawl,
        list(summary.notes()),
    )


def _program(path: str) -> str:
    """`pytest`, as one types it, for the file that Python has run."""
    found = Path(path)
    return found.parent.name if found.name == "__main__.py" else found.name


def write(report: RunReport, files: Sequence[str], *, root: Path) -> list[str]:
    """Write it to each file, relative to `root`; returns a line for each that could not be written."""
    troubles = []
    for file in files:
        try:
            path = root / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(_page(report) if file.endswith(PAGE) else to_json(report)))
        except OSError as error:
            troubles.append(f"the report {file} could not be written: {error.strerror}")
    return troubles


def encoded(text: str) -> bytes:
    """In UTF-8. What Python has read as no character, in a path say, is escaped: in JSON that means itself."""
    return text.encode(errors="backslashreplace")


def to_json(report: RunReport) -> str:
    """The report as a JSON file has it."""
    return json.dumps(asdict(report) | {"findings": report.findings}, indent=1, ensure_ascii=False)


def read(file: Path) -> RunReport:
    """A report that was written as JSON. Raises BadReportFile."""
    try:
        plain = json.loads(file.read_text(encoding="utf-8"))
        if plain.get("format") != FORMAT:
            raise BadReportFile(file=file, why=f"its format is {plain.get('format')!r}, and {FORMAT} is known here")
        plain.pop("findings")
        tests = [Tested(**tested) for tested in plain.pop("tests")]
        workers = [Worker(**worker) for worker in plain.pop("workers")]
        return RunReport(tests=tests, workers=workers, **plain)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadReportFile(file=file, why=error) from None


def _page(report: RunReport) -> str:
    from mintdb.report.page import render  # jinja2

    return render(report)
