"""Name the apps whose models have changes that no migration makes, where a table or column is found wanting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any
from unittest import TestResult

from django.apps import apps

from mintdb.django import managed
from mintdb.django.patching import wrap

UNDEFINED = ("42P01", "42703")  # SQLSTATE: undefined_table, undefined_column
HINT = """\
models of {apps} have changes that no migration makes, so the test database has none of them
  1. python manage.py makemigrations {labels}"""


def install() -> None:
    """Hook the results of unittest's runners; pytest calls `add_hint` itself. Again is harmless."""
    wrap(TestResult, "addError", _add_error)
    wrap(TestResult, "addSubTest", _add_sub_test)


def add_hint(error: BaseException) -> None:
    """Note on a test's error what it may come from; once per error."""
    if managed.databases and any(_sqlstate(each) in UNDEFINED for each in _chain(error)) and (hint := find_hint()):
        note = f"mintdb: {hint}"
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)


@cache
def find_hint() -> str | None:
    """What to do about missing migrations; None where there are none. No database is asked."""
    from django.db.migrations.autodetector import MigrationAutodetector  # 5 ms that most runs never need
    from django.db.migrations.loader import MigrationLoader
    from django.db.migrations.state import ProjectState

    try:
        loader = MigrationLoader(None, ignore_no_migrations=True)
        detector = MigrationAutodetector(loader.project_state(), ProjectState.from_apps(apps))
        labels = sorted(detector.changes(graph=loader.graph))
    except Exception:  # noqa: BLE001  # migrations that cannot be read fail the run themselves; a hint fails nobody's
        return None
    return HINT.format(apps=", ".join(map(repr, labels)), labels=" ".join(labels)) if labels else None


def _add_error(original: Callable[..., None], _result: TestResult, test: Any, err: Any) -> None:  # Any: unittest's
    add_hint(err[1])
    original(test, err)


def _add_sub_test(
    original: Callable[..., None], _result: TestResult, test: Any, subtest: Any, err: Any
) -> None:  # Any: see _add_error
    if err is not None:
        add_hint(err[1])
    original(test, subtest, err)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _sqlstate(error: BaseException) -> str | None:
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)  # psycopg 3, psycopg2
