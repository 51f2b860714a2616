"""Keep what a module of unittest's sets up for as long as that module's tests, whoever wrote before or within it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any
from unittest import TestResult, TestSuite

from mintdb.core.marks import MarkStack, setting_up
from mintdb.django import managed, sessions, telling
from mintdb.django.patching import wrap

Original = Callable[..., None]


def install() -> None:
    """Hook unittest's own suites, which Django's runner uses; pytest has fixtures of its own for this."""
    wrap(TestSuite, "_handleModuleFixture", _set_up_module)
    wrap(TestSuite, "_handleModuleTearDown", _tear_down_module)


def _set_up_module(original: Original, suite: Any, test: Any, result: TestResult) -> None:  # Any: unittest's insides
    """What a runner wrote is everybody's. A setUpClass may write before it calls Django's: too late for that."""
    module = type(test).__module__
    if module == suite._get_previous_module(result) or not managed.databases or sessions.in_transaction():
        original(test, result)
        return
    managed.settle_in()
    marks = _marks() if _has_set_up(module) else []
    with setting_up(marks, _owner(module), settle=telling.settle()):
        original(test, result)


def _tear_down_module(original: Original, suite: Any, result: TestResult) -> None:  # Any: see _set_up_module
    module = suite._get_previous_module(result)
    original(result)
    if managed.databases and _has_set_up(module) and not sessions.in_transaction():
        for marks in _marks():
            marks.after_teardown(_owner(module))
            marks.clear(settle=telling.settle())


def _has_set_up(module: str | None) -> bool:
    return hasattr(sys.modules.get(module or ""), "setUpModule")


def _owner(module: str | None) -> str:
    return f"module {module}"


def _marks() -> list[MarkStack]:
    return [database.pool.marks for database in managed.databases.values()]
