"""One pytest run, or one worker of it: from the exported URL to the last clone dropped."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from mintdb import clock
from mintdb.boundaries import Boundaries
from mintdb.connections import files
from mintdb.connections.facts import Opening
from mintdb.errors import MintdbError
from mintdb.handover import TAKEN, WATCH, Handover, find_handover, watch_alone, with_handed_over
from mintdb.pytest_plugin import guilt, marker
from mintdb.pytest_plugin.asleep import WORKER_NAME, claim_worker
from mintdb.pytest_plugin.leasing import OWN, Leasing
from mintdb.pytest_plugin.voice import MAIN, Voice
from mintdb.report import Summary, check, finish
from mintdb.settings import DatabaseSettings, Settings, load
from mintdb.variables import find_misleading, leased_variable, variables_for

if TYPE_CHECKING:
    from mintdb.doorman import Doorman
    from mintdb.mint import Mint

FAILED = pytest.StashKey[bool]()  # whether any phase of the test failed
ENVIRONMENT = "MINTDB_ENV"  # for what the tests start, and for an application that asks
KEY = pytest.StashKey["Run"]()
RERUN = "rerun"  # pytest-rerunfailures' outcome of a failure that another attempt follows


def prepare(config: pytest.Config) -> None:
    """Read the settings; where a database is configured or handed over, export its URL and watch over the run."""
    try:
        settings = load(config.rootpath, command_line=_command_line(config))
        if handover := find_handover(os.environ):
            settings = with_handed_over(settings, handover)
        elif WATCH in os.environ:
            settings = watch_alone(settings)
            os.environ[WATCH] = TAKEN  # for good: at this process's end nobody else is to tell the same
        check(settings.report)
        run = Run(config, settings, handover)
        if settings.configured or settings.isolation == "none":
            from mintdb.connections.hooks import watch

            run.export()
            run.mint.lead_memory()
            watch()
            run.stand_at_the_door()
    except MintdbError as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[KEY] = run
    config.pluginmanager.register(run, "mintdb-run")
    guilt.register(config)


def get_run(config: pytest.Config) -> Run:
    """The run that `prepare` has made."""
    return config.stash[KEY]


class Run:
    """The plugin's hooks for one run. A database is made ready before the first test that may connect to it."""

    def __init__(self, config: pytest.Config, settings: Settings, handover: Handover | None) -> None:
        self.config = config
        self.settings = settings
        self.handover = handover
        self.worker = config.stash.get(WORKER_NAME, None) or claim_worker(os.environ) or MAIN
        self.summary = Summary()
        self._mint: Mint | None = None
        self._doorman: Doorman | None = None
        self._saved: dict[str, str | None] = {}
        self._memory = files.memory  # of the run around this one, in the same process
        self.voice = Voice(config, self.worker)
        self.boundaries = Boundaries(lambda: self.mint, self.summary, lambda: settings.leased)
        self.leasing = Leasing(self)

    @property
    def _is_worker(self) -> bool:
        return self.worker != MAIN

    @property
    def mint(self) -> Mint:
        """The facade, made when it is first needed."""
        if self._mint is None:
            from mintdb.mint import Mint

            takes_over = self.handover and not self.handover.taken and not self._is_worker
            self._mint = Mint(
                self.settings,
                worker=self.worker,
                fresh=self._fresh_run(),
                handover=self.handover if takes_over else None,
                announce=self.voice.say,
                processes=int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1)) if self._is_worker else 1,
            )
        return self._mint

    def export(self) -> None:
        """Set the environment variables that the settings ask for; `pytest_unconfigure` puts them back."""
        exports = self.mint.exports()
        if self.handover:
            exports = variables_for(self.mint.reserve(self.handover.alias)) | exports
            exports |= self.handover.as_taken().to_environment()
        exports |= leased_variable(self.mint.urls())
        if self.settings.env:
            exports[ENVIRONMENT] = self.settings.env
        misleading = find_misleading(os.environ, embedded=self._all_embedded())
        for variable in {*misleading, *exports}:
            self._saved.setdefault(variable, os.environ.pop(variable, None))
        os.environ.update(exports)

    def _all_embedded(self) -> bool:
        return not any(database.url for database in self.settings.databases.values())

    def stand_at_the_door(self) -> None:
        """Whoever connects while modules are imported and tests collected finds the database ready."""
        from mintdb.doorman import Doorman

        names = {self.mint.reserve(alias).database: alias for alias in self.settings.leased}
        self._doorman = Doorman(names, lambda alias: self._open_all())

    def _fresh_run(self) -> str:
        """The name under which all workers of this run know which templates are new; empty without --mintdb-fresh."""
        if not self.config.known_args_namespace.mintdb_fresh:
            return ""
        run = os.environ.get("PYTEST_XDIST_TESTRUNUID") if self._is_worker else None
        return run or f"{os.getpid()}-{time.time_ns()}"

    def pytest_configure(self) -> None:
        """A name that no worker can have is refused before any is started."""
        if not _is_controller(self.config):
            return
        from mintdb.mint import Mint

        of_a_worker = Mint(self.settings, worker="gw0")
        try:
            for database in self.settings.databases.values():
                if database.name and (database.url or database.engine == "sqlite"):
                    of_a_worker.reserve(database.alias)
        except MintdbError as error:
            raise pytest.UsageError(str(error)) from None

    def pytest_report_header(self) -> list[str]:
        return [f"mintdb: {alias}: " + _origin(database) for alias, database in self.settings.databases.items()]

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        try:
            for item in items:
                alias = self.leasing.alias_of(item)
                if self.settings.isolation == "transaction" and self.mint.uses_as_it_is(alias):
                    # Whether it asks for a session or not: what it would really commit would stay.
                    item.fixturenames.insert(0, "_mintdb_transactions")  # type: ignore[attr-defined]  # of a function
        except MintdbError as error:
            raise self._refused(error) from None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Make the configured databases ready. Collecting alone never comes here, nor does xdist's controller."""
        if session.config.option.collectonly or not session.items or _is_controller(session.config):
            return
        if self._doorman is not None:
            self._doorman.leave()  # mintdb's own connections must not come to its door
        try:
            self._open_all()
            self.boundaries.open()
        except MintdbError as error:
            raise self._refused(error) from None

    def _refused(self, error: MintdbError) -> pytest.UsageError:
        """What ends the run before its first test. xdist would show its own surprise: its controller tells it."""
        if self._is_worker:
            self.config.workeroutput["mintdb_refused"] = str(error)  # type: ignore[attr-defined]  # xdist's
        return pytest.UsageError(str(error))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Iterator[Any]:
        """Lease every configured database before the first fixture is set up."""
        try:
            self.boundaries.begin(item.nodeid)
        except Exception as error:  # noqa: BLE001  # a driver's for one
            # Only what fails within the set-up of the test itself leaves other plugins as they expect to be.
            item.setup = partial(self._fail, item, error)  # type: ignore[method-assign]
        # The last thing that pytest does to a test before it tears wider fixtures down: these must not meet, and wait
        # for, a transaction that the test has left open.
        item.teardown = partial(self._end_test, item, item.teardown)  # type: ignore[method-assign]
        with self.boundaries.phase(Opening(item.nodeid, "setup")):
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[Any]:
        by_default = self.boundaries.rewinds_examples
        with (
            self.boundaries.phase(Opening(item.nodeid, "call")),
            marker.examples(item, self.settings, by_default=by_default),
        ):
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[Any]:
        """Put the databases back once more if wider fixtures were torn down, and another test follows."""
        self.boundaries.before_teardown()
        try:
            fixtures = tuple(getattr(item, "fixturenames", ()))  # any of them may be at work now
            with self.boundaries.phase(Opening(item.nodeid, "teardown", fixtures=fixtures)):
                result = yield
        finally:
            self._end(item)  # where the set-up never came to the test itself
        try:
            self.boundaries.clear(more_tests=nextitem is not None)
        except MintdbError as caught:
            error = caught
        else:
            return result
        raise self._failure(item, error)

    def _end_test(self, item: pytest.Item, teardown: Callable[[], None]) -> None:
        """Put the databases back after the test's own clean-up; under `leaks = "error"` the guilty test fails."""
        try:
            teardown()
        finally:
            reports = self._end(item)
        guilt.fail(item, reports)

    def _end(self, item: pytest.Item) -> list[str]:
        def keep(alias: str) -> bool:
            return self.is_to_keep(item) and alias != item.stash.get(OWN, None)

        try:
            return self.boundaries.end(item.nodeid, marker.read(item, self.settings).leaks, keep=keep)
        except MintdbError as caught:
            error = caught
        raise self._failure(item, error)  # out here, where a failure of the test's own clean-up is still told with it

    def is_to_keep(self, item: pytest.Item) -> bool:
        """Whether what a test has left is to be looked at."""
        return bool(self.config.option.mintdb_keep) and item.stash.get(FAILED, False)

    def _fail(self, item: pytest.Item, error: Exception) -> NoReturn:
        vars(item).pop("setup", None)  # whoever runs the test once more begins anew
        raise self._failure(item, error) if isinstance(error, MintdbError) else error

    def _failure(self, item: pytest.Item, error: MintdbError) -> BaseException:
        """What tells a test what happened, not where in mintdb; where no later one can go better, the run ends."""
        if error.is_final:
            item.session.shouldfail = str(error).splitlines()[0]
        return pytest.fail.Exception(str(error), pytrace=False)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.failed:
            item.stash[FAILED] = True
        self.voice.send(report)
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Before a worker's first result comes what it has made ready. Of what is run again, pytest shows nothing."""
        self.voice.hear(report)
        if report.outcome == RERUN:
            self.summary.tell_after_all(report.nodeid)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> Iterator[Any]:
        """What a fixture wider than a test writes gets a mark, and lives as long as the fixture."""
        wide = _is_wide(request)
        scope = fixturedef.scope if wide else "function"
        with self.boundaries.phase(Opening(request.node.nodeid or None, "setup", fixturedef.argname, scope)):
            if not wide or not self.boundaries.leases or self.settings.isolation == "none":
                return (yield)
            with self.boundaries.wide(fixturedef):
                return (yield)

    def pytest_fixture_post_finalizer(self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> None:
        if _is_wide(request) and self._mint is not None:
            self.boundaries.end_wide(fixturedef)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Leave, once pytest has torn down what an interrupt left standing."""
        if self._mint is not None:
            self.boundaries.close()
        if self._is_worker:
            self.config.workeroutput["mintdb"] = self.summary.to_json()  # type: ignore[attr-defined]  # xdist's

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:  # Any: xdist's WorkerController
        """Add up what a worker has counted."""
        if counted := getattr(node, "workeroutput", {}).get("mintdb"):
            self.summary.add(counted)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        finish(self.summary, self.settings)
        for line in self.summary.lines():
            terminalreporter.write_line(line, **_markup(line))

    def pytest_unconfigure(self) -> None:
        files.lead_memory_to(self._memory)
        if self._doorman is not None:
            self._doorman.leave()
        for variable, value in self._saved.items():
            if value is None:
                os.environ.pop(variable, None)
            else:
                os.environ[variable] = value

    def _open_all(self) -> None:
        for alias in self.settings.leased:
            self._open(alias)

    def _open(self, alias: str) -> None:
        if self.mint.is_open(alias):
            return
        started = clock.monotonic()
        opened = self.mint.open(alias)
        if self.mint.uses_as_it_is(alias):
            return  # there is no template to speak of, and what there is to say was said
        built, where = opened.template.built, f" in {self.worker}" if self._is_worker else ""
        line = (
            f"{alias}: {opened.server.engine} {opened.server.version} ready{where} in"
            f" {clock.monotonic() - started:.2f} s, template {'built' if built else 'reused'}"
        )
        self.voice.ready(alias, line, built=built)


def _is_wide(request: pytest.FixtureRequest) -> bool:
    """Whether a fixture may outlive the test. One of a class's scope ends with a test that is in no class."""
    return not isinstance(request.node, pytest.Item)


def _origin(database: DatabaseSettings) -> str:
    if database.mirror:
        return f"mirror of {database.mirror}"
    return f"{database.engine}, {'external' if database.url else 'embedded'}"


def _command_line(config: pytest.Config) -> dict[str, object]:
    options = config.known_args_namespace
    return {name: getattr(options, f"mintdb_{name}") for name in ("url", "env", "isolation", "leaks", "report")}


def _markup(line: str) -> dict[str, bool]:
    return {"yellow": True} if line.startswith("\nLEAK") else {}


def _is_controller(config: pytest.Config) -> bool:
    return bool(getattr(config.option, "tx", None)) and not hasattr(config, "workerinput")
