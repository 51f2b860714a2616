"""What is to be run, and in which order: pure functions of what the files say and what the database has."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from mintdb.facts import dataclass
from mintdb.schemas.evolutions.files import Evolution, Script


class Direction(StrEnum):
    """Which of an evolution's two scripts is run."""

    UP = "up"
    DOWN = "down"


@dataclass(frozen=True)
class Step:
    """One script to be run."""

    evolution: Evolution
    direction: Direction

    @property
    def revision(self) -> int:
        """The evolution's number."""
        return self.evolution.revision

    @property
    def script(self) -> Script:
        """What is run."""
        return self.evolution.ups if self.direction is Direction.UP else self.evolution.downs

    @property
    def state(self) -> str:
        """What play_evolutions says while it runs."""
        return f"applying_{self.direction}"


def plan(files: Sequence[Evolution], applied: Sequence[Evolution]) -> list[Step]:
    """The downs of what is applied and differs from its file or has none, then the ups that are missing.

    From the first revision that differs on everything is undone, with the downs that were stored when it was applied,
    and done anew. Without any file nothing is planned: a folder that is not there must not empty a database.
    """
    if not files:
        return []
    wanted = {evolution.revision: evolution.hash for evolution in files}
    kept = _first_difference(wanted, {evolution.revision: evolution.hash for evolution in applied})
    ups = [Step(evolution, Direction.UP) for evolution in files if evolution.revision >= kept]
    return undo([evolution for evolution in applied if evolution.revision >= kept]) + ups


def undo(applied: Sequence[Evolution]) -> list[Step]:
    """The stored downs, highest revision first."""
    in_order = sorted(applied, key=lambda evolution: evolution.revision, reverse=True)
    return [Step(evolution, Direction.DOWN) for evolution in in_order]


def _first_difference(wanted: dict[int, str], applied: dict[int, str]) -> int:
    """The lowest revision that is not the same on both sides; one above all where there is none."""
    revisions = sorted(wanted.keys() | applied.keys())
    return next((n for n in revisions if wanted.get(n) != applied.get(n)), revisions[-1] + 1)
