"""Tell what became of each test's database: at once on stderr, or gathered for pytest to tell at its end."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from mintdb.contract import Restored, Session
from mintdb.django import places
from mintdb.report import Summary
from mintdb.report import finish as finish_report
from mintdb.report.facts import Tested

summary = Summary()
"""What this process has counted so far."""
gathers = False  # whether pytest tells it all at its end
policy: str | None = None  # from pytest's command line; None: as the settings say


def say(line: str) -> None:
    """A line of progress."""
    sys.stderr.write(f"mintdb: {line}\n")


_guilty: list[str] = []  # reports that must fail the test that runs now


def leaks_policy(alias: str = "") -> str:
    """What a connection that is left open means, on one database or for the run."""
    return policy or places.run_settings().leaks_of(alias)


def test_name(fallback: str) -> str:
    """The test that runs now, as its runner calls it."""
    current = os.environ.get("PYTEST_CURRENT_TEST", "")
    return current.rpartition(" (")[0] or fallback


test_name.__test__ = False  # type: ignore[attr-defined]  # pytest must not collect it where it is imported


def settle() -> float:
    """Seconds that a session in the middle of something is waited for."""
    return places.run_settings().settle


def guilty() -> list[str]:
    """The reports that must fail the test that has just ended; asked once."""
    found, _guilty[:] = list(_guilty), []
    return found


def count(restored: Restored, test: str, alias: str, began: float) -> None:
    """Count one put-back of a lease that began at `began`, in seconds since the epoch."""
    summary.count(restored, test)
    connections, policy = restored.connections, leaks_policy(alias)
    tested = Tested.of(test, worker_name(), alias, began, restored)
    summary.note(tested, connections.told if gathers else (), policy)
    if connections.report and policy == "warn" and not gathers:
        sys.stderr.write(f"\n{connections.report.rstrip()}\n")
    if connections.report and policy == "error":
        _guilty.append(connections.report)


def worker_name() -> str:
    """xdist's name for this process; "main" for all others."""
    return os.environ.get("PYTEST_XDIST_WORKER", "main")


def left_behind(sessions: Sequence[Session]) -> None:
    """Sessions of other processes that were still there when a database was dropped."""
    summary.left_behind += sessions


def finish() -> None:
    """The last database is gone: outside pytest this is when the run is summed up."""
    if gathers:
        return
    summary.tell_unseen()
    summary.tell_sprawl(leaks_policy())
    finish_report(summary, places.run_settings())
    for line in summary.lines():
        sys.stderr.write(f"{line}\n")
    summary.__init__()  # type: ignore[misc]  # the next run of this process counts anew


def could_not(what: str, error: Exception) -> None:
    """A trouble of our own, which fails no test."""
    summary.troubles.append(f"could not {what}: {str(error).splitlines()[0]}")
