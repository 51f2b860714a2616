"""Know where the relations of a clone stand at its newest mark, and tell the server what it cannot see for itself.

It is told with every look: a table for it in the clone would stand in the catalogs that the user's tests read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import field

from mintdb.engines.postgresql.rewind.relations import SEQUENCE, TABLE, Relation, SequenceValue, Survey
from mintdb.facts import dataclass


@dataclass(frozen=True)
class Told:
    """The exceptions, as arrays of PostgreSQL's: other tables are empty, other sequences stand at their start."""

    careful: str  # what cannot simply be emptied or set
    moved: str  # sequences that stand elsewhere than at their start,
    lasts: str  # at these values,
    called: str  # which were given out or not
    newest: int  # oids beyond it are of relations that were made later


@dataclass
class Standing:
    """What may change from mark to mark on one floor."""

    relations: Mapping[int, Relation]
    files: dict[int, int]
    filled: set[int]  # tables with rows
    values: dict[int, SequenceValue]
    unlogged: bool  # there are relations that leave no trail in the WAL
    _told: Told | None = field(default=None)

    @classmethod
    def of(cls, survey: Survey) -> Standing:
        """As a survey found it."""
        relations = survey.relations
        return cls(
            relations,
            {oid: relation.file for oid, relation in relations.items()},
            {oid for oid, relation in relations.items() if not relation.empty},
            {oid: relation.value for oid, relation in relations.items() if relation.value},
            bool(survey.unlogged),
        )

    def fill(self, relation: Relation, *, empty: bool) -> None:
        """Note whether a table has rows at the newest mark."""
        (self.filled.discard if empty else self.filled.add)(relation.oid)
        self._told = None

    def move(self, relation: Relation, value: SequenceValue) -> None:
        """Note where a sequence stands at the newest mark."""
        self.values[relation.oid] = value
        self._told = None

    @property
    def told(self) -> Told:
        """What the server is told with a look."""
        self._told = self._told or self._tell()
        return self._told

    def _tell(self) -> Told:
        moved = [oid for oid, value in self.values.items() if value != self.relations[oid].start]
        return Told(
            array(oid for oid, relation in self.relations.items() if self._takes_care(relation)),
            array(moved),
            array(self.values[oid].last for oid in moved),
            array(str(self.values[oid].called).lower() for oid in moved),
            max(self.relations, default=0),
        )

    def _takes_care(self, relation: Relation) -> bool:
        if relation.kind == TABLE:
            return relation.hooked or relation.foreign_am or relation.oid in self.filled
        return relation.kind == SEQUENCE and relation.cache != 1

    def as_json(self) -> str:
        """Every relation, for a visit to them all."""
        return json.dumps([self._row(relation) for relation in self.relations.values()])

    def _row(self, relation: Relation) -> dict[str, object]:
        value = self.values.get(relation.oid)
        return {
            "rel": relation.oid,
            "kind": relation.kind,
            "name": relation.quoted,
            "empty": relation.oid not in self.filled,
            "last": value and value.last,
            "called": value and value.called,
        }


def array(items: Iterable[object]) -> str:
    """An array of numbers or truths, as PostgreSQL reads it."""
    return "{" + ",".join(map(str, items)) + "}"
