"""The real time, also in a test that froze it: a deadline must pass, and no entry of 2012 may be older than its test.

freezegun looks for the functions of `time` in every module and replaces them; within a tuple it does not find them.
time-machine replaces what `time.time` and `time.monotonic` do, but leaves `time.perf_counter` alone.
"""

from __future__ import annotations

import sys
import time

REAL = (time.perf_counter,)
"""For whoever cannot afford one more call."""
_SLEEP = (time.sleep,)
_GREEN = (("gevent", "gevent.monkey", "is_module_patched"), ("eventlet", "eventlet.patcher", "is_monkey_patched"))
_EPOCH = time.time() - time.perf_counter()


def monotonic() -> float:
    """Seconds, of a clock that is never set."""
    return REAL[0]()


def wall() -> float:
    """Seconds since the epoch."""
    return _EPOCH + REAL[0]()


def sleep(seconds: float) -> None:
    """Let other threads run, green ones too, whatever a test has put in the place of time.sleep."""
    for library, patcher, is_patched in _GREEN:
        if (module := sys.modules.get(patcher)) and getattr(module, is_patched)("time"):
            sys.modules[library].sleep(seconds)
            return
    _SLEEP[0](seconds)
