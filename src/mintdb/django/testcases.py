"""Lease the databases to each of Django's test cases, and put them back after it instead of flushing them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test.testcases import SimpleTestCase, TestCase, TransactionTestCase

from mintdb.connections.facts import Opening
from mintdb.connections.ledger import ledger
from mintdb.django import managed, mirrors, places, sessions, suites, telling
from mintdb.django.errors import ConnectionsLeftOpen
from mintdb.django.patching import wrap
from mintdb.examples import examples_of

Original = Callable[..., Any]  # Any: Django's methods are untyped
CLASS_ATOMICS = "cls_atomics"  # set by TestCase.setUpClass: transactions that stay open from test to test


def install() -> None:
    """Hook the test cases; again is harmless. Where no database is mintdb's, they do what they did."""
    suites.install()
    wrap(SimpleTestCase, "setUpClass", _set_up_class)
    wrap(SimpleTestCase, "_setup_and_call", _setup_and_call)
    wrap(TransactionTestCase, "setUpClass", _set_up_transaction_class)
    wrap(TransactionTestCase, "_pre_setup", _pre_setup)
    wrap(TransactionTestCase, "_reset_sequences", _reset_sequences)
    wrap(TransactionTestCase, "_fixture_teardown", _fixture_teardown)
    wrap(TransactionTestCase, "_should_reload_connections", _should_reload_connections)
    wrap(TransactionTestCase, "_post_teardown", _post_teardown)
    wrap(BaseDatabaseWrapper, "close_if_unusable_or_obsolete", _close_if_unusable_or_obsolete)


_eager = False  # whether setUpClass itself prepares the first test, as it does since Django 5.2
_running = ""  # the test that runs now, as its runner calls it


def _set_up_class(original: Original, cls: Any) -> None:  # Any: a test class of Django's
    if managed.databases and issubclass(cls, TransactionTestCase):
        if not sessions.in_transaction():
            managed.settle_in()
        before = ledger.enter(Opening(_name(cls), "setup", "setUpClass", "class"))
        cls.addClassCleanup(_close_class, cls, before)
        mirrors.share(set(connections if cls.databases == "__all__" else cls.databases))
    original()


def _set_up_transaction_class(original: Original, cls: Any) -> None:  # Any: see _set_up_class
    global _eager
    _eager = True
    try:
        original()
    finally:
        _eager = False


def _close_class(cls: Any, before: Opening | None) -> None:  # Any: see _set_up_class
    """After tearDownClass: what a TestCase held in its class's transactions is rolled back by now."""
    mirrors.part()
    _end(_name(cls), anew=False)
    ledger.enter(before)
    _fail_the_guilty()


def _await_end_of_class(cls: Any) -> None:  # Any: see _set_up_class
    """A class whose setUpClass does not call Django's commits what its tests share, as django-tenants' do."""
    if issubclass(cls, TestCase) and not _is_made_by_pytest_django(cls):
        cleanups = cls._class_cleanups
        if not any(each[0] in (_close_class, _close_unprepared) for each in cleanups):
            cleanups.insert(0, (_close_unprepared, (cls,), {}))  # the last to run, which addClassCleanup cannot say


def _close_unprepared(cls: Any) -> None:  # Any: see _set_up_class
    _close_class(cls, None)


def _lasts(cls: Any) -> bool:  # Any: see _set_up_class
    """Whether what the class has set up is there from test to test, so that it is put back after the last of them."""
    return CLASS_ATOMICS in vars(cls) or any(each[0] is _close_unprepared for each in cls._class_cleanups)


def _setup_and_call(original: Original, test: Any, result: Any, debug: bool = False) -> None:  # Any: unittest's
    """One test of unittest's kind, from its set-up to its end."""
    global _running
    _running = name = telling.test_name(test.id())
    before = ledger.enter(Opening(name, "call"))
    for database in managed.databases.values():
        database.rename(name)
    commits = isinstance(test, TransactionTestCase) and not isinstance(test, TestCase)
    rewound = bool(managed.databases) and commits and places.run_settings().rewind_examples
    try:
        with examples_of(test, rewound=rewound):
            original(result, debug)
    finally:
        _running = ""
        ledger.enter(before)


def _pre_setup(original: Original, test: Any) -> None:  # Any: a test, or its class since Django 5.2
    cls = test if isinstance(test, type) else type(test)
    is_class = test is cls or test._testMethodName == "__init__"
    name = _running or (_name(cls) if is_class else telling.test_name(test.id()))
    for database in managed.databases.values():
        if not issubclass(cls, TestCase):
            database.go_back()
        database.begin(name)
    if managed.databases:
        _await_end_of_class(cls)
        sessions.drop_ended()
        sessions.idle.lend()
    if not _eager or _is_made_by_pytest_django(cls):
        ledger.enter(Opening(name, "call"))
    original()


def _fixture_teardown(original: Original, test: Any) -> None:  # Any: see _setup_and_call
    """Flush what is not mintdb's."""
    others = {alias for alias in test._databases_names(include_mirrors=False) if not _is_managed(alias)}
    if not managed.databases:
        original()
    elif others:
        test.databases = others
        try:
            original()
        finally:
            del test.databases


def _reset_sequences(original: Original, *args: Any) -> None:  # Any: with self before Django 5.2
    """They start over with every rewind; but not in a database that was kept from earlier runs."""
    alias = args[-1]
    database = managed.databases.get(alias)
    if database is None:
        original(*args[-1:])
    elif database.adopted:
        sessions.restart_sequences(connections[alias])


def _should_reload_connections(original: Original, test: Any) -> bool:  # Any: see _setup_and_call
    """Closing them all is what `sessions.make_new` does better."""
    return not managed.databases and bool(original())


def _post_teardown(original: Original, test: Any) -> None:  # Any: see _setup_and_call
    try:
        original()
    finally:
        if not _lasts(type(test)):
            # Whatever such a test did lay within its transaction; a class of the user's may have done more.
            is_rolled_back = isinstance(test, TestCase) and _is_made_by_pytest_django(type(test))
            rolled_back = sessions.backends() if is_rolled_back else ()
            _end(telling.test_name(test.id()), anew=not isinstance(test, TestCase), rolled_back=rolled_back)
    _fail_the_guilty()


def _fail_the_guilty() -> None:
    """Under `leaks = "error"`; pytest does it by itself, once all of the test's fixtures are torn down."""
    if not telling.gathers and (reports := telling.guilty()):
        raise ConnectionsLeftOpen(report="\n".join(reports))


def _end(test: str, *, anew: bool, rolled_back: Collection[int] = ()) -> None:
    """Put every leased database back."""
    leased = [database for database in managed.databases.values() if database.lease is not None]
    if not leased:
        return
    sessions.close_executors()
    if anew:
        sessions.make_new(alias for alias in connections if _is_managed(alias))
    with sessions.idle.returned():
        for database in leased:
            if restored := database.end(rolled_back):
                telling.count(restored, test, database.alias, database.began)
    sessions.idle.lent = False


def _close_if_unusable_or_obsolete(original: Original, connection: Any) -> None:  # Any: Django's wrapper
    """A request's signals must not close the connection that holds the test's own transaction."""
    if not any(getattr(atomic, "_from_testcase", False) for atomic in connection.atomic_blocks):
        original()


def _is_managed(alias: str) -> bool:
    return alias in managed.databases or mirrors.is_mirror(connections[alias])


def _is_made_by_pytest_django(cls: type) -> bool:
    """Whether it is a class for the one test that asks for a database fixture."""
    return cls.__module__.startswith("pytest_django")


def _name(cls: type) -> str:
    return telling.test_name(f"{cls.__module__}.{cls.__qualname__}")
