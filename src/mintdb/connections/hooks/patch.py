"""Replace a driver's entry points so that each can be put back, and say plainly when one is no longer there."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

Function = Callable[..., Any]  # Any: a driver's function, called with whatever the application passes


UNSEEN: dict[str, str] = {}


def cannot_see(driver: str, reason: Exception) -> None:
    """Note that a driver's connections, or some of them, cannot be accounted for."""
    UNSEEN.setdefault(driver, f"{type(reason).__name__}: {reason}" if not isinstance(reason, Moved) else str(reason))


P = ParamSpec("P")
T = TypeVar("T")


class Moved(Exception):
    """A driver's entry point is not where this version of mintdb looks for it."""


class Patches:
    """Replacements made in one driver; `undo` takes them back, the newest first."""

    def __init__(self) -> None:
        self._made: list[tuple[object, str, object, object]] = []

    def replace(self, owner: object, name: str, make: Callable[[Any], object]) -> None:  # Any: see Function
        """Set `owner.name` to `make(what is there now)`."""
        if isinstance(owner, type):
            found = next((base.__dict__[name] for base in owner.__mro__ if name in base.__dict__), None)
        else:
            found = getattr(owner, name, None)
        if found is None:
            self.undo()
            raise Moved(f"{getattr(owner, '__module__', '')}.{getattr(owner, '__name__', owner)} has no {name!r}")
        replacement = make(found)
        self._made.append((owner, name, vars(owner).get(name), replacement))
        setattr(owner, name, replacement)

    def undo(self) -> None:
        while self._made:
            owner, name, original, replacement = self._made.pop()
            # Somebody who wrapped ours in the meantime keeps it: taking it out would take theirs out too.
            if vars(owner).get(name) is not replacement:
                continue
            if original is None:
                delattr(owner, name)
            else:
                setattr(owner, name, original)


def as_text(name: str | bytes | None) -> str:
    """A database's name as a driver keeps it."""
    return name.decode() if isinstance(name, bytes) else name or ""


def never_raises(driver: str) -> Callable[[Callable[P, T]], Callable[P, T | None]]:
    """For what a hook does beside its driver's own work: whatever fails there, the connection works all the same."""

    def decorate(function: Callable[P, T]) -> Callable[P, T | None]:
        @wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> T | None:
            try:
                return function(*args, **kwargs)
            except Exception as reason:  # noqa: BLE001  see above
                cannot_see(driver, reason)
                return None

        return guarded

    return decorate
