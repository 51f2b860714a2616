"""The report as one self-contained HTML page: nothing is fetched, and 3,000 tests are as light to open as three."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from statistics import median

from jinja2 import Environment, StrictUndefined, Template

from mintdb.facts import dataclass
from mintdb.report.facts import RunReport, Tested
from mintdb.report.groups import by_line

COLUMNS = 480  # of a timeline: what a screen can show; each has the highest value of the tests within it
HEIGHT = 56  # of a timeline, in the same units
GROUPS_SHOWN, GROUPS_UNFOLDED = 150, 20  # beyond the second they are one click away: what follows is found
TESTS_SHOWN = 25
SLOWEST_SHOWN = 25


@dataclass(frozen=True)
class Timeline:
    """One worker's connections over the run's time."""

    worker: str
    peak: int
    opened: int
    path: str  # of an SVG
    marks: Sequence[float]  # columns with a test that left something open


def render(report: RunReport) -> str:
    """The page."""
    tests = report.tests
    return _template().render(
        report=report,
        began=datetime.fromtimestamp(report.began, UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        cards=list(_cards(report).items()),
        timelines=_timelines(report),
        columns=COLUMNS,
        height=HEIGHT,
        groups=(groups := by_line(report.findings))[:GROUPS_SHOWN],
        groups_unfolded=GROUPS_UNFOLDED,
        more_groups=len(groups) - GROUPS_SHOWN,
        tests_shown=TESTS_SHOWN,
        slowest=sorted(tests, key=lambda tested: tested.put_back, reverse=True)[:SLOWEST_SHOWN],
        rows=_rows(tests),
    )


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(files(__package__).joinpath("page.html.jinja").read_text(encoding="utf-8"))


def _cards(report: RunReport) -> dict[str, str]:
    put_back = [tested.put_back * 1000 for tested in report.tests]
    return {
        "tests": f"{len({tested.test for tested in report.tests}):,}",
        "connections opened": f"{sum(_opened(report).values()):,}",
        "most open in one process": f"{max((worker.peak for worker in report.workers), default=0):,}",
        "connections to mend": f"{len(report.findings):,}",
        "put back, median": f"{median(put_back):.1f} ms" if put_back else "–",
        "put back, worst": f"{max(put_back):.0f} ms" if put_back else "–",
    }


def _opened(report: RunReport) -> Mapping[str, int]:
    """How many connections each worker has opened, between its tests too where it has told so."""
    in_tests, in_all = Counter[str](), Counter[str]()
    for tested in report.tests:
        in_tests[tested.worker] += tested.opened
    for worker in report.workers:
        in_all[worker.name] += worker.opened
    return in_tests | in_all  # the larger of both


def _timelines(report: RunReport) -> list[Timeline]:
    by_worker: dict[str, list[Tested]] = {}
    opened = _opened(report)
    for tested in report.tests:
        by_worker.setdefault(tested.worker, []).append(tested)
    end = max((tested.began + tested.seconds for tested in report.tests), default=report.began)
    start = min((tested.began for tested in report.tests), default=report.began)
    highest = max((tested.peak for tested in report.tests), default=0)
    return [
        _timeline(worker, tests, start, max(end - start, 1e-6), highest, opened[worker])
        for worker, tests in sorted(by_worker.items())
    ]


def _timeline(worker: str, tests: Sequence[Tested], start: float, length: float, highest: int, opened: int) -> Timeline:
    heights, marks = [0] * COLUMNS, set()
    for tested in tests:
        first = min(COLUMNS - 1, int((tested.began - start) / length * COLUMNS))
        last = min(COLUMNS - 1, int((tested.began + tested.seconds - start) / length * COLUMNS))
        for column in range(first, last + 1):
            heights[column] = max(heights[column], tested.peak)
        if tested.findings:
            marks.add(first + 0.5)
    return Timeline(worker, max(heights), opened, _path(heights, highest), sorted(marks))


def _path(heights: Sequence[int], highest: int) -> str:
    """A filled staircase; a step is drawn only where the height changes."""
    steps, before = [f"M0 {HEIGHT}"], 0
    for column, height in enumerate(heights):
        if height != before:
            steps.append(f"H{column}V{HEIGHT - height / max(highest, 1) * (HEIGHT - 4):.1f}")
            before = height
    return "".join(steps) + f"H{len(heights)}V{HEIGHT}Z"


def _rows(tests: Sequence[Tested]) -> str:
    """Every test for the page's own table, which shows a hundred at a time."""
    rows = [
        [t.test, t.worker, t.way, round(t.put_back * 1000, 2), t.opened, t.peak, len(t.findings), round(t.seconds, 3)]
        for t in tests
    ]
    return json.dumps(rows, ensure_ascii=False).replace("<", "\\u003c")
