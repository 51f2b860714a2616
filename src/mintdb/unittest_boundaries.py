"""Put databases back around every test that unittest's own runner runs."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable, Hashable, Sequence
from functools import wraps
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mintdb import clock
from mintdb.address import redact
from mintdb.boundaries import ELSEWHERE, Boundaries
from mintdb.connections.facts import Entry, Opening
from mintdb.connections.ledger import ledger
from mintdb.contract import Connections, Restored, Way
from mintdb.examples import examples_of
from mintdb.handover import find_handover, wants_watch, watch_alone, with_handed_over
from mintdb.report import Summary, finish
from mintdb.report.facts import Tested, Worker
from mintdb.report.groups import UNKNOWN

if TYPE_CHECKING:
    from mintdb.handover import Handover
    from mintdb.mint import Mint
    from mintdb.settings import Settings


class Tests:
    """This process's tests, on the databases of its mint; made when the first of them runs."""

    def __init__(self, mint: Mint, aliases: Sequence[str]) -> None:
        """With no `aliases`, connections are watched and nothing is leased."""
        self.settings = mint.settings
        self.summary = Summary()
        self.boundaries = Boundaries(lambda: mint, self.summary, lambda: aliases)
        self.boundaries.open()
        atexit.register(self.finish)

    @classmethod
    def of_handover(cls, handover: Handover) -> Tests:
        """On the databases that `mintdb run` has made."""
        from mintdb.mint import Mint
        from mintdb.settings import load

        settings = with_handed_over(load(), handover)
        os.environ |= handover.as_taken().to_environment()
        return cls(Mint(settings, handover=handover), [each.alias for each in handover.all])

    @classmethod
    def only_watched(cls) -> Tests:
        """On databases that mintdb did not make."""
        from mintdb.mint import Mint
        from mintdb.settings import load

        return cls(Mint(watch_alone(load())), [])

    def run(self, test: Any, run: Callable[[], Any], result: Any) -> Any:  # Any: unittest is not typed that far
        """Run one test on a leased database."""
        name = test.id()
        self.boundaries.clear()
        self.boundaries.begin(name)
        try:
            rewound = self.boundaries.rewinds_examples
            with self.boundaries.phase(Opening(name, "call")), examples_of(test, rewound=rewound):
                return run()
        finally:
            reports = self.boundaries.end(name)
            if reports and result is not None:
                result.addFailure(test, (AssertionError, AssertionError("\n".join(reports)), None))

    def wide(self, owner: Hashable, set_up: Callable[[], Any]) -> Any:  # Any: see run
        """Run the set-up of a class or module: what it writes lives as long as that."""
        self.boundaries.clear()
        opening = Opening(None, "setup", str(owner), "class")
        with self.boundaries.wide(owner), self.boundaries.phase(opening):
            return set_up()

    def finish(self) -> None:
        """The process ends: leave the server, and say what there is to say."""
        self.boundaries.close()
        _finish(self.summary, self.settings)


_tests: Tests | None = None
_make: Callable[[], Tests] | None = None


def on_first_test(make: Callable[[], Tests]) -> None:
    """Hold every test of unittest's own runner from now on; `make` is called for the first of them."""
    global _make
    if _make is None:
        _make = make
        hold(sys.modules["unittest.suite"])


def hold(suite: ModuleType) -> None:
    """Wrap unittest's boundaries; nothing is connected to before the first test runs."""
    case = sys.modules["unittest.case"]
    _wrap(case.TestCase, "run", _run)
    _wrap(case.TestCase, "_callTearDown", _tear_down)
    _wrap(suite.TestSuite, "_handleClassSetUp", _class_set_up)
    _wrap(suite.TestSuite, "_tearDownPreviousClass", _class_tear_down)
    _wrap(suite.TestSuite, "_handleModuleFixture", _module_set_up)
    _wrap(suite.TestSuite, "_handleModuleTearDown", _module_tear_down)


def watch_program() -> None:
    """Watch a program's connections from here to its end; if it turns out to run tests, those are watched instead."""
    from mintdb.connections.watching import Watch
    from mintdb.mint import visit

    watch = Watch(lambda database: False, visit)
    began = clock.wall()
    watch.begin(" ".join(sys.orig_argv[1:]))

    def tell() -> None:
        if _tests is None and wants_watch(os.environ):
            _tell_program(watch.end(is_last=True), watch.kept(), began)

    atexit.register(tell)


def _tell_program(connections: Connections, kept: Sequence[Entry], began: float) -> None:
    from mintdb.settings import load

    settings, summary = load(), Summary(began=began, watched="program")
    summary.tell_unseen()
    if settings.leaks != "ignore":
        summary.tell_kept([str((entry.taking or entry).site or UNKNOWN) for entry in kept])
    if connections.opened:
        name = redact(" ".join(sys.orig_argv[1:]))
        tested = Tested.of(name, "main", ELSEWHERE, began, Restored(Way.KEPT, 0.0, connections=connections))
        summary.note(tested, connections.told, settings.leaks)
        summary.workers.append(Worker("main", os.getpid(), ledger.total, ledger.peak))
    _finish(summary, settings)


def _finish(summary: Summary, settings: Settings) -> None:
    finish(summary, settings)
    for line in summary.lines():
        print(line, file=sys.stderr)


def _get() -> Tests | None:
    """The tests, if this process has databases: a pytest, or whoever was first, may have taken what was handed over."""
    global _tests
    if _tests is None:
        handover = find_handover(os.environ)
        if handover is not None and not handover.taken:
            _tests = Tests.of_handover(handover)
        elif wants_watch(os.environ):
            _tests = Tests.only_watched()
        elif _make is not None:
            _tests = _make()
    return _tests


def _wrap(owner: Any, name: str, around: Callable[..., Any]) -> None:  # Any: a class whose method is replaced
    original = getattr(owner, name, None)
    if original is None:  # a later unittest without this boundary: its marks are missed, its tests still run
        return

    @wraps(original)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:  # Any: as the original takes and gives
        tests = _get()
        if tests is None:
            return original(self, *args, **kwargs)
        return around(tests, original, self, *args, **kwargs)

    setattr(owner, name, wrapped)


def _run(tests: Tests, original: Any, test: Any, result: Any = None) -> Any:  # Any: see Tests.run
    return tests.run(test, lambda: original(test, result), result)


def _tear_down(tests: Tests, original: Any, test: Any) -> Any:  # Any: see Tests.run
    tests.boundaries.before_teardown()
    return original(test)


def _class_set_up(tests: Tests, original: Any, suite: Any, test: Any, result: Any) -> Any:  # Any: as above
    if test.__class__ == getattr(result, "_previousTestClass", None):
        return original(suite, test, result)
    return tests.wide(test.__class__, lambda: original(suite, test, result))


def _class_tear_down(tests: Tests, original: Any, suite: Any, test: Any, result: Any) -> Any:  # Any: as above
    previous = getattr(result, "_previousTestClass", None)
    done = original(suite, test, result)
    if previous is not None and previous != test.__class__:
        tests.boundaries.end_wide(previous)
    return done


def _module_set_up(tests: Tests, original: Any, suite: Any, test: Any, result: Any) -> Any:  # Any: as above
    module = test.__class__.__module__
    if module == suite._get_previous_module(result):
        return original(suite, test, result)
    return tests.wide(f"module {module}", lambda: original(suite, test, result))


def _module_tear_down(tests: Tests, original: Any, suite: Any, result: Any) -> Any:  # Any: as above
    module = suite._get_previous_module(result)
    done = original(suite, result)
    if module is not None:
        tests.boundaries.end_wide(f"module {module}")
        # The next module's set-up may follow at once, within the same step of unittest's.
        tests.boundaries.clear()
    return done
