"""Run evolutions on one database, and write down what was done, as Play does it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import field

from mintdb.facts import dataclass
from mintdb.schemas.evolutions.errors import EvolutionFailed, EvolutionUndone, NothingToResolve
from mintdb.schemas.evolutions.files import Evolution, Substitutions
from mintdb.schemas.evolutions.plan import Direction, Step, plan, undo
from mintdb.schemas.evolutions.sessions import Refused
from mintdb.schemas.evolutions.table import Table
from mintdb.schemas.server_errors import shorten

log = logging.getLogger("mintdb.evolutions")


@dataclass(frozen=True)
class Evolving:
    """The evolutions of one database: `name` is Play's for it, and the folder's."""

    name: str
    table: Table
    substitutions: Substitutions = field(default_factory=Substitutions)
    autocommit: bool = True  # False: all steps are one transaction
    options: str = ""  # what a command needs to find this database, for messages

    def plan(self, files: Sequence[Evolution]) -> list[Step]:
        """What `apply` would do. Raises InconsistentDatabase."""
        self._check()
        return plan(files, self.table.applied())

    def apply(self, files: Sequence[Evolution]) -> list[Step]:
        """Bring the database to what the files say; again does nothing. Returns what was run.

        Raises InconsistentDatabase, EvolutionFailed, EvolutionUndone and SubstitutionError; the last before anything
        was run.
        """
        return self._run(self.plan(files))

    def undo_all(self) -> list[Step]:
        """Run the stored downs of everything that is applied; the table stays, empty. Raises as `apply` does."""
        self._check()
        return self._run(undo(self.table.applied()))

    def resolve(self, revision: int) -> str:
        """Take it that a person has put right what was half way; runs no SQL of the evolution's.

        Returns the state that it was in. Raises NothingToResolve.
        """
        state = self.table.resolve(revision)
        if state is None:
            raise NothingToResolve(database=self.name, revision=revision, options=self.options)
        return state

    def _check(self) -> None:
        self.table.check(self.name, options=self.options)

    def _run(self, steps: list[Step]) -> list[Step]:
        for step in steps:
            self._statements(step)  # raises for a value that is missing, before anything is run
        if any(step.direction is Direction.DOWN for step in steps):
            for ended in self.table.session.end_idle_transactions():
                log.warning("ended a session that downs would have waited for: %s", ended)
        with nullcontext() if self.autocommit else self.table.session.transaction():
            for step in steps:
                self.table.begin(step)
                self._run_step(step)
                self.table.end(step)
        return steps

    def _statements(self, step: Step) -> Sequence[tuple[int, str]]:
        place = step.evolution.place
        return [
            (line, self.substitutions.apply(text, place=place, line=line)) for line, text in step.script.statements()
        ]

    def _run_step(self, step: Step) -> None:
        for line, statement in self._statements(step):
            try:
                self.table.session.run_script(statement)
            except Refused as refused:
                raise self._failed(step, line, statement, refused) from refused.__cause__

    def _failed(self, step: Step, line: int, statement: str, refused: Refused) -> EvolutionFailed | EvolutionUndone:
        facts = {
            "database": self.name,
            "place": step.evolution.place,
            "line": line,
            "direction": step.direction,
            "revision": step.revision,
            "message": refused.described,
            "code": refused.state,
            "statement": shorten(statement),
        }
        if not self.autocommit:
            return EvolutionUndone(**facts)
        self.table.note(step, refused.problem)
        return EvolutionFailed(**facts, state=step.state, options=self.options)
