"""Let marks follow pytest's fixtures on Django's test databases too, and tell at the end what became of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from mintdb.connections.facts import Opening
from mintdb.connections.ledger import ledger
from mintdb.core.clones import ClonePool
from mintdb.core.marks import setting_up
from mintdb.django import managed, telling
from mintdb.pytest_plugin import guilt, marker
from mintdb.settings import load

# Fixtures that pytest and pytest-django make for every test or class: one calls setUpClass, which Django's test cases
# see to, the others do not write. To look whether they did would cost every test a look at the WAL.
SETS_UP_CLASS = "_unittest_setUpClass"
PLUMBING = (SETS_UP_CLASS, "_django_")


def join(config: pytest.Config) -> None:
    """Watch over the run, whose settings have `mintdb.django` in INSTALLED_APPS."""
    known = config.option
    telling.gathers = True
    telling.policy = known.mintdb_leaks
    managed.always_fresh = known.mintdb_fresh
    managed.keeps = bool(getattr(known, "reuse_db", False))  # pytest-django's; with --create-db it tells Django no
    config.pluginmanager.register(DjangoRun(config), "mintdb-django")
    guilt.register(config)


class DjangoRun:
    """The hooks for one run, or one worker of it."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.settings = load(config.rootpath)
        self._wide_ended = False  # whether a wide fixture was torn down since the last test

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[Any]:
        """A marker or the setting may want each of Hypothesis's examples put back; a transaction rolls them back."""
        commits = any(database.lease for database in managed.databases.values()) and not _in_transaction()
        with marker.examples(item, self.settings, by_default=commits and self.settings.rewind_examples):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> Iterator[Any]:
        """What a fixture wider than a test writes lives as long as the fixture."""
        if not _is_wide(fixturedef):
            if fixturedef.argname.startswith(SETS_UP_CLASS) and not _in_transaction():
                managed.settle_in()
            return (yield)
        before = ledger.enter(Opening(request.node.nodeid or None, "setup", fixturedef.argname, fixturedef.scope))
        try:
            with _marked(fixturedef):
                return (yield)
        finally:
            ledger.enter(before)

    def pytest_fixture_post_finalizer(self, fixturedef: pytest.FixtureDef[Any]) -> None:
        if _is_wide(fixturedef):
            self._wide_ended = True
            for pool in _pools():
                pool.marks.after_teardown(fixturedef)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[Any]:
        """Under `leaks = "error"` the guilty test fails; what wider fixtures have left is undone."""
        result = yield
        if self._wide_ended and nextitem is not None and not _in_transaction():
            for pool in _pools():
                pool.marks.clear(settle=telling.settle())
        self._wide_ended = False
        guilt.fail(item, telling.guilty())
        return result

    def pytest_runtest_makereport(self, call: pytest.CallInfo[None]) -> None:
        """A query that failed for want of a table or column is told what that may come from."""
        # After pytest's own for unittest's test cases, which finds their errors, before the one that writes reports.
        if call.excinfo is not None and managed.databases:
            from mintdb.django import missing

            missing.add_hint(call.excinfo.value)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Hand over what was counted: to the run of the settings, if there is one, and to xdist's controller."""
        from mintdb.pytest_plugin.run import KEY

        summary = telling.summary
        summary.tell_unseen()
        if run := self.config.stash.get(KEY, None):
            run.summary.add(summary.to_json())
            summary = run.summary
        if hasattr(self.config, "workerinput"):
            self.config.workeroutput["mintdb"] = summary.to_json()  # type: ignore[attr-defined]  # xdist's

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        from mintdb.pytest_plugin.run import KEY

        if KEY not in self.config.stash:
            telling.summary.tell_sprawl(telling.leaks_policy())
            for line in telling.summary.lines():
                terminalreporter.write_line(line)


def _is_wide(fixturedef: pytest.FixtureDef[Any]) -> bool:
    return fixturedef.scope != "function" and not fixturedef.argname.startswith(PLUMBING)


@contextmanager
def _marked(owner: object) -> Iterator[None]:
    """What is written in the block belongs to `owner`; within a transaction, that belongs to whoever began it."""
    pools = [] if _in_transaction() else _pools()
    with setting_up([pool.marks for pool in pools], owner, settle=telling.settle()):
        yield


def _pools() -> list[ClonePool]:
    return [database.pool for database in managed.databases.values()]


def _in_transaction() -> bool:
    from mintdb.django import sessions

    return bool(managed.databases) and sessions.in_transaction()
