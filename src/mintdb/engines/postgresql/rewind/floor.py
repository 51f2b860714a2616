"""Know a state that has a template of its own: the base, or a mark with DDL. Marks with rows only stand on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mintdb.engines.postgresql.rewind.catalogs import CatalogMark, Surroundings, catalogs, surroundings
from mintdb.engines.postgresql.rewind.copies import Copies, own_xid
from mintdb.engines.postgresql.rewind.relations import TABLE, Relation, Survey, recall, survey
from mintdb.engines.postgresql.rewind.session import Session
from mintdb.engines.postgresql.rewind.standing import Standing
from mintdb.facts import dataclass


@dataclass
class Floor:
    """Relations, catalogs and rows of one floor on one session."""

    level: int
    survey: Survey
    standing: Standing
    copies: Copies
    catalogs: CatalogMark
    around: Surroundings

    @property
    def relations(self) -> Mapping[int, Relation]:
        """By oid."""
        return self.survey.relations

    def named(self, label: str) -> Relation:
        """The relation of that name; oids may be others in another clone."""
        return next(relation for relation in self.relations.values() if relation.label == label)


def lay(
    session: Session,
    reference: Callable[[], Session] | None,
    level: int,
    temporary: set[str],
    known: Survey | None = None,
    kept: bytes = b"",
) -> Floor:
    """Take the clone as it is now for a floor. `temporary` are transactions of ours that wrote to its catalogs.

    `known` is the survey of another fresh clone of the same template, `kept` the map of one by some other process.
    """
    with session.transaction():
        found = recall(session, known) if known else survey(session, kept)
        temporary.add(own_xid(session))
    copies, mark = Copies(session, reference), CatalogMark(session, reference)
    if reference is None:  # nothing to fetch from later: hold everything now
        copies.hold(r for r in found.relations.values() if r.kind == TABLE and not r.empty)
        mark.hold(catalogs(found.relations.values()))
    return Floor(level, found, Standing.of(found), copies, mark, surroundings(session))
