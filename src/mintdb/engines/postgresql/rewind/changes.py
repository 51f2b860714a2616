"""Turn what the WAL or a sweep named into what has to be put back, or into the reason why only a swap will do."""

from __future__ import annotations

from dataclasses import field

from mintdb.engines.postgresql.rewind.blocks import Blocks, joined
from mintdb.engines.postgresql.rewind.catalogs import PG_CLASS, Surroundings, reason, surroundings
from mintdb.engines.postgresql.rewind.floor import Floor
from mintdb.engines.postgresql.rewind.relations import (
    CATALOG,
    MATVIEW,
    SEQUENCE,
    TABLE,
    Relation,
    refiled,
)
from mintdb.engines.postgresql.rewind.session import Session
from mintdb.engines.postgresql.rewind.wal import Look
from mintdb.facts import dataclass


@dataclass
class Changes:
    """Tables with the blocks to look at, sequences, catalogs; and the first obstacle to an exact rewind."""

    tables: dict[int, Blocks] = field(default_factory=dict)
    sequences: set[int] = field(default_factory=set)
    catalogs: dict[int, Blocks] = field(default_factory=dict)
    obstacle: str | None = None
    outside: tuple[str, ...] = ()
    refiled: dict[int, int] = field(default_factory=dict)  # relations in new files, and which
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


def found(session: Session, floor: Floor, look: Look, own: set[str]) -> Changes:
    """What `look` named, sorted by kind and judged. `own` are our transactions that wrote to the catalogs.

    Nothing is taken note of: a second try has to find the same.
    """
    changes = Changes()
    for touch in look.touches:
        changes.add(floor.relations[touch.oid], None if touch.odd else touch.blocks)
    if look.shared:
        _look_around(session, floor, changes)
    _look_for_ddl(session, floor, changes, own)
    return changes


def _look_around(session: Session, floor: Floor, changes: Changes) -> None:
    changes.around = surroundings(session)
    if changes.around.database != floor.around.database:
        changes.hinder("settings, rights or the comment of the database itself were changed")
    changes.outside = changes.around.differences(floor.around)


def _look_for_ddl(session: Session, floor: Floor, changes: Changes, own: set[str]) -> None:
    for oid, blocks in changes.catalogs.items():
        if changes.obstacle:  # one is enough for a swap; each further catalog costs milliseconds
            return
        if floor.catalogs.changed(floor.relations[oid], blocks, own):
            changes.hinder(reason(floor.relations[oid]))
    if PG_CLASS in changes.catalogs and not changes.obstacle:
        _look_for_new_files(session, floor, changes)


def _look_for_new_files(session: Session, floor: Floor, changes: Changes) -> None:
    changes.refiled = refiled(session, floor.standing.files)
    for relation in map(floor.relations.__getitem__, changes.refiled):
        changes.add(relation, None)
        if relation.kind == CATALOG:
            changes.hinder(f"catalog {relation.name} was rewritten")


def accept(floor: Floor, changes: Changes) -> None:
    """Take note of what has been put back, or told: not before, or a second try would miss it."""
    floor.standing.files.update(changes.refiled)
    if changes.around:  # told once: nobody can put it back
        floor.around = changes.around


def obstacle_of(relation: Relation) -> str | None:
    """Why a written table cannot be put back row by row."""
    if relation.hooked:
        return f"{relation.label} has an ALWAYS or REPLICA trigger or rule, which would fire"
    if relation.foreign_am:
        return f"{relation.label} is not kept by the heap access method"
    return None
