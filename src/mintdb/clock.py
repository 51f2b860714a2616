"""The real time, also in a test that froze it: a deadline must pass, and no entry of 2012 may be older than its test.

freezegun looks for the functions of `time` in every module and replaces them; within a tuple it does not find them.
time-machine replaces what `time.time` and `time.monotonic` do, but leaves `time.perf_counter` alone.
"""

from __future__ import annotations

import time

REAL = (time.perf_counter,)
"""For whoever cannot afford one more call."""
_EPOCH = time.time() - time.perf_counter()


def monotonic() -> float:
    """Seconds, of a clock that is never set."""
    return REAL[0]()


def wall() -> float:
    """Seconds since the epoch."""
    return _EPOCH + REAL[0]()
