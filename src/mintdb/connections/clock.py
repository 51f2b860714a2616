"""The real time, also in a test that froze it: an entry from 2012 would be judged older than the test that opened it.

freezegun looks for the functions of `time` in every module and replaces them; within a tuple it does not find them.
"""

from __future__ import annotations

import time

REAL = (time.monotonic, time.time)
"""For whoever cannot afford one more call."""


def monotonic() -> float:
    """Seconds, of a clock that is never set."""
    return REAL[0]()


def wall() -> float:
    """Seconds since the epoch."""
    return REAL[1]()
