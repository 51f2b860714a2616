"""Turn what the WAL or a sweep named into what has to be put back, or into the reason why only a swap will do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mintdb.engines.postgresql.rewind.blocks import Blocks, joined
from mintdb.engines.postgresql.rewind.catalogs import Surroundings
from mintdb.engines.postgresql.rewind.relations import CATALOG, MATVIEW, SEQUENCE, TABLE, Relation
from mintdb.engines.postgresql.rewind.wal import Touch


@dataclass
class Changes:
    """Tables with the blocks to look at, sequences, catalogs; and the first obstacle to an exact rewind."""

    tables: dict[int, Blocks] = field(default_factory=dict)
    sequences: set[int] = field(default_factory=set)
    catalogs: dict[int, Blocks] = field(default_factory=dict)
    obstacle: str | None = None
    outside: tuple[str, ...] = ()
    refiled: bool = False
    around: Surroundings | None = None  # what lies around the database now

    def add(self, relation: Relation, blocks: Blocks) -> None:
        """Count `relation` as touched in `blocks`."""
        if relation.kind == SEQUENCE:
            self.sequences.add(relation.oid)
        elif relation.kind == CATALOG:
            self.catalogs[relation.oid] = joined(self.catalogs.get(relation.oid, frozenset()), blocks)
        elif relation.kind == TABLE:
            self.tables[relation.oid] = joined(self.tables.get(relation.oid, frozenset()), blocks)
        elif relation.kind == MATVIEW:
            self.hinder(f"materialized view {relation.label} was changed")

    def any(self) -> bool:
        """Whether there is anything to put back, or to tell."""
        return bool(self.obstacle or self.tables or self.sequences or self.outside)

    def hinder(self, reason: str) -> None:
        """Only a swap is exact. The first reason is the one that is told."""
        self.obstacle = self.obstacle or reason


def gathered(relations: Mapping[int, Relation], touches: tuple[Touch, ...]) -> Changes:
    """Sort what was touched by kind."""
    changes = Changes()
    for touch in touches:
        changes.add(relations[touch.oid], None if touch.odd else touch.blocks)
    return changes


def obstacle_of(relation: Relation) -> str | None:
    """Why a written table cannot be put back row by row."""
    if relation.hooked:
        return f"{relation.label} has an ALWAYS or REPLICA trigger or rule, which would fire"
    if relation.foreign_am:
        return f"{relation.label} is not kept by the heap access method"
    return None
