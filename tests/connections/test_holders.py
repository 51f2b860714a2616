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
by_thread: dict[threading.Thread, Thing] = {}
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


@pytest.mark.parametrize("is_over", [True, False])
def test_what_is_kept_for_a_thread_gathers_once_that_is_over(*, is_over: bool) -> None:
    go_on = threading.Event()
    thread = threading.Thread(target=go_on.wait)
    thread.start()
    by_thread[thread] = Thing()
    if is_over:
        go_on.set()
        thread.join()
    assert hold_on(by_thread[thread]) is (Hold.GATHERED if is_over else Hold.LASTING)
    by_thread.clear()
    go_on.set()


def test_the_main_threads_locals_are_held_by_the_local() -> None:
    local.thing = Thing()
    assert hold_on(local.thing) is Hold.LASTING
    del local.thing
