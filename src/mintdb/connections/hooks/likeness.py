"""Tell two pools of one line and one URL apart by what they were given: options, and what their functions close over.

A pool for each tenant differs in its search path, which stands in `connect_args`, or in a function that sets it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

Likeness = object
"""Hashable, and compared only: it may hold a password."""

DEPTH = 5  # of what is compared; a list may contain itself
_PLAIN = str, bytes, int, float, bool, type(None)


def likeness(*given: object, depth: int = DEPTH) -> Likeness:
    """Equal where all of `given` is; an object whose meaning nobody knows from outside is like any other."""
    return tuple(_likeness(one, depth) for one in given)


def _likeness(given: object, depth: int) -> Likeness:
    kind = type(given)  # never isinstance() alone: that asks for `__class__`, which wakes other libraries' lazy objects
    if kind in _PLAIN:
        return given
    if not depth:
        return None
    if issubclass(kind, dict) and isinstance(given, dict):
        return frozenset((str(name), _likeness(value, depth - 1)) for name, value in given.items())
    if issubclass(kind, tuple | list) and isinstance(given, tuple | list):
        return likeness(*given, depth=depth - 1)
    if kind is partial and isinstance(given, partial):
        return likeness(given.func, given.args, given.keywords, depth=depth - 1)
    return _of_function(given, depth - 1) if callable(given) else None


def _of_function(function: Callable[..., object], depth: int) -> Likeness:
    """Where it is written, and with what."""
    found = []
    for cell in getattr(function, "__closure__", None) or ():
        try:
            found.append(_likeness(cell.cell_contents, depth))
        except ValueError:  # it has no value yet
            found.append(None)
    return getattr(function, "__code__", None), tuple(found)
