"""What leads to a connection: dictionaries with weak keys keep a value for as long as something keeps its key."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator

import pytest

from mintdb.connections.holders import Hold, find_holds


class Thing:
    pass


by_app: weakref.WeakKeyDictionary[Thing, Thing] = weakref.WeakKeyDictionary()
apps: dict[str, Thing] = {}
local = threading.local()


@pytest.fixture(autouse=True)
def visible() -> Iterator[None]:
    """What the suite's conftest has frozen, the garbage collector leads to again."""
    gc.unfreeze()
    yield
    gc.freeze()


def hold_on(thing: Thing) -> Hold:
    return find_holds({"it": thing}, locals_last=True)["it"]


def test_what_a_dictionary_with_weak_keys_has_is_held_by_what_holds_its_key() -> None:
    app = Thing()
    by_app[app] = Thing()
    assert hold_on(by_app[app]) < Hold.LASTING

    apps["shop"] = app
    assert hold_on(by_app[app]) is Hold.LASTING
    apps.clear()


def test_the_main_threads_locals_are_held_by_the_local() -> None:
    local.thing = Thing()
    assert hold_on(local.thing) is Hold.LASTING
    del local.thing
