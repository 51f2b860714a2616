"""Put our own function around a method of Django's, whatever kind of method it is in this version of Django."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

Around = Callable[..., Any]  # Any: takes the original and its arguments, and gives what it gives
MARK = "mintdb_around"


def wrap(owner: type, name: str, around: Around) -> None:
    """Call `around(original, self_or_cls, …)` instead of `owner.name`, inherited or not; again is harmless.

    The original is bound already; a static method is given without self. What this version of Django does not have, or
    inherits from a class where it was wrapped before, is left as it is.
    """
    found = inspect.getattr_static(owner, name, None)
    if found is None or hasattr(found, MARK):
        return
    kind = type(found) if isinstance(found, classmethod | staticmethod) else None
    function = found.__func__ if isinstance(found, classmethod | staticmethod) else found

    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:  # Any: as the original
        if kind is staticmethod:
            return around(function, *args, **kwargs)
        return around(function.__get__(args[0]), *args, **kwargs)

    replacement = kind(wrapped) if kind else wrapped
    setattr(replacement, MARK, True)
    setattr(owner, name, replacement)
