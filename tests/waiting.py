"""Wait for a condition, for as long as the busiest machine needs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
PATIENCE = 60.0  # seconds: for what takes three at most on an idle machine
POLL = 0.02  # seconds


def wait_for(look: Callable[[], T], what: str, *, seconds: float = PATIENCE) -> T:
    """The first true thing that `look` returns."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(POLL)
    return seen
