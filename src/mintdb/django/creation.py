"""Let Django's test databases come from templates: what its runners ask of DatabaseCreation, answered by mintdb."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from inspect import signature
from typing import Any

from django.conf import settings
from django.db import connections
from django.db.backends.base.creation import BaseDatabaseCreation

from mintdb.django import managed, mirrors, places, serialized, telling
from mintdb.django.errors import StaleDatabaseHeld, TestNameIsRealName
from mintdb.django.holders import find_holders
from mintdb.django.patching import wrap
from mintdb.engines.postgresql.errors import DatabaseNotOurs, PrivilegeMissing
from mintdb.errors import MintdbError
from mintdb.facts import dataclass
from mintdb.report.words import describe

Original = Callable[..., Any]  # Any: Django's methods are untyped
OWN_SUITE = "RUNNING_DJANGOS_TEST_SUITE"  # a variable: Django's own tests mark what an engine cannot do
UTF8 = "UTF8"  # what templates are encoded in
WORKER_PATIENCE = 10.0  # seconds; the server notices within milliseconds that a client is gone


def install() -> None:
    """Hook the creation of test databases; again is harmless."""
    from django.db.backends.postgresql.creation import DatabaseCreation

    wrap(DatabaseCreation, "create_test_db", _create_test_db)
    wrap(DatabaseCreation, "clone_test_db", _clone_test_db)
    wrap(DatabaseCreation, "destroy_test_db", _destroy_test_db)
    wrap(DatabaseCreation, "setup_worker_connection", _setup_worker_connection)
    wrap(BaseDatabaseCreation, "create_test_db", _create_elsewhere)
    serialized.install(DatabaseCreation)


@dataclass(frozen=True)
class Wanted:
    """How a runner asked for a test database."""

    verbosity: int
    autoclobber: bool  # replace an old one without asking
    keepdb: bool
    serialize: bool

    @classmethod
    def read(cls, original: Original, args: Sequence[Any], kwargs: dict[str, Any]) -> Wanted:  # Any: a runner's
        """The arguments by name: Django 6 has one less."""
        bound = signature(original).bind(*args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        return cls(given["verbosity"], given["autoclobber"], given["keepdb"], given.get("serialize", False))


def _create_test_db(original: Original, creation: Any, *args: Any, **kwargs: Any) -> str:  # Any: as Django has it
    connection, wanted = creation.connection, Wanted.read(original, args, kwargs)
    if connections[connection.alias] is not connection:  # a copy that somebody plays with
        return str(original(*args, **kwargs))
    from mintdb.django import missing, testcases

    testcases.install()
    missing.install()
    name = creation._get_test_db_name()
    _refuse_real_name(connection, name)
    if same := managed.find_same(connection, name):
        telling.say(f"alias {connection.alias!r} is the same database as {same.alias!r}")
        _point_to(connection, name)
    elif _is_made_by_django(connection, wanted):
        _create_as_django(creation, name, wanted, lambda: original(*args, **kwargs))
    else:
        _tell(creation, "Creating", name, wanted.verbosity)
        _create(creation, name, wanted)
        _point_to(connection, name)
        if wanted.serialize:
            connection._test_serialized_contents = serialized.Later()
    connection.ensure_connection()
    if os.environ.get(OWN_SUITE) == "true":
        creation.mark_expected_failures_and_skips()
    return str(name)


def _clone_test_db(original: Original, creation: Any, *args: Any, **kwargs: Any) -> None:  # Any: see _create_test_db
    """Each worker of `--parallel` clones the template itself; only what Django has made is Django's to clone."""
    database = _managed(creation)
    if database is None or database.adopted:
        if database is not None:
            database.close()  # CREATE DATABASE … TEMPLATE wants to be alone
        original(*args, **kwargs)


def _destroy_test_db(original: Original, creation: Any, *args: Any, **kwargs: Any) -> None:  # Any: see _create_test_db
    """It always goes, whoever is still connected; who of other processes was is told."""
    bound = signature(original).bind(*args, **kwargs)
    bound.apply_defaults()
    given, database = bound.arguments, _managed(creation)
    if given["suffix"] is not None and database is not None and not database.adopted:
        _drop_worker(creation, database, creation.get_test_db_clone_settings(given["suffix"])["NAME"])
    elif database is not None and given["suffix"] is None:
        _leave(creation, database)
        if database.adopted:
            original(*args, **kwargs)
        else:
            _tell(creation, "Destroying", database.name, given["verbosity"])
            _point_to(creation.connection, given["old_database_name"])
        if not managed.databases:
            telling.finish()
    elif mirrors.is_mirror(creation.connection):
        _point_to(creation.connection, given["old_database_name"])
    else:
        original(*args, **kwargs)


def _setup_worker_connection(original: Original, creation: Any, _worker_id: Any) -> None:  # Any: see _create_test_db
    """This process is a worker of `--parallel`: its database is its own from here on."""
    original(_worker_id)
    from mintdb.django import testcases

    testcases.install()
    connection, name = creation.connection, creation.connection.settings_dict["NAME"]
    if managed.find_same(connection, name):
        return
    try:
        managed.new(connection, name)
    except DatabaseNotOurs:
        managed.adopt(connection, name)
    except Exception as error:  # noqa: BLE001  # raised here, it would make multiprocessing start workers for ever
        telling.say(f"worker {_worker_id} has no database: {error}")


def _create_elsewhere(original: Original, creation: Any, *args: Any, **kwargs: Any) -> str:  # Any: see _create_test_db
    connection = creation.connection
    telling.say(f"alias {connection.alias!r} is {connection.vendor}: Django makes and flushes it, as without mintdb")
    return str(original(*args, **kwargs))


def _create(creation: Any, name: str, wanted: Wanted) -> None:  # Any: see _create_test_db
    """Clone the template under the name; what is there already goes by Django's own rules."""
    try:
        database = managed.new(creation.connection, name)
    except DatabaseNotOurs:
        if not wanted.autoclobber:
            question = f"Type 'yes' if you would like to try deleting the test database '{name}', or 'no' to cancel: "
            if input(question) != "yes":
                telling.say("tests cancelled")
                sys.exit(1)
        _drop_stale(creation, name)
        database = managed.new(creation.connection, name)
    _tell_missing(creation.connection, database)


def _tell_missing(connection: Any, database: managed.TestDatabase) -> None:  # Any: see _create_test_db
    """A template that is found was told of when it was built; a query that fails is told why it may."""
    if database.mint.open(database.alias).template.built and connection.settings_dict["TEST"]["MIGRATE"]:
        from mintdb.django import missing

        if hint := missing.find_hint():
            telling.say(hint)


def _create_as_django(creation: Any, name: str, wanted: Wanted, create: Original) -> None:  # Any: see _create_test_db
    """Let Django make it, or find it, by its own rules; then only the rewind is mintdb's."""
    if not wanted.keepdb:
        _refuse_if_held(creation, name)
    create()
    _close(creation.connection)
    try:
        managed.adopt(creation.connection, name)
    except PrivilegeMissing as error:
        if not wanted.keepdb:
            raise
        telling.say(f"{name!r} is flushed by Django, as without mintdb: {str(error).splitlines()[0]}")


def _is_made_by_django(connection: Any, wanted: Wanted) -> bool:  # Any: see _create_test_db
    """A database that is kept is the user's; one with a template or an encoding of its own is made from no other."""
    if places.is_embedded(connection):
        if wanted.keepdb:
            telling.say("the embedded server ends with its users: nothing is kept, a template makes it as quick")
        return False
    test = connection.settings_dict["TEST"]
    charset = str(test.get("CHARSET") or UTF8).replace("-", "").upper()
    return wanted.keepdb or managed.keeps or bool(test.get("TEMPLATE")) or charset != UTF8


def _refuse_real_name(connection: Any, name: str) -> None:  # Any: see _create_test_db
    for alias, values in connections.settings.items():
        if alias not in managed.databases and values["NAME"] == name and _same(values, connection):
            raise TestNameIsRealName(alias=connection.alias, name=name, owner=alias)


def _same(values: dict[str, Any], connection: Any) -> bool:  # Any: see _create_test_db
    engine = connection.settings_dict["ENGINE"]
    return values["ENGINE"] == engine and places.place_of(values) == places.place_of(connection.settings_dict)


def _drop_stale(creation: Any, name: str) -> None:  # Any: see _create_test_db
    telling.say(f"replacing {name!r}, which mintdb did not make")
    _refuse_if_held(creation, name)
    with creation._nodb_cursor() as cursor:
        cursor.execute(f"DROP DATABASE {creation.connection.ops.quote_name(name)}")


def _refuse_if_held(creation: Any, name: str) -> None:  # Any: see _create_test_db
    """PostgreSQL itself would wait for 5 s, and then not say for whom."""
    if held := find_holders(creation, name, seconds=places.run_settings().settle):
        raise StaleDatabaseHeld(name=name, holders="\n".join(f"  by {describe(session)}" for session in held))


def _drop_worker(creation: Any, database: managed.TestDatabase, name: str) -> None:  # Any: see _create_test_db
    """Its process has just ended, and the server may take a moment to see it."""
    try:
        server = database.mint.open(database.alias).server
        server.hold_name(name, timeout=WORKER_PATIENCE)
    except MintdbError as error:
        telling.could_not(f"drop {name!r}", error)


def _leave(creation: Any, database: managed.TestDatabase) -> None:  # Any: see _create_test_db
    mirrors.part()
    _close(creation.connection)
    managed.forget(database.alias)
    try:
        telling.left_behind(database.close())
    except Exception as error:  # noqa: BLE001  # whatever it is, the tests' results count for more
        telling.could_not(f"drop {database.name!r}", error)


def _managed(creation: Any) -> managed.TestDatabase | None:  # Any: see _create_test_db
    alias = creation.connection.alias
    return managed.databases.get(alias) if connections[alias] is creation.connection else None


def _point_to(connection: Any, name: str | None) -> None:  # Any: see _create_test_db
    connection.close()
    if name is not None:
        settings.DATABASES[connection.alias]["NAME"] = name
        connection.settings_dict["NAME"] = name


def _close(connection: Any) -> None:  # Any: see _create_test_db
    connection.close()
    if hasattr(connection, "close_pool"):  # since Django 5.1
        connection.close_pool()


def _tell(creation: Any, what: str, name: str, verbosity: int) -> None:  # Any: see _create_test_db
    if verbosity >= 1:
        shown = creation._get_database_display_str(verbosity, name)
        creation.log(f"{what} test database for alias {shown}...")
