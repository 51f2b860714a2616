"""What migrations wrote, as `serialized_rollback` wants it: serialized when somebody asks, and not at every start."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import field
from typing import Any

from django.apps import apps
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from mintdb.django import managed
from mintdb.django.patching import wrap
from mintdb.facts import dataclass

CONTENTS = "_test_serialized_contents"  # Django's own name for it, an attribute of each connection
SETUP = "django.test.utils", "setup_databases"
CALLER = 2  # frames from _serialize_db_to_string to whoever called Django's method: the wrapper lies between


@dataclass(frozen=True)
class Later:
    """Stands for it until it is asked for. `models` are those of the start: tests may define some, without tables."""

    models: frozenset[Any] = field(default_factory=lambda: frozenset(apps.get_models()))  # Any: Django's classes


class Contents:
    """The attribute. To select every row of every model takes longer than all else that a start does."""

    def __get__(self, connection: Any, kind: type | None = None) -> Any:  # Any: Django's wrapper; a text, or this
        if connection is None:
            return self
        if isinstance(later := vars(connection).get(CONTENTS), Later):
            vars(connection)[CONTENTS] = _serialize(connection, later)
        try:
            return vars(connection)[CONTENTS]
        except KeyError:
            raise AttributeError(CONTENTS) from None

    def __set__(self, connection: Any, contents: object) -> None:  # Any: see __get__
        vars(connection)[CONTENTS] = contents


def install(creation: type) -> None:
    """Hook Django's serializing; again is harmless."""
    if not isinstance(vars(BaseDatabaseWrapper).get(CONTENTS), Contents):
        setattr(BaseDatabaseWrapper, CONTENTS, Contents())
    wrap(creation, "serialize_db_to_string", _serialize_db_to_string)


def _serialize_db_to_string(original: Callable[[], str], creation: Any) -> Any:  # Any: see Contents.__get__
    """`setup_databases` asks for it in some versions of Django; whoever else asks gets what there is."""
    caller = sys._getframe(CALLER)
    at_start = (caller.f_globals.get("__name__"), caller.f_code.co_name) == SETUP
    database = managed.find_same(creation.connection, creation.connection.settings_dict["NAME"])
    return Later() if at_start and database is not None and not database.adopted else original()


def _serialize(connection: Any, later: Later) -> str:  # Any: see Contents.__get__
    """Read it from a further clone: tests may have been at work in the home clone."""
    alias = connection.alias
    database = managed.find_same(connection, connection.settings_dict["NAME"])
    if database is None:
        raise AttributeError(CONTENTS)
    with database.pool.lease("clone") as lease:
        other = connection.copy()
        other.settings_dict["NAME"] = lease.address.database
        other.settings_dict["OPTIONS"].pop("pool", None)  # a pool is shared by all connections of an alias
        connections[alias] = other
        try:
            with _without_tables(apps.get_models(), later):
                return str(other.creation.serialize_db_to_string())
        finally:
            connections[alias] = connection
            other.close()


@contextmanager
def _without_tables(models: Iterable[Any], later: Later) -> Iterator[None]:  # Any: see Later
    """Let Django pass over the models that were not there at the start."""
    young = [model._meta for model in models if model not in later.models and model._meta.managed]
    for meta in young:
        meta.managed = False
    try:
        yield
    finally:
        for meta in young:
            meta.managed = True
