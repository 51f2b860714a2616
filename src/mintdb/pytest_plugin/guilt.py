"""A guilty test fails, also one that was expected to fail: of a leak nobody has expected anything."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import pytest

GUILTY = pytest.StashKey[bool]()  # whether the test's teardown failed because of what it has left open
NAME = "mintdb-guilt"


def register(config: pytest.Config) -> None:
    """Let guilt count in this run; again is harmless."""
    if not config.pluginmanager.has_plugin(NAME):
        config.pluginmanager.register(Insisting(), NAME)


def fail(item: pytest.Item, reports: Sequence[str]) -> None:
    """Fail the test, in whose teardown this is called, if there are reports."""
    if reports:
        item.stash[GUILTY] = True
        pytest.fail("\n".join(reports), pytrace=False)


class Insisting:
    """A plugin: pytest calls each failure of an expected failure expected, that of its teardown too."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.when == "teardown" and item.stash.get(GUILTY, False) and hasattr(report, "wasxfail"):
            del report.wasxfail
            report.outcome = "failed"
        return report
