"""Refuse, with a clear word, what replaces threads in a way that mintdb's own locks do not survive."""

from __future__ import annotations

import sys

from mintdb.errors import LeaseError


class EventletHasThreads(LeaseError):
    """eventlet has replaced the standard library's threads and locks under objects that exist already."""

    text = """\
eventlet.monkey_patch() has replaced threads and locks: those that were made before it do not work any more
  1. leave them as they are:  eventlet.monkey_patch(thread=False)
  2. or use gevent, with which mintdb works:  gevent.monkey.patch_all()"""


def refuse_eventlet() -> None:
    """Raise EventletHasThreads where it is so; asking imports nothing."""
    patcher = sys.modules.get("eventlet.patcher")
    if patcher is not None and patcher.is_monkey_patched("thread"):
        raise EventletHasThreads()
