"""Name a table's columns in the statements that carry rows between it and its side table, which binds no type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString

from psycopg import sql

from mintdb.engines.postgresql.rewind.relations import FIRST_USER_OID, Relation
from mintdb.engines.postgresql.rewind.session import Session
from mintdb.facts import dataclass


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
    """What no two rows of a table may have in common: columns or expressions, each by `=` or an operator of its own."""

    parts: tuple[str, ...]  # names of columns where `is_plain`, else SQL
    operators: tuple[str, ...]
    where: str | None  # only such rows count
    is_plain: bool


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

    def same(self, key: Key, one: str, other: str) -> sql.Composable:
        """The condition that two rows of the side table have the same key."""
        pairs = zip(self._parts(key, one), key.operators, self._parts(key, other), strict=True)
        terms: list[sql.Composable] = [sql.SQL(" ").join([mine, sql.SQL(by), theirs]) for mine, by, theirs in pairs]
        if key.where:
            terms += [self._said(key.where, table) for table in (one, other)]
        return sql.SQL("({})").format(sql.SQL(" and ").join(terms))

    def _parts(self, key: Key, table: str) -> list[sql.Composable]:
        if not key.is_plain:
            return [self._said(part, table) for part in key.parts]
        columns = {column.name: column for column in self.columns}
        return [columns[name].value(table) for name in key.parts]

    def _said(self, expression: str, table: str) -> sql.Composable:
        """An expression on the table's own columns, of a row in the side table."""
        row: list[sql.Composable] = [
            sql.SQL("{} as {}").format(column.value(table), sql.Identifier(column.name)) for column in self.columns
        ]
        return sql.SQL("(select {} from (select {}) r)").format(sql.SQL(expression), sql.SQL(", ").join(row))


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


KEYS: LiteralString = """
select case when plain then columns else expressions end, case when operators = '{}' then equal else operators end,
       case when not plain then pg_get_expr(i.indpred, i.indrelid) end, plain
  from pg_index i
  left join pg_constraint c on c.conindid = i.indexrelid and c.conrelid = i.indrelid and c.conexclop is not null,
  lateral (select i.indpred is null and i.indexprs is null and c.oid is null,
    array(select case when (to_jsonb(i) ->> 'indnullsnotdistinct')::boolean then 'is not distinct from' else '=' end
            from generate_series(1, i.indnkeyatts)),
    array(select format('operator(%%I.%%s)', n.nspname, o.oprname)
            from unnest(c.conexclop) with ordinality u (operator, place) join pg_operator o on o.oid = u.operator
            join pg_namespace n on n.oid = o.oprnamespace order by place),
    array(select pg_get_indexdef(i.indexrelid, place, true)
            from generate_series(1, i.indnkeyatts) place order by place),
    array(select a.attname::text from unnest(i.indkey) with ordinality k (number, place)
            join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number
           where place <= i.indnkeyatts order by place)
  ) found (plain, equal, operators, expressions, columns)
 where i.indrelid = %s and (i.indisunique or c.oid is not null)
"""


def keys(session: Session, relation: Relation) -> list[Key]:
    """Every key of a table, of unique indexes and of constraints that exclude; what is checked late, too."""
    rows = session.execute(KEYS, (relation.oid,))
    return [Key(tuple(parts), tuple(operators), where, is_plain=plain) for parts, operators, where, plain in rows]
