"""Let a thread whose session was ended from outside end in peace: its driver's error is no news, and fails no test."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from threading import Thread, current_thread
from typing import Any, cast

log = logging.getLogger("mintdb.connections")
DRIVERS = ("psycopg", "psycopg2", "asyncpg", "pymysql", "MySQLdb", "asyncmy", "aiomysql", "sqlite3", "aiosqlite")


def excuse(thread: Thread | None) -> None:
    """From now on, what a driver raises ends that thread without a word: the report of its leak has named it.

    Everything else that it raises is shown as ever.
    """
    # What CPython 3.8 to 3.14 calls where a thread's function has raised; threading.excepthook is everybody's.
    show = cast("Callable[[Thread], None] | None", getattr(thread, "_invoke_excepthook", None))
    if thread is None or show is None or thread is current_thread():
        return

    def show_unless_bereaved(thread: Thread) -> None:
        if is_of_a_driver(sys.exc_info()[1]):
            log.debug("thread %r has lost its connection, and ended", thread.name, exc_info=True)
        else:
            show(thread)

    cast(Any, thread)._invoke_excepthook = show_unless_bereaved  # Any: it is not in the stubs


def is_of_a_driver(error: BaseException | None) -> bool:
    """Whether it, or what it was raised from, is an error of a driver's or of its socket."""
    return any(_is_of_a_driver(each) for each in _chain(error))


def _is_of_a_driver(error: BaseException) -> bool:
    kinds = type(error).__mro__
    return isinstance(error, ConnectionError) or any(kind.__module__.partition(".")[0] in DRIVERS for kind in kinds)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
