"""What several sessions on one connection did, in which order, and when that cannot be what they meant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mintdb.sqlalchemy.errors import CommitUndone, OutOfTurn
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
        committed upon a savepoint must not be undone with it.
        """
        index = self._find(step.name)
        if index is None or step.kind not in ("release", "rollback"):
            return
        ended = self._open[index]
        if ended.caller.is_over:
            return
        other = next((each.caller for each in self._open[index:] if each.caller.is_other_than(ended.caller)), None)
        if other is not None:
            doing = "commits" if step.kind == "release" else "rolls back"
            raise OutOfTurn(doing=f"{doing} while a younger one is at work", first=ended.caller.site, second=other.site)
        undone = [work for each in self._open[index:] for work in each.others]
        if step.kind == "rollback" and undone:
            raise CommitUndone(done=undone[0].done, first=ended.caller.site, second=undone[0].caller.site)

    def note(self, step: Step, caller: Caller) -> None:
        """A session has taken a step."""
        index = self._find(step.name)
        if step.kind == "set":
            self._open.append(Savepoint(step.name, caller))
        elif step.kind == "write":
            self._stand_on_the_youngest(Work(caller, "written"))
        elif index is not None:
            ended = self._open[index]
            del self._open[index:]
            if step.kind == "release":
                for work in [*ended.others, Work(ended.caller, "committed")]:
                    self._stand_on_the_youngest(work)

    def _stand_on_the_youngest(self, work: Work) -> None:
        if self._open and work.caller.is_other_than(self._open[-1].caller):
            self._open[-1].others.append(work)

    def _find(self, name: str) -> int | None:
        indexes = range(len(self._open) - 1, -1, -1)  # of several of one name, the youngest is meant
        return next((index for index in indexes if self._open[index].name == name), None)
