"""Every example of Hypothesis, and every run of a state machine, starts from the same database.

That is the state when the test function begins: what fixtures and `setUp` wrote is there for each example, and what one
example wrote is there for none. Generating, shrinking, replaying and explicit examples are alike in that.

`rewind_examples` decorates one test; for a whole suite the setting and the marker of that name do the same.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar, cast

from hypothesis.control import current_build_context, currently_in_test_context
from hypothesis.stateful import RuleBasedStateMachine

from mintdb import clock
from mintdb.core.lease import Lease, held
from mintdb.errors import LeaseError, SettingsError
from mintdb.facts import dataclass

__all__ = ["rewind_examples"]

Test = Callable[..., Any]  # Any: a test takes and returns what it likes
Target = TypeVar("Target", bound=Test | type)
DONE = "_mintdb_rewinds"  # an attribute of what is rewound already
OURS = "mintdb: rewind"  # among the times that Hypothesis does not count as the test's


class NothingToRewind(LeaseError):
    """Examples are to be rewound, but the test that runs has no database of mintdb's. Facts: test."""

    text = """\
{test} has no database whose examples could be rewound
  1. configure one:  [tool.mintdb.databases.default]
  2. or ask for the fixture `mintdb`, or use  with mintdb.open(…) as mint, mint.lease():"""


class NoExamples(SettingsError):
    """A class was decorated in which nothing runs examples. Facts: name."""

    text = """\
rewind_examples found no @given in class {name!r}, and it is no RuleBasedStateMachine
  1. decorate the functions, or put it above the class whose methods have @given"""


def rewind_examples(target: Target) -> Target:
    """Start each example from the database as it is when the test begins.

    For a test with `@given`, above or below it and the other decorators; for a test class, all of whose `@given`
    methods it means; for a RuleBasedStateMachine, each of whose runs is an example; for a coroutine function, and for
    what Schemathesis makes tests of. Connections that an example leaves open are reported and ended as a test's are.

    The time of putting back does not count against the deadline. Where the last replay of a failure ends, its data
    stays until the test ends, so that `--mintdb-keep` keeps what failed. Raises NoExamples, and in the test
    NothingToRewind, or UncommittedWrites where a fixture holds a transaction that has written.
    """
    if isinstance(target, type):
        _decorate_class(target)
        return target
    return cast(Target, _decorate(target))


@contextmanager
def rewinding(test: Test) -> Iterator[Test]:
    """Gives what to call instead of a test, for as long as the block lasts: each of its examples is then put back.

    `test` is what a runner has found: a function or a bound method, with `@given` or without, or a state machine's
    `runTest`. One that is decorated is left to its decorator, and one without examples is left alone. The call raises
    NothingToRewind and UncommittedWrites.
    """
    function = test.func if isinstance(test, functools.partial) else test  # Schemathesis, for a method
    function = getattr(function, "__func__", function)
    machine = getattr(function, "_hypothesis_state_machine_class", None)
    handle = getattr(function, "hypothesis", None)
    if machine is not None and not hasattr(machine, DONE):
        with _rewinding_machine(machine):
            yield test
    elif handle is not None and not hasattr(function, DONE) and not hasattr(handle.inner_test, DONE):
        before = handle.inner_test
        try:
            yield _around_these(test, function)
        finally:
            handle.inner_test = before  # it may be the function of other tests, too
    else:
        yield test


def _around_these(test: Test, function: Test) -> Test:
    """The test with its mark taken when it is called, which is after what the runner calls before it."""
    handle: Any = vars(function)["hypothesis"]  # Any: Hypothesis does not type it
    begun: Examples | None = None

    def begin_and_run(*args: Any, **kwargs: Any) -> Any:  # Any: as the test takes and gives
        nonlocal begun
        begun = Examples.begin(function)
        return test(*args, **kwargs)

    handle.inner_test = _around_each(handle.inner_test, lambda: begun or Examples.of(function))
    return _dressed_as(function, begin_and_run)


@contextmanager
def _rewinding_machine(machine: type[RuleBasedStateMachine]) -> Iterator[None]:
    own = {name: vars(machine)[name] for name in ("__init__", "teardown") if name in vars(machine)}
    _decorate_machine(machine)
    try:
        yield
    finally:
        for name in ("__init__", "teardown", DONE):
            delattr(machine, name)
        for name, method in own.items():
            setattr(machine, name, method)


def _decorate_class(owner: type) -> None:
    if issubclass(owner, RuleBasedStateMachine):
        _decorate_machine(owner)
        return
    tests = {name: found for name in dir(owner) if hasattr(found := getattr(owner, name), "hypothesis")}
    if not tests:
        raise NoExamples(name=owner.__qualname__)
    for name, test in tests.items():
        setattr(owner, name, _decorate(test))


def _decorate(test: Test) -> Test:
    if hasattr(test, DONE):
        return test
    if not hasattr(test, "hypothesis"):  # below @given, or something that will be given examples when it is collected
        return _around_each(test, lambda: Examples.of(test))
    handle = vars(test)["hypothesis"]
    inner = handle.inner_test
    handle.inner_test = _around_each(inner, lambda: Examples.of(inner))
    return _around_all(test)


def _around_all(test: Test) -> Test:
    """The test with its mark taken before the first example is drawn: strategies may write, too."""

    def begin_and_run(*args: Any, **kwargs: Any) -> Any:  # Any: as the test takes and gives
        token = _running.set(Examples.begin(test))
        try:
            return test(*args, **kwargs)
        finally:
            _running.reset(token)

    inner = inspect.unwrap(vars(test)["hypothesis"].inner_test)
    vars(test).update({DONE: True, "__signature__": inspect.signature(test), "__wrapped__": inner})
    return _dressed_as(test, begin_and_run)


def _dressed_as(test: Test, around: Test) -> Test:
    """One dictionary for both: what @settings, @example, @seed or a plugin say must reach Hypothesis's own function."""
    around.__dict__ = test.__dict__
    for name in ("__name__", "__qualname__", "__module__", "__doc__"):
        setattr(around, name, getattr(test, name))
    return around


def _around_each(test: Test, find: Callable[[], Examples]) -> Test:
    """The function that runs one example, put back after each of those that `find` finds."""
    if hasattr(test, DONE):
        return test

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> Any:  # Any: as the test takes and gives
        examples = find()
        examples.begin_one()
        failed = True
        try:
            result = test(*args, **kwargs)
            failed = False
        finally:
            examples.end_one(failed=failed)
        return result

    @functools.wraps(test)
    async def run_async(*args: Any, **kwargs: Any) -> Any:  # Any: as the test takes and gives
        examples = find()
        await _aside(examples.begin_one)
        failed = True
        try:
            result = await test(*args, **kwargs)
            failed = False
        finally:
            await _aside(functools.partial(examples.end_one, failed=failed))
        return result

    around = run_async if inspect.iscoroutinefunction(test) else run
    setattr(around, DONE, True)
    return around


def _decorate_machine(machine: type[RuleBasedStateMachine]) -> None:
    """A run begins before its machine is made, and ends when it has been torn down."""
    if hasattr(machine, DONE):  # or what it inherits from: its __init__ and teardown are called, too
        return
    set_up, tear_down = machine.__init__, machine.teardown

    @functools.wraps(set_up)
    def begin(self: RuleBasedStateMachine, *args: Any, **kwargs: Any) -> None:  # Any: as the machine takes them
        Examples.of(machine).begin_one()
        set_up(self, *args, **kwargs)

    @functools.wraps(tear_down)
    def end(self: RuleBasedStateMachine) -> None:
        failed = sys.exc_info()[0] is not None  # Hypothesis tears down on the way out of a failure, too
        try:
            tear_down(self)
        finally:
            Examples.of(machine).end_one(failed=failed)

    for name, method in {"__init__": begin, "teardown": end, DONE: True}.items():
        setattr(machine, name, method)


@dataclass
class Examples:
    """The examples of one test, and the leases that are rewound for each."""

    test: object
    leases: Sequence[Lease]
    half_way: bool = False  # an example has begun and was not put back

    @classmethod
    def begin(cls, test: Test | type) -> Examples:
        """What there is now, is there for every example. Raises NothingToRewind and UncommittedWrites."""
        global _latest
        leases = held()
        if not leases:
            raise NothingToRewind(test=test.__name__)
        if _latest is not None and _latest.half_way and _latest.leases == leases:
            _latest._rewind()  # what an earlier failure in the same test has left
        for lease in leases:
            lease.mark()
        _latest = cls(test, leases)
        return _latest

    @classmethod
    def of(cls, test: Test | type) -> Examples:
        """The examples that run now; those of a function that Hypothesis only met later begin with the first."""
        if running := _running.get():
            return running
        is_known = _latest is not None and _latest.test is test and _latest.leases == held()
        return _latest if is_known and _latest else cls.begin(test)

    def begin_one(self) -> None:
        """An example begins; what its arguments have written by being drawn is part of it."""
        if self.half_way:
            self._rewind()
        self.half_way = True

    def end_one(self, *, failed: bool) -> None:
        """An example has ended."""
        if failed and currently_in_test_context() and current_build_context().is_final:
            return  # what people look at, or keep
        self._rewind()
        self.half_way = False

    def _rewind(self) -> None:
        started = clock.monotonic()
        for lease in self.leases:
            lease.rewind()
        if currently_in_test_context():
            # Hypothesis takes the time of drawing off the time of the test, which has a deadline.
            times = current_build_context().data.draw_times
            times[OURS] = times.get(OURS, 0.0) + clock.monotonic() - started


_running: ContextVar[Examples | None] = ContextVar("mintdb examples", default=None)
_latest: Examples | None = None  # of the test that runs, or ran last


async def _aside(action: Callable[[], None]) -> None:
    """Do it in a thread, so that what runs on asyncio's loop can come to its end meanwhile."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:  # another kind of loop
        action()
    else:
        await asyncio.to_thread(action)
