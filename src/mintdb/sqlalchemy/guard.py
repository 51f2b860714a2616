"""Refuse every connection to a database but those that a test's one transaction opens."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Self

import sqlalchemy as sa
from sqlalchemy import event

from mintdb.address import Address
from mintdb.connections import gate
from mintdb.connections.ledger import ledger
from mintdb.connections.stack import find_app_site, take
from mintdb.sqlalchemy.engines import leads_to
from mintdb.sqlalchemy.errors import REALLY_ELSEWHERE, ConnectionOutside, Refused, SecondConnection

_opening: ContextVar[bool] = ContextVar(
    "opening", default=False
)  # whether this thread or task opens the one connection


@contextmanager
def opening() -> Iterator[None]:
    """What connects in the block is the one connection, and no guard's business."""
    token = _opening.set(True)
    try:
        yield
    finally:
        _opening.reset(token)


_entered: list[Guard] = []  # the last of them answers


class Guard:
    """Refuses connections to these databases while it is the last one entered. `outside`: that is between tests."""

    def __init__(self, addresses: Sequence[Address], *, outside: bool = False) -> None:
        self._addresses = addresses
        self._outside = outside
        self._spared: threading.Thread | None = None
        self._before: gate.Keeper | None = None

    def __enter__(self) -> Self:
        event.listen(sa.Engine, "engine_connect", self._engine_connects)
        self._before, gate.keeper = gate.keeper, self
        _entered.append(self)
        return self

    def __exit__(self, *error: object) -> None:
        _entered.remove(self)
        gate.keeper = self._before
        event.remove(sa.Engine, "engine_connect", self._engine_connects)

    def spare_this_thread(self) -> None:
        """From now on only other threads are refused: those that tests have left behind."""
        self._spared = threading.current_thread()

    def wait(self, database: Callable[[], str]) -> None:
        """See connections.gate.Keeper. Raises SecondConnection for a driver's own connection."""
        self._check(lambda address: _names(database(), address))
        if self._before is not None:
            self._before.wait(database)

    async def wait_async(self, database: Callable[[], str]) -> None:
        """See connections.gate.Keeper."""
        self._check(lambda address: _names(database(), address))
        if self._before is not None:
            await self._before.wait_async(database)

    def find_note(self, database: Callable[[], str]) -> str | None:
        """See connections.gate.Keeper."""
        return None if self._before is None else self._before.find_note(database)

    def _engine_connects(self, connection: sa.Connection) -> None:
        try:
            self._check(lambda address: leads_to(connection.engine, address))
        except Refused:
            connection.close()
            raise

    def _check(self, is_there: Callable[[Address], bool]) -> None:
        if _opening.get() or self is not _entered[-1] or threading.current_thread() is self._spared:
            return
        for address in self._addresses:
            if is_there(address):
                raise self._refusal(address)

    def _refusal(self, address: Address) -> Refused:
        site = find_app_site(take(skip=2))
        opener = f"  asked for at  {site}\n" if site else ""
        wide = ledger.opening is not None and ledger.opening.scope not in ("", "function")
        kind = ConnectionOutside if self._outside or wide else SecondConnection
        return kind(database=address.database, opener=opener)


def guard_what_is_not_ours(addresses: Sequence[Address]) -> Guard:
    """For the rest of this process, refuse what connects to databases of somebody else's outside of a test."""
    Refused.really = REALLY_ELSEWHERE
    return Guard(addresses, outside=True).__enter__()


def _names(database: str, address: Address) -> bool:
    """Whether what a driver was given, a name, a path or a URL, names this database."""
    if "://" not in database:
        return database == address.database
    return database.partition("?")[0].rpartition("/")[2] == address.database
