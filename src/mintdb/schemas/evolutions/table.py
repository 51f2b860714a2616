"""The table play_evolutions of one database: which evolutions are applied, and which is half way."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mintdb.facts import dataclass
from mintdb.schemas.evolutions.errors import BadEvolutionsTable, EvolutionsTableRefused, InconsistentDatabase
from mintdb.schemas.evolutions.files import Evolution, Script
from mintdb.schemas.evolutions.plan import Direction, Step
from mintdb.schemas.evolutions.sessions import Refused, Session

NAME = re.compile(r"(?:[^\W\d]\w*\.)?[^\W\d]\w*")  # unquoted, as Play writes it: the engine folds its case
STUCK = "select id, state, last_problem from {table} where state like %s order by id"
STATE = "select state from {table} where id = %s and state like %s"
HALF_WAY = "applying_%"
APPLIED = "select id, apply_script, revert_script from {table} order by id"
INSERT = """
insert into {table} (id, hash, applied_at, apply_script, revert_script, state, last_problem)
values (%s, %s, current_timestamp, %s, %s, %s, '')
"""
SET_STATE = "update {table} set state = %s where id = %s"
DELETE = "delete from {table} where id = %s"
NOTE = "update {table} set last_problem = %s where id = %s"
KILLED = "nothing was written down: its process was killed, or runs still"


@dataclass(frozen=True)
class Table:
    """The table of one database; `name` may have its schema before it."""

    session: Session
    name: str = "play_evolutions"

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise BadEvolutionsTable(name=self.name)

    def check(self, database: str, *, options: str) -> None:
        """See that no evolution is half way, as `database`'s; make the table where it cannot be read.

        Raises InconsistentDatabase, which shows commands with `options`.
        """
        try:
            stuck = self.session.fetch(STUCK.replace("{table}", self.name), HALF_WAY)
        except Refused:  # it is not there, most likely: Play asks no further
            self._run(self.session.DDL)
            return
        for revision, state, problem in stuck:
            raise InconsistentDatabase(
                database=database, revision=revision, state=state, problem=problem or KILLED, options=options
            )

    def applied(self) -> Sequence[Evolution]:
        """What is applied, in order, with the scripts that were stored then."""
        place = f"stored in {self.name}"
        return [
            Evolution(revision, place, Script.stored(ups), Script.stored(downs))
            for revision, ups, downs in self._fetch(APPLIED)
        ]

    def begin(self, step: Step) -> None:
        """A step is about to be run."""
        evolution = step.evolution
        if step.direction is Direction.DOWN:
            self._run(SET_STATE, step.state, step.revision)
        else:
            self._run(INSERT, step.revision, evolution.hash, evolution.ups.text, evolution.downs.text, step.state)

    def end(self, step: Step) -> None:
        """A step was run."""
        if step.direction is Direction.DOWN:
            self._run(DELETE, step.revision)
        else:
            self._run(SET_STATE, "applied", step.revision)

    def note(self, step: Step, problem: str) -> None:
        """A step failed, and stays half way."""
        self._run(NOTE, problem, step.revision)

    def resolve(self, revision: int) -> str | None:
        """Take it that a person has finished an up, or a down, that was half way; returns the state that it was in."""
        found = self._fetch(STATE, revision, HALF_WAY)
        if not found:
            return None
        state = str(found[0][0])
        if state == "applying_down":
            self._run(DELETE, revision)
        else:
            self._run(SET_STATE, "applied", revision)
        return state

    def _fetch(self, statement: str, *values: object) -> list[tuple[Any, ...]]:  # Any: as the statement selects
        with self._explained():
            return self.session.fetch(statement.replace("{table}", self.name), *values)

    def _run(self, statement: str, *values: object) -> None:
        with self._explained():
            self.session.run(statement.replace("{table}", self.name), *values)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except Refused as refused:
            facts = {"table": self.name, "message": refused.described, "code": refused.state}
            raise EvolutionsTableRefused(**facts) from refused.__cause__
