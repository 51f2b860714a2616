"""Put the database of `mintdb run` back around every test that unittest's own runner runs."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable, Hashable
from functools import wraps
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mintdb.connections.facts import Opening
from mintdb.connections.ledger import ledger
from mintdb.handover import find_handover
from mintdb.report import Summary

if TYPE_CHECKING:
    from mintdb.core.clones import ClonePool
    from mintdb.handover import Handover
    from mintdb.mint import Mint


class Boundaries:
    """What this process's tests have of the database that was handed over; made when the first of them runs."""

    def __init__(self, handover: Handover) -> None:
        from mintdb.mint import Mint
        from mintdb.settings import DatabaseSettings, load

        settings = load().with_database(DatabaseSettings(handover.alias, **handover.settings))
        self.policy = settings.leaks
        self.alias = handover.alias
        self.summary = Summary()
        self.mint: Mint = Mint(settings, handover=handover)
        os.environ |= handover.as_taken().to_environment()
        self.pool.marks.keep_what_is_there()
        atexit.register(self.finish)

    @property
    def pool(self) -> ClonePool:
        return self.mint.open(self.alias).pool

    def run(self, test: Any, run: Callable[[], Any], result: Any) -> Any:  # Any: unittest is not typed that far
        """Run one test on a leased database."""
        name = test.id()
        before = ledger.enter(Opening(name, "call"))
        lease = self.mint.lease(self.alias, test=name)
        try:
            return run()
        finally:
            restored = lease.release()
            ledger.enter(before)
            self.summary.count(restored, name)
            self._tell(restored.report, test, result)

    def wide(self, owner: Hashable, set_up: Callable[[], Any]) -> Any:  # Any: see run
        """Run the set-up of a class or module: what it writes lives as long as that."""
        self.pool.marks.before_setup(owner, settle=self.mint.settings.settle)
        before = ledger.enter(Opening(None, "setup", str(owner), "class"))
        failed = True
        try:
            done = set_up()
            failed = False
        finally:
            ledger.enter(before)
            self.pool.marks.after_setup(owner, failed=failed)
            self.pool.remember_sessions()
        return done

    def finish(self) -> None:
        """The process ends: leave the server, and say what there is to say."""
        self.summary.tell_sprawl(self.policy)
        try:
            self.summary.left_behind += list(self.mint.close())
        finally:
            for line in self.summary.lines():
                print(line, file=sys.stderr)

    def _tell(self, report: str, test: Any, result: Any) -> None:  # Any: see run
        if report and self.policy == "warn":
            self.summary.reports.append(report)
        if report and self.policy == "error" and result is not None:
            result.addFailure(test, (AssertionError, AssertionError(report), None))


_boundaries: Boundaries | None = None


def hold(suite: ModuleType) -> None:
    """Wrap unittest's boundaries; nothing is connected to before the first test runs."""
    case = sys.modules["unittest.case"]
    _wrap(case.TestCase, "run", _run)
    _wrap(suite.TestSuite, "_handleClassSetUp", _class_set_up)
    _wrap(suite.TestSuite, "_tearDownPreviousClass", _class_tear_down)
    _wrap(suite.TestSuite, "_handleModuleFixture", _module_set_up)
    _wrap(suite.TestSuite, "_handleModuleTearDown", _module_tear_down)


def _get() -> Boundaries | None:
    """The boundaries, if this process has the database: a pytest, or whoever was first, may have taken it."""
    global _boundaries
    if _boundaries is None:
        handover = find_handover(os.environ)
        if handover is not None and not handover.taken:
            _boundaries = Boundaries(handover)
    return _boundaries


def _wrap(owner: Any, name: str, around: Callable[..., Any]) -> None:  # Any: a class whose method is replaced
    original = getattr(owner, name, None)
    if original is None:  # a later unittest without this boundary: its marks are missed, its tests still run
        return

    @wraps(original)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:  # Any: as the original takes and gives
        boundaries = _get()
        if boundaries is None:
            return original(self, *args, **kwargs)
        return around(boundaries, original, self, *args, **kwargs)

    setattr(owner, name, wrapped)


def _run(boundaries: Boundaries, original: Any, test: Any, result: Any = None) -> Any:  # Any: see Boundaries.run
    return boundaries.run(test, lambda: original(test, result), result)


def _class_set_up(boundaries: Boundaries, original: Any, suite: Any, test: Any, result: Any) -> Any:  # Any: as above
    if test.__class__ == getattr(result, "_previousTestClass", None):
        return original(suite, test, result)
    return boundaries.wide(test.__class__, lambda: original(suite, test, result))


def _class_tear_down(boundaries: Boundaries, original: Any, suite: Any, test: Any, result: Any) -> Any:  # Any: as above
    previous = getattr(result, "_previousTestClass", None)
    done = original(suite, test, result)
    if previous is not None and previous != test.__class__:
        boundaries.pool.marks.after_teardown(previous)
    return done


def _module_set_up(boundaries: Boundaries, original: Any, suite: Any, test: Any, result: Any) -> Any:  # Any: as above
    module = test.__class__.__module__
    if module == suite._get_previous_module(result):
        return original(suite, test, result)
    return boundaries.wide(f"module {module}", lambda: original(suite, test, result))


def _module_tear_down(boundaries: Boundaries, original: Any, suite: Any, result: Any) -> Any:  # Any: as above
    module = suite._get_previous_module(result)
    done = original(suite, result)
    if module is not None:
        boundaries.pool.marks.after_teardown(f"module {module}")
        # The next module's set-up may follow at once, within the same step of unittest's.
        boundaries.pool.marks.go_back(settle=boundaries.mint.settings.settle)
    return done
