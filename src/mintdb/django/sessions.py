"""Django's own connections between two tests: kept open with a session as new, or closed where that cannot be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from concurrent.futures import TimeoutError as TooLate
from contextlib import contextmanager, suppress
from typing import Any

from asgiref.sync import SyncToAsync
from django.core.management.color import no_style
from django.db import connections
from django.db.backends.signals import connection_created

from mintdb import clock
from mintdb.connections.facts import Owner
from mintdb.connections.ledger import ledger
from mintdb.connections.pools import pools
from mintdb.connections.state import RESET_ALL, RESET_WITHOUT_DRIVERS

IDLE = 0  # PQTRANS_IDLE: in no transaction
HARMLESS = ("django.", "mintdb.")  # receivers of connection_created that do nothing to the session itself
EXECUTOR_PATIENCE = 1.0  # seconds that a thread of asgiref's may take to close its connections


class Idle:
    """This thread's connections, while no test has them: what mintdb asks of a pool (connections.facts.Pool)."""

    def __init__(self) -> None:
        self.lent = False  # a test may be in the midst of using them

    def lend(self) -> None:
        """A test has them from here on."""
        if pools.find(self) is None:  # in a forked child, too, which forgets its parent's pools
            pools.add(self, Owner("Django", "connections", clock.monotonic(), None, (), self))
        self.lent = True

    def is_alive(self) -> bool:
        """See connections.facts.Pool."""
        return True

    def is_dressed(self) -> bool:
        """See connections.facts.Pool."""
        return _is_dressed()

    def is_async(self) -> bool:
        """See connections.facts.Pool."""
        return False

    def write_off(self, connection: object, slip: object) -> None:
        """See connections.facts.Pool. Nobody takes anything from it."""

    def find_url(self) -> None:
        """See connections.facts.Pool. They may lead anywhere."""

    def find_likeness(self) -> None:
        """See connections.facts.Pool. There is one in a process."""

    def visit_idle(self, keep: Callable[[object], bool]) -> None:
        """See connections.facts.Pool. Django reconnects when it needs to."""
        if self.lent:
            return
        for connection in _open():
            if not connection.in_atomic_block and not keep(connection.connection):
                connection.close()

    @contextmanager
    def returned(self) -> Iterator[None]:
        """No test has them: for this block they may be closed."""
        before, self.lent = self.lent, False
        try:
            yield
        finally:
            self.lent = before


idle = Idle()


def in_transaction() -> bool:
    """Whether a connection of this thread holds a transaction that a test, or its class, has begun."""
    return any(connection.in_atomic_block for connection in connections.all(initialized_only=True))


def backends() -> set[int]:
    """Those behind this thread's connections; a pool may have lent further ones."""
    found = {ledger.find(connection.connection) for connection in _open()}
    return {entry.backend_pid for entry in found if entry is not None and entry.backend_pid}


def drop_ended() -> None:
    """Let connections whose session somebody has ended past Django be opened anew."""
    for connection in _open():
        if connection.connection.closed:
            connection.close()


def make_new(aliases: Iterable[str]) -> None:
    """Let this thread's connections of `aliases` begin anew, open where possible; all others are closed."""
    keep = set(aliases)
    for connection in connections.all(initialized_only=True):
        if connection.connection is not None and (connection.alias not in keep or not _make_new(connection)):
            connection.close()
        connection.run_on_commit = []


def restart_sequences(connection: Any) -> None:  # Any: Django's wrapper is untyped
    """Let the sequences of empty tables begin anew; where there are rows, the next number must be a free one."""
    with connection.cursor() as cursor:
        of_empty = [s for s in connection.introspection.sequence_list() if _is_empty(cursor, s["table"])]
        for statement in connection.ops.sequence_reset_by_name_sql(no_style(), of_empty):
            cursor.execute(statement)


def _is_empty(cursor: Any, table: str) -> bool:  # Any: see restart_sequences
    cursor.execute(f"select not exists (select from {cursor.db.ops.quote_name(table)})")  # noqa: S608  # it is quoted
    return bool(cursor.fetchone()[0])


def close_executors() -> None:
    """Close what the threads that asgiref runs synchronous code in have open: nobody else can, and no test opened it.

    A thread that is busy is left alone: what it holds is then told as a leak.
    """
    of_loops = getattr(SyncToAsync, "loop_thread_executors", {})  # since asgiref 3.3
    executors = [SyncToAsync.single_thread_executor, *of_loops.values()]
    for executor in executors:
        if getattr(executor, "_threads", None):  # asking one that has no thread would start one
            _close_in(executor)


def _close_in(executor: Executor) -> None:
    with suppress(RuntimeError, TooLate):  # it was shut down, or is busy
        executor.submit(connections.close_all).result(EXECUTOR_PATIENCE)


def _open() -> list[Any]:  # Any: Django's wrappers are untyped
    return [c for c in connections.all(initialized_only=True) if c.connection is not None and not _pool_of(c)]


def _pool_of(connection: Any) -> object:  # Any: see _open
    return getattr(connection, "pool", None)  # since Django 5.1


def _make_new(connection: Any) -> bool:  # Any: see _open
    """One round trip; False if only closing it gives a clean session."""
    raw = connection.connection
    entry = ledger.find(raw)
    if entry is None or _pool_of(connection) or _is_dressed() or _is_in_use(connection):
        return False
    with suppress(Exception):  # whatever it is, a new connection has none of it
        reset = RESET_ALL if _prepares(raw) else RESET_WITHOUT_DRIVERS
        if entry.driver.query(raw, "; ".join((*reset, *_time_zone(connection)))) is not None:
            connection.init_connection_state()  # the role, as the settings have it
            return True
    return False


def _prepares(raw: Any) -> bool:  # Any: a driver's connection
    """Whether it prepares statements by itself: psycopg2 never does, and psycopg 3 does not as Django configures it."""
    return getattr(raw, "prepare_threshold", None) is not None


def _time_zone(connection: Any) -> Iterator[str]:  # Any: see _open
    """What Django would ask for in a round trip of its own."""
    if zone := connection.timezone_name:
        quoted = zone.replace("'", "''")
        yield f"set time zone '{quoted}'"


def _is_in_use(connection: Any) -> bool:  # Any: see _open
    if connection.in_atomic_block or connection.needs_rollback or connection.errors_occurred:
        return True
    if connection.get_autocommit() is not True or connection.execute_wrappers:
        return True
    return bool(connection.connection.closed or connection.connection.info.transaction_status != IDLE)


def _is_dressed() -> bool:
    """Whether the project does something to each new connection: only a new one is then as it should be."""
    live = connection_created._live_receivers(None)
    receivers = [*live[0], *live[1]] if isinstance(live, tuple) else live  # a pair (sync, async) since Django 5.0
    return any(not str(getattr(each, "__module__", "")).startswith(HARMLESS) for each in receivers)
