"""What several sessions on one connection did, in which order, and when that cannot be what they meant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mintdb.sqlalchemy.errors import CommitUndone, OutOfTurn

ENDED = "mintdb_ended_test"  # in a session's `info`, once its test is over: the test's name


@dataclass(frozen=True)
class Caller:
    """One session, and where its work began."""

    session: int  # its identity
    site: str  # "app/orders.py:12 in refund"
    info: Mapping[Any, Any] = field(default_factory=dict, compare=False)  # the session's own  # Any: as it has it

    @property
    def is_over(self) -> bool:
        """Whether the session is being closed with its test: nobody means anything by that."""
        return ENDED in self.info


@dataclass
class Savepoint:
    """One savepoint that is open."""

    name: str
    caller: Caller | None = None  # None: of no session
    committed: list[Caller] = field(default_factory=list)  # other sessions' work that stands on it


@dataclass
class Savepoints:
    """The savepoints of one connection, oldest first. A session's first one stands for its transaction."""

    _open: list[Savepoint] = field(default_factory=list)

    def begin(self, name: str) -> None:
        """A savepoint was set."""
        self._open.append(Savepoint(name))

    def belongs(self, caller: Caller) -> None:
        """The newest savepoint is a session's."""
        if self._open and self._open[-1].caller is None:
            self._open[-1].caller = caller

    def are_of(self, session: int) -> bool:
        """Whether a session has begun and not ended."""
        return any(point.caller is not None and point.caller.session == session for point in self._open)

    def release(self, name: str) -> None:
        """It is about to be released. Raises OutOfTurn where a younger one is still another session's."""
        self._end(name, "commits")

    def roll_back(self, name: str) -> None:
        """It is about to be rolled back. Raises OutOfTurn, and CommitUndone where others have committed on it."""
        self._end(name, "rolls back")

    def _end(self, name: str, doing: str) -> None:
        index = self._find(name)
        if index is None:
            return
        ended = self._open[index]
        self._check_turn(ended, self._open[index + 1 :], doing)
        first = self._is_first(index)
        del self._open[index:]
        if doing == "rolls back":
            _check_nothing_is_undone(ended)
        elif self._open:
            own = [ended.caller] if first and ended.caller else []
            self._open[-1].committed += [*ended.committed, *own]

    def _check_turn(self, ended: Savepoint, younger: list[Savepoint], doing: str) -> None:
        other = next((point.caller for point in younger if _is_of_another(point.caller, ended.caller)), None)
        if other is not None and ended.caller is not None and not ended.caller.is_over:
            raise OutOfTurn(doing=f"{doing} while a younger one is at work", first=ended.caller.site, second=other.site)

    def _find(self, name: str) -> int | None:
        indexes = range(len(self._open) - 1, -1, -1)  # of several of one name, the youngest is meant
        return next((index for index in indexes if self._open[index].name == name), None)

    def _is_first(self, index: int) -> bool:
        caller = self._open[index].caller
        return caller is not None and not any(
            point.caller is not None and point.caller.session == caller.session for point in self._open[:index]
        )


def _is_of_another(one: Caller | None, other: Caller | None) -> bool:
    return one is not None and other is not None and one.session != other.session


def _check_nothing_is_undone(ended: Savepoint) -> None:
    if ended.caller is None or ended.caller.is_over:
        return
    other = next((caller for caller in ended.committed if _is_of_another(caller, ended.caller)), None)
    if other is not None:
        raise CommitUndone(first=ended.caller.site, second=other.site)
