"""The pytest plugin: it exports URLs before anything is imported, and puts the database back after every test.

Loaded by entry point into every pytest run, so it imports nothing that is not needed there and then: no driver, no
framework, and of mintdb only what is used. Without configuration it does nothing until a fixture is asked for.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mintdb.core.lease import Lease
    from mintdb.pytest_plugin.run import Run

pytest_plugins = ("mintdb.pytest_plugin.fixtures",)
MARKER = (
    'mintdb(database="default", isolation=None, leaks=None, rewind_examples=None): which database a test leases, how it'
    " is put back, what a connection that is left open means, and whether each of Hypothesis's examples is put back"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options; each stands above the MINTDB_* variable and the setting of the same name."""
    group = parser.getgroup("mintdb", "a real database in mint condition for every test")
    group.addoption("--mintdb-url", metavar="URL", help="use the server that this URL names, not an embedded one")
    group.addoption("--mintdb-env", metavar="NAME", help="the environment of the settings file whose table counts")
    matrix = "run the suite once for each of these environments or engines (a,b), and say where the outcomes differ"
    group.addoption("--mintdb-matrix", metavar="NAMES", help=matrix)
    group.addoption("--mintdb-isolation", metavar="HOW", help="rewind (the default), clone, transaction or none")
    group.addoption("--mintdb-leaks", metavar="HOW", help="warn (the default), error (the guilty test fails) or ignore")
    group.addoption("--mintdb-fresh", action="store_true", help="build the templates anew")
    report = "write a report of connections and put-backs, as .json or as an .html page; may be given twice"
    group.addoption("--mintdb-report", metavar="FILE", action="append", help=report)
    group.addoption("--mintdb-keep", action="store_true", help="keep a failed test's database and say how to open it")


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Export the URLs, and wake the connection hooks, before any conftest or application module is imported."""
    from mintdb.pytest_plugin.asleep import WORKER_NAME, claim_worker, is_wanted

    if worker := claim_worker(os.environ):
        early_config.stash[WORKER_NAME] = worker
    else:
        _join_matrix(early_config)
    if is_wanted(early_config.rootpath, vars(early_config.known_args_namespace), os.environ):
        from mintdb.pytest_plugin.run import prepare

        prepare(early_config)


def _join_matrix(config: pytest.Config) -> None:
    """Run the whole matrix in processes of their own, and end; or write down what becomes of this run of one."""
    if "MINTDB_OUTCOMES" in os.environ:
        from mintdb.pytest_plugin.outcomes import Outcomes, find_file

        if file := find_file(os.environ):
            config.pluginmanager.register(Outcomes(file), "mintdb-outcomes")
    elif names := config.known_args_namespace.mintdb_matrix:
        from mintdb.errors import MintdbError
        from mintdb.pytest_plugin.matrix import run_all

        if capture := config.pluginmanager.get_plugin("capturemanager"):
            capture.suspend_global_capture(in_=True)  # nothing runs here
        try:
            code = run_all(names, config.invocation_params.args, config.rootpath)
        except MintdbError as error:
            raise pytest.UsageError(str(error)) from None
        raise SystemExit(code)  # before any module of the application is imported here


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)


def pytest_sessionstart(session: pytest.Session) -> None:
    """By now whoever sets Django up has done it."""
    if "mintdb.django.creation" in sys.modules:
        from mintdb.pytest_plugin.django import join

        join(session.config)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:  # Any: xdist's WorkerController
    """What stopped a worker stops the run, in the same words.

    Workers of a run that configured nothing may have leased databases; the controller learns of it here.
    """
    output = getattr(node, "workeroutput", {})
    if "mintdb_refused" in output:
        raise pytest.UsageError(output["mintdb_refused"])
    if "mintdb" in output:
        from mintdb.pytest_plugin.run import KEY, get_run, prepare

        if KEY not in node.config.stash:
            prepare(node.config)
            get_run(node.config).pytest_testnodedown(node)


@pytest.fixture
def mintdb(request: pytest.FixtureRequest) -> Iterator[Lease]:
    """The test's lease of a database in mint condition: `.url`, `.url_for(form)`, `.params`, `.connect()`."""
    yield from _run(request).leasing.lease_for(request.node)


@pytest.fixture
def mintdb_lease(request: pytest.FixtureRequest) -> Iterator[Callable[..., Lease]]:
    """A factory of further leases: `mintdb_lease("default")` is another clone, gone at the end of the test."""
    yield from _run(request).leasing.further_leases(request.node)


def _run(request: Any) -> Run:  # Any: FixtureRequest is generic in later versions of pytest
    from mintdb.pytest_plugin.run import KEY, get_run, prepare

    if KEY not in request.config.stash:  # nothing was configured, and a test asks for a database all the same
        prepare(request.config)
    return get_run(request.config)
