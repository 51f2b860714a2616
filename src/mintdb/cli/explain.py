"""`mintdb explain`: what the last run had to say, in full, or of one test."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from statistics import median

import click

from mintdb.cli import MINTDB_FAILED, say
from mintdb.report import check
from mintdb.report.ending import find_last
from mintdb.report.facts import RunReport
from mintdb.report.files import read, write
from mintdb.report.groups import Group, by_line
from mintdb.report.words import count_of

TESTS_SHOWN = 5


@click.command(short_help="Explain the last run: who left what open, and what was slow.")
@click.argument("tests", metavar="[TEST]...", nargs=-1)
@click.option("--file", "file", metavar="FILE", type=Path, help="The report of another run, as JSON.")
@click.option("--html", metavar="FILE", help="Write it as a page.")
def command(tests: tuple[str, ...], *, file: Path | None, html: str | None) -> None:
    """Explain the last run of this project: which lines left connections open, in which tests, and what was slow.

    With TESTS, what happened in those whose names contain one of them.
    """
    from mintdb.settings import load

    found = file or find_last(load().root)
    if found is None:
        say("no run of this project is known: run its tests first")
        sys.exit(MINTDB_FAILED)
    report = read(found)
    if html:
        check([html])
        for trouble in write(report, [html], root=Path.cwd()):
            say(trouble)
    told = list(lines_of_tests(report, tests) if tests else lines(report))
    if not told:
        say(f"no test of that run has {' or '.join(map(repr, tests))} in its name")
        sys.exit(MINTDB_FAILED)
    print("\n".join(told))


def lines(report: RunReport) -> Iterator[str]:
    """The whole run."""
    began = datetime.fromtimestamp(report.began).astimezone()
    yield f"{report.project}, {began:%Y-%m-%d %H:%M:%S}, {report.seconds:.1f} s: {report.command}"
    seconds = [tested.put_back for tested in report.tests]
    opened = sum(worker.opened for worker in report.workers)
    peak = max((worker.peak for worker in report.workers), default=0)
    typical = f"median {median(seconds) * 1000:.1f} ms"
    yield f"{len(seconds)} put back, {typical}; {count_of('connection', opened)}, at most {peak} at once in a process"
    yield from (f"  {note}" for note in report.notes)
    for group in by_line(report.findings):
        yield from _of_group(group)
    slowest = sorted(report.tests, key=lambda tested: tested.put_back, reverse=True)[:TESTS_SHOWN]
    yield "slowest to put back:"
    yield from (f"  {tested.put_back * 1000:8.1f} ms  {tested.way}  {tested.test}" for tested in slowest)


def lines_of_tests(report: RunReport, tests: tuple[str, ...]) -> Iterator[str]:
    """The tests whose names contain one of `tests`."""
    for tested in report.tests:
        if any(part in tested.test for part in tests):
            why = f" because {tested.reason}" if tested.reason else ""
            yield f"{tested.test}: {tested.way}{why}, {tested.put_back * 1000:.1f} ms, on {tested.worker}"
            yield f"  {count_of('connection', tested.opened)} opened, at most {tested.peak} at once"
            for group in by_line({"test": tested.test, **found} for found in tested.findings):
                yield from _of_group(group)


def _of_group(group: Group) -> Iterator[str]:
    yield f"{group.kind.upper()}  {len(group.found)} x {group.place}"
    yield from (f"  {label:<8} {told}" for label, told in group.story())
    tests = group.tests
    more = f" and {len(tests) - TESTS_SHOWN} more" * (len(tests) > TESTS_SHOWN)
    yield f"  {'in':<9}{', '.join(tests[:TESTS_SHOWN])}{more}"
