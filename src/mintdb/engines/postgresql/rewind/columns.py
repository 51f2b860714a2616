"""Name a table's columns in the statements that carry rows between it and its side table, which binds no type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from mintdb.engines.postgresql.rewind.relations import FIRST_USER_OID, Relation
from mintdb.engines.postgresql.rewind.session import Session


@dataclass(frozen=True)
class Column:
    """A stored column. What is of a type or a collation of the user's is kept as text: both can still be dropped."""

    name: str
    generated: bool
    own_type: str | None  # as SQL names it

    @property
    def kept(self) -> sql.Composable:
        """Its value in `t`, as a side table keeps it."""
        own = sql.SQL('{}::text collate "C" as {}') if self.own_type else sql.SQL("{}")
        return own.format(sql.Identifier("t", self.name), sql.Identifier(self.name))

    def value(self, table: str) -> sql.Composable:
        """Its value again, from the side table."""
        kept = sql.Identifier(table, self.name)
        return sql.SQL("{}::{}").format(kept, sql.SQL(self.own_type)) if self.own_type else kept


@dataclass(frozen=True)
class Key:
    """Columns that no two rows have the same values in."""

    names: frozenset[str]
    of_nulls: bool  # two nulls count as the same


@dataclass(frozen=True)
class Shape:
    """The columns of a table: what is stored, and what of it is computed."""

    columns: tuple[Column, ...]

    @property
    def written(self) -> tuple[Column, ...]:
        """Those that an insert may name."""
        return tuple(column for column in self.columns if not column.generated)

    @property
    def generated(self) -> tuple[str, ...]:
        """The names of those that are computed."""
        return tuple(column.name for column in self.columns if column.generated)

    @property
    def kept(self) -> sql.Composed | None:
        """All, read from `t` as a side table keeps them; None where there is none."""
        return sql.SQL(", ").join(column.kept for column in self.columns) if self.columns else None

    @property
    def more(self) -> sql.Composable:
        """The names of all, each behind a comma."""
        return sql.SQL("").join(sql.SQL(", {}").format(sql.Identifier(column.name)) for column in self.columns)

    @property
    def has_own_types(self) -> bool:
        """Whether some are kept as text."""
        return any(column.own_type for column in self.columns)

    def same(self, key: Key, one: str, other: str) -> sql.Composable:
        """The condition that two rows of the side table have the same key."""
        columns = [column for column in self.columns if column.name in key.names]
        is_same = sql.SQL("{} is not distinct from {}" if key.of_nulls else "{} = {}")
        return sql.SQL("({})").format(
            sql.SQL(" and ").join(is_same.format(column.value(one), column.value(other)) for column in columns)
        )


def names(columns: Sequence[Column]) -> sql.Composed:
    """The names, as an insert lists them."""
    return sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)


def values(columns: Sequence[Column], table: str) -> sql.Composed:
    """The values again, from the side table."""
    return sql.SQL(", ").join(column.value(table) for column in columns)


def shape(session: Session, relation: Relation) -> Shape:
    """The stored columns of a table; virtual generated ones hold nothing.

    A type with a cast of its own to or from text is kept as it is: only the type's own text is known to be exact.
    """
    rows = session.execute(
        "select attname, attgenerated <> '',"
        " case when atttypid < %(first)s and attcollation >= %(first)s or atttypid >= %(first)s and not exists ("
        " select from pg_cast where castmethod = 'f'"
        " and (castsource, casttarget) in ((atttypid, 'text'::regtype), ('text'::regtype, atttypid)))"
        " then format_type(atttypid, atttypmod) end from pg_attribute"
        " where attrelid = %(table)s and attnum > 0 and not attisdropped and attgenerated <> 'v' order by attnum",
        {"first": FIRST_USER_OID, "table": relation.oid},
    )
    return Shape(tuple(Column(*row) for row in rows))


def unique_keys(session: Session, relation: Relation) -> list[Key]:
    """The columns of each key that the table enforces at once; those on expressions or on parts are left out."""
    rows = session.execute(
        "select array_agg(a.attname), coalesce(bool_or((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean), false)"
        " from pg_index i, unnest(i.indkey) with ordinality k (attnum, n),"
        " pg_attribute a where i.indrelid = %s and i.indisunique and i.indimmediate and i.indpred is null"
        " and i.indexprs is null and k.n <= i.indnkeyatts and a.attrelid = i.indrelid and a.attnum = k.attnum"
        " group by i.indexrelid",
        (relation.oid,),
    )
    return [Key(frozenset(columns), of_nulls=of_nulls) for columns, of_nulls in rows]
