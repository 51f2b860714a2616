"""What several sessions on one connection did, in which order, and when that cannot be what they meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from mintdb.facts import dataclass
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
    wrote: bool = False  # whether its session has written, or failed, since
    others: list[Work] = field(default_factory=list)  # other sessions' work that stands on it


@dataclass(frozen=True)
class Plan:
    """What a session's step means to the others. To nobody, as a rule."""

    skip: bool = False  # it has only read: its end must not end what others are at
    again: Sequence[str] = ()  # savepoints of others, who have only read, to be set once more after it


class Savepoints:
    """The savepoints of one connection, oldest first. A session's first one stands for its transaction."""

    def __init__(self) -> None:
        self._open: list[Savepoint] = []

    def plan(self, step: Step) -> Plan:
        """A session is about to take a step. Raises OutOfTurn, and CommitUndone, where it would not be what it means.

        Out of turn is who ends a savepoint while a younger one is of another session that has written; and what others
        have written or committed upon a savepoint must not be undone with it. A savepoint whose end was refused counts
        no more.
        """
        index = self._find(step.name)
        if index is None or step.kind not in ("release", "rollback") or self._open[index].caller.is_over:
            return Plan()
        own, younger = self._from(index)
        undone = [
            work for each in self._open[index:] for work in each.others if work.caller.is_other_than(own[0].caller)
        ]
        if not any(each.wrote for each in own):
            return Plan(skip=bool(younger or undone))
        try:
            _check_turn(own[0], younger, "commits" if step.kind == "release" else "rolls back")
            if step.kind == "rollback":
                _check_nothing_is_undone(own[0], undone)
        except Refused:
            self._let_go(index)
            raise
        return Plan(again=[each.name for each in younger])

    def note(self, step: Step, caller: Caller, plan: Plan) -> None:
        """A session has taken a step."""
        index = self._find(step.name)
        if step.kind == "set":
            self._open.append(Savepoint(step.name, caller))
        elif step.kind == "write":
            self.spoil(caller)
            _stand_on(self._open, Work(caller, "written"))
        elif index is not None and plan.skip:
            self._let_go(index)
        elif index is not None:
            self._end(index, step)

    def spoil(self, caller: Caller) -> None:
        """A session has written, or failed: it has not only read."""
        for each in self._open[::-1]:
            if not each.caller.is_other_than(caller):
                each.wrote = True
                return

    def _end(self, index: int, step: Step) -> None:
        own, younger = self._from(index)
        del self._open[index:]
        if step.kind == "release":
            for work in (work for each in own for work in each.others):
                _stand_on(self._open, work)
            if any(each.wrote for each in own):
                self.spoil(own[0].caller)  # if it was nested in one of its own
                _stand_on(self._open, Work(own[0].caller, "committed"))
        self._open += younger

    def _from(self, index: int) -> tuple[list[Savepoint], list[Savepoint]]:
        """From a savepoint on, those of its session, and those of others."""
        caller = self._open[index].caller
        own = [each for each in self._open[index:] if not each.caller.is_other_than(caller)]
        return own, [each for each in self._open[index:] if each.caller.is_other_than(caller)]

    def _let_go(self, index: int) -> None:
        """The savepoint, and the younger ones of its session, stay where they are: what stands on them stands."""
        own, younger = self._from(index)
        self._open[index:] = younger
        for work in (work for each in own for work in each.others):
            _stand_on(self._open[:index], work)

    def _find(self, name: str) -> int | None:
        indexes = range(len(self._open) - 1, -1, -1)  # of several of one name, the youngest is meant
        return next((index for index in indexes if self._open[index].name == name), None)


def _check_turn(ended: Savepoint, younger: list[Savepoint], doing: str) -> None:
    other = next((each.caller for each in younger if each.wrote), None)
    if other is not None:
        raise OutOfTurn(doing=f"{doing} while a younger one is at work", first=ended.caller.site, second=other.site)


def _check_nothing_is_undone(ended: Savepoint, undone: list[Work]) -> None:
    if undone:
        raise CommitUndone(done=undone[0].done, first=ended.caller.site, second=undone[0].caller.site)


def _stand_on(those: list[Savepoint], work: Work) -> None:
    """A session's work stands on the youngest of these: of its own ones it may go with them."""
    if those and work.caller.is_other_than(those[-1].caller):
        those[-1].others.append(work)
