"""Name a table's columns in the statements that read its rows and put them back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString

from psycopg import sql

from mintdb.engines.postgresql.rewind.relations import FIRST_USER_OID, Relation
from mintdb.engines.postgresql.rewind.session import Session
from mintdb.engines.postgresql.rewind.wire import Literals, Rows, Value
from mintdb.facts import dataclass


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    name: str
    generated: str  # empty, or how it is computed: "s" stored, "v" when it is read
    said_as: LiteralString | None = None  # the type by which text says exactly what it holds, where its own does not

    @property
    def value(self) -> sql.Composable:
        """What of it is kept of a row `t`: nothing of what is only computed when it is read."""
        return sql.SQL("null") if self.generated == "v" else sql.Identifier("t", self.name)

    @property
    def said(self) -> sql.Composable:
        """The same, where it travels as text."""
        return self.value + sql.SQL("::" + self.said_as) if self.said_as else self.value


@dataclass(frozen=True)
class Key:
    """What no two rows of a table may have in common: columns or expressions, each by `=` or an operator of its own."""

    parts: tuple[str, ...]  # names of columns where `is_plain`, else SQL
    operators: tuple[str, ...]
    where: str | None  # only such rows count
    is_plain: bool


@dataclass(frozen=True)
class Shape:
    """The columns of a table, and how its rows travel."""

    table: sql.Identifier  # and the type of its rows
    columns: tuple[Column, ...]
    oid: int  # of that type
    is_binary: bool  # no type of the user's, which has another oid in another database, and none without such a form
    is_exact: bool  # what it says is all that it holds

    @property
    def written(self) -> tuple[Column, ...]:
        """Those that an insert may name."""
        return tuple(column for column in self.columns if not column.generated)

    @property
    def generated(self) -> tuple[str, ...]:
        """The names of those that are computed and stored."""
        return tuple(column.name for column in self.columns if column.generated == "s")

    @property
    def value(self) -> sql.Composed:
        """A row `t` as it travels."""
        if self.is_binary:
            columns = sql.SQL(", ").join(column.value for column in self.columns)
            return sql.SQL("record_send(row({})::{})").format(columns, self.table)
        # Of no type of the user's, who may have declared casts of it to text.
        said = sql.SQL(", ").join(column.said for column in self.columns)
        return sql.SQL("textsend(textin(array_out(array[row({})::text])))").format(said)

    def rows(self, values: Sequence[Value]) -> Rows | Literals:
        """Rows that have travelled, as a parameter."""
        return Rows(values, self.oid) if self.is_binary else Literals(values)

    def unnest(self, parameter: LiteralString) -> sql.Composed:
        """The rows of a parameter, which is read as an array of them and never cast."""
        return sql.SQL("unnest({}::{}[])").format(sql.SQL(parameter), self.table)

    @property
    def names(self) -> sql.Composed:
        """The names of all, as an alias lists them."""
        return names(self.columns)

    def same(self, key: Key, one: str, other: str) -> sql.Composable:
        """The condition that two rows have the same key."""
        pairs = zip(self._parts(key, one), key.operators, self._parts(key, other), strict=True)
        terms: list[sql.Composable] = [sql.SQL(" ").join([mine, sql.SQL(by), theirs]) for mine, by, theirs in pairs]
        if key.where:
            terms += [self._said(key.where, table) for table in (one, other)]
        return sql.SQL("({})").format(sql.SQL(" and ").join(terms))

    def _parts(self, key: Key, table: str) -> list[sql.Composable]:
        if not key.is_plain:
            return [self._said(part, table) for part in key.parts]
        return [sql.Identifier(table, name) for name in key.parts]

    def _said(self, expression: str, table: str) -> sql.Composable:
        """An expression on the table's own columns, of a row of `table`."""
        row = [sql.Identifier(table, column.name) for column in self.columns]
        return sql.SQL("(select {} from (select {}) r)").format(sql.SQL(expression), sql.SQL(", ").join(row))


def names(columns: Sequence[Column]) -> sql.Composed:
    """The names, as an insert lists them."""
    return sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)


# Of a statement that names its columns' types in `touched`: all types that they are made of, and which are only within
# a type of the user's.
TYPES = sql.SQL("""
types (oid, within) as (
  select atttypid, false from touched
  union
  select part.oid, types.within or types.oid >= %(first)s from types join pg_type t using (oid), lateral (
    select t.typbasetype union all select t.typelem
    union all select attribute.atttypid from pg_attribute attribute
               where attribute.attrelid = t.typrelid and attribute.attnum > 0 and not attribute.attisdropped
    union all select r.rngsubtype from pg_range r where t.oid in (r.rngtypid, r.rngmultitypid)) part (oid)
   where part.oid <> 0
)""")
# The name of an overloaded function is not enough to find it again, and xml leaves its declaration out.
SHAPE = sql.SQL("""
with recursive touched as (
  select atttypid from pg_attribute where attrelid = %(table)s and attnum > 0 and not attisdropped
), {types}
select attname, attgenerated::text,
       case when coalesce(e.oid, t.oid) in ('regproc'::regtype, 'regoper'::regtype)
            then case when e.oid is null then 'oid' else 'oid[]' end
            when coalesce(e.oid, t.oid) = 'xml'::regtype then case when e.oid is null then 'text' else 'text[]' end end,
       c.reltype, coalesce(e.oid, t.oid) <> 'xml'::regtype
       and atttypid < %(first)s and t.typsend <> 0 and (t.typelem = 0 or e.typsend <> 0),
       exists (select from types where within and oid = 'xml'::regtype)
  from pg_class c left join pg_attribute on attrelid = c.oid and attnum > 0 and not attisdropped
  left join pg_type t on t.oid = atttypid left join pg_type e on e.oid = t.typelem
 where c.oid = %(table)s order by attnum
""").format(types=TYPES)


def shape(session: Session, relation: Relation) -> Shape:
    """Learn the columns of a table."""
    found = session.execute(SHAPE, {"first": FIRST_USER_OID, "table": relation.oid}).fetchall()
    columns = tuple(Column(*row[:3]) for row in found if row[0])
    return Shape(relation.identifier, columns, found[0][3], all(row[4] for row in found), is_exact=not found[0][5])


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
