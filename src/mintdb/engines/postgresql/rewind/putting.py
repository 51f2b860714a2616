"""Put tables and sequences back to the newest mark, row by row and in their physical order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field

from psycopg import Cursor, sql
from psycopg.rows import TupleRow

from mintdb.engines.postgresql.rewind.blocks import Blocks
from mintdb.engines.postgresql.rewind.changes import Changes, obstacle_of
from mintdb.engines.postgresql.rewind.copies import Copies
from mintdb.engines.postgresql.rewind.deltas import Undone
from mintdb.engines.postgresql.rewind.facts import CannotRewind
from mintdb.engines.postgresql.rewind.housekeeping import Housekeeper, horizon_holder
from mintdb.engines.postgresql.rewind.marks import Marks
from mintdb.engines.postgresql.rewind.relations import Relation, set_sequence
from mintdb.engines.postgresql.rewind.session import Session
from mintdb.facts import dataclass

WHOLESALE_ROWS = 20_000  # re-inserting costs about 5 µs a row: beyond this a swap to a template is cheaper


@dataclass
class Putter:
    """One put-back: what it did, and its transactions, which the next look must leave out."""

    session: Session
    marks: Marks
    housekeeper: Housekeeper
    own: list[str] = field(default_factory=list)
    rows: int = 0
    tables: list[Relation] = field(default_factory=list)
    in_order: bool = True
    horizon_held_by: int | None = None  # the backend whose snapshot kept the rows from their places

    @property
    def _copies(self) -> Copies:
        return self.marks.floor.copies

    def put(self, changes: Changes) -> None:
        """Put back what `changes` names. Raises CannotRewind; then nothing is to be believed but the WAL."""
        relations = self.marks.floor.relations
        tables = {relations[oid]: blocks for oid, blocks in changes.tables.items()}
        sequences = [relations[oid] for oid in sorted(changes.sequences)]
        self._refuse(tables, sequences)
        held = {relation: self._cover(relation, blocks) for relation, blocks in tables.items()}
        undone = self._undo(held)
        absent = {relation: what.missing for relation, what in undone.items() if what.missing}
        self._refuse_wholesale(absent)
        ordered = [relation for relation in absent if self._copies.keeps_order(relation)]
        strewn = {r: self._ranked(r, numbers) for r, numbers in absent.items() if r not in ordered}
        values = [set_sequence(relation, self.marks.value(relation)) for relation in sequences]
        deletes = [(relation, statement) for relation, what in undone.items() for statement in what.deletes]
        counts = self._transact([statement for _, statement in deletes], strewn, values)
        written = {relation for (relation, _), count in zip(deletes, counts, strict=True) if count}
        strayed = [relation for relation in held if self._copies.has_strayed(relation)]
        self._refill({r: self._ranked(r, [*absent[r], *undone[r].beside]) for r in ordered}, strayed)
        self.rows = sum(counts) + sum(len(what.missing) - len(what.beside) for what in undone.values())
        self.tables = [relation for relation in undone if relation in written or relation in absent]

    def _refuse(self, tables: Mapping[Relation, Blocks], sequences: list[Relation]) -> None:
        for obstacle in filter(None, map(obstacle_of, tables)):
            raise CannotRewind(obstacle)
        for relation in sequences:
            if (relation.cache or 1) > 1 and self._others_live():
                raise CannotRewind(f"a live session may hold cached values of sequence {relation.label}")

    def _others_live(self) -> bool:
        found = self.session.execute(
            "select from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
            " and backend_type = 'client backend' limit 1"
        )
        return found.rowcount > 0

    def _cover(self, relation: Relation, blocks: Blocks) -> Blocks:
        if relation.empty and not self._copies.has(relation):
            return None
        return self._copies.cover(relation, blocks)

    def _undo(self, held: Mapping[Relation, Blocks]) -> dict[Relation, Undone]:
        known = self._copies.undo({relation: blocks for relation, blocks in held.items() if self._copies.has(relation)})
        return {r: known[r] if r in known else Undone([_emptying(r)], [], []) for r in held}

    def _ranked(self, relation: Relation, numbers: list[int]) -> list[int]:
        return self.marks.ranked(relation, sorted(numbers))

    def _refuse_wholesale(self, absent: Mapping[Relation, list[int]]) -> None:
        if self.marks.on_a_floor and sum(map(len, absent.values())) > WHOLESALE_ROWS:
            most = max(absent, key=lambda relation: len(absent[relation]))
            raise CannotRewind(f"{len(absent[most])} rows of {most.label} were changed, more than a swap costs")

    def _insert(self, absent: Mapping[Relation, list[int]]) -> list[Relation]:
        """Returns the tables with a row that does not lie where it lay. Outside of a transaction each has its own."""
        inserted = {relation: self._copies.insert(relation, numbers) for relation, numbers in absent.items()}
        self.own += {one.xid for one in inserted.values()}
        return [relation for relation, one in inserted.items() if not one.at_home]

    def _refill(self, absent: Mapping[Relation, list[int]], strayed: list[Relation]) -> None:
        """Put rows of small tables back where they lay: queries without ORDER BY show it."""
        if absent:
            self.housekeeper.free_places(absent)
        if astray := self._astray([*self._insert(absent), *strayed]):
            self._straighten(astray)

    def _straighten(self, astray: Mapping[Relation, list[int]]) -> None:
        self.horizon_held_by = horizon_holder(self.session)
        if self.horizon_held_by is None:  # nothing that is deleted frees its place otherwise
            self._rewrite(astray)
        self.in_order = not self._astray(astray)

    def _astray(self, tables: Iterable[Relation]) -> dict[Relation, list[int]]:
        """The tables, with all of their rows, whose rows do not lie in order."""
        lying = {relation: self._copies.in_place(relation) for relation in tables}
        return {r: ordered for r, rows in lying.items() if rows != (ordered := self.marks.ranked(r, sorted(rows)))}

    def _rewrite(self, tables: Mapping[Relation, list[int]]) -> None:
        self._transact(list(map(_emptying, tables)), {}, [])
        self.housekeeper.free_places(tables)
        self._insert(tables)

    def _transact(
        self, deletes: list[sql.Composed], absent: Mapping[Relation, list[int]], values: list[sql.Composed]
    ) -> list[int]:
        """Delete, insert and set values in one transaction, and in one trip but for what is inserted.

        Returns how many rows went by each statement.
        """
        with self._copies.journaled():
            try:
                counts = self._begin(*deletes, *(() if absent else (*values, COMMIT)))
                if absent:
                    self._insert(absent)
                    self.session.execute(sql.SQL(";").join([*values, COMMIT]))
            except BaseException:
                if not self.session.closed:
                    self.session.execute("rollback")
                raise
        return counts[: len(deletes)]

    def _begin(self, *statements: sql.Composable) -> list[int]:
        """No savepoint in here: what is re-inserted must carry the transaction's own xid."""
        cursor = self.session.execute(sql.SQL(";").join([BEGIN, *statements]))
        cursor.nextset()
        self.own += [str(xid) for (xid,) in cursor]
        return _counts(cursor)


# Of two results.
BEGIN, COMMIT = sql.SQL("begin; select pg_current_xact_id()::xid::text"), sql.SQL("commit")


def _counts(cursor: Cursor[TupleRow]) -> list[int]:
    """How many rows each further statement had."""
    counts = []
    while cursor.nextset():
        counts.append(cursor.rowcount)
    return counts


def _emptying(relation: Relation) -> sql.Composed:
    return sql.SQL("delete from only {}").format(relation.identifier)
