"""What several sessions on one connection did, in which order, and when that cannot be what they meant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mintdb.sqlalchemy.errors import CommitUndone, OutOfTurn, Refused
from mintdb.sqlalchemy.statements import Step

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

    def is_other_than(self, other: Caller) -> bool:
        """Whether this is another session."""
        return self.session != other.session


@dataclass(frozen=True)
class Work:
    """What a session did upon another one's savepoint."""

    caller: Caller
    done: str  # "committed" or "written"


@dataclass
class Savepoint:
    """One savepoint that is open, and the session that set it."""

    name: str
    caller: Caller
    others: list[Work] = field(default_factory=list)  # other sessions' work that stands on it


class Savepoints:
    """The savepoints of one connection, oldest first. A session's first one stands for its transaction."""

    def __init__(self) -> None:
        self._open: list[Savepoint] = []

    def check(self, step: Step) -> None:
        """A session is about to take a step. Raises OutOfTurn, and CommitUndone, where it would not be what it means.

        Out of turn is who ends a savepoint while a younger one is another session's; and what others have written or
        committed upon a savepoint must not be undone with it. A savepoint whose end was refused counts no more.
        """
        index = self._find(step.name)
        if index is None or step.kind not in ("release", "rollback") or self._open[index].caller.is_over:
            return
        try:
            _check_turn(self._open[index:], "commits" if step.kind == "release" else "rolls back")
            if step.kind == "rollback":
                _check_nothing_is_undone(self._open[index:])
        except Refused:
            self._let_go(index)
            raise

    def note(self, step: Step, caller: Caller) -> None:
        """A session has taken a step."""
        index = self._find(step.name)
        if step.kind == "set":
            self._open.append(Savepoint(step.name, caller))
        elif step.kind == "write":
            _stand_on(self._open, Work(caller, "written"))
        elif index is not None:
            ended = self._open[index]
            del self._open[index:]
            if step.kind == "release":
                for work in [*ended.others, Work(ended.caller, "committed")]:
                    _stand_on(self._open, work)

    def _let_go(self, index: int) -> None:
        """The savepoint, and the younger ones of its session, stay where they are: what stands on them stands."""
        caller = self._open[index].caller
        left = [each for each in self._open[index:] if not each.caller.is_other_than(caller)]
        self._open = [each for each in self._open if each not in left]
        for work in (work for each in left for work in each.others):
            _stand_on(self._open[:index], work)

    def _find(self, name: str) -> int | None:
        indexes = range(len(self._open) - 1, -1, -1)  # of several of one name, the youngest is meant
        return next((index for index in indexes if self._open[index].name == name), None)


def _check_turn(those: list[Savepoint], doing: str) -> None:
    first = those[0].caller
    other = next((each.caller for each in those if each.caller.is_other_than(first)), None)
    if other is not None:
        raise OutOfTurn(doing=f"{doing} while a younger one is at work", first=first.site, second=other.site)


def _check_nothing_is_undone(those: list[Savepoint]) -> None:
    undone = next((work for each in those for work in each.others), None)
    if undone is not None:
        raise CommitUndone(done=undone.done, first=those[0].caller.site, second=undone.caller.site)


def _stand_on(those: list[Savepoint], work: Work) -> None:
    """A session's work stands on the youngest of these: of its own ones it may go with them."""
    if those and work.caller.is_other_than(those[-1].caller):
        those[-1].others.append(work)
