"""Foresee that rows could not be inserted a second time, so that their mark gets a template of its own in time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import LiteralString

from psycopg import sql

from mintdb.engines.postgresql.rewind.changes import obstacle_of
from mintdb.engines.postgresql.rewind.columns import TYPES
from mintdb.engines.postgresql.rewind.relations import FIRST_USER_OID, Relation
from mintdb.engines.postgresql.rewind.session import Session

# Of the user's own functions only their word is known that they are immutable; in an index, where they are usual, they
# are believed unless they read a table, a setting or the clock. Foreign keys are not looked at, because in replica role
# they are not enforced. What a constraint NOT VALID has let stay would have to be inserted with its neighbours.
# What is read from text as a time, or written so, depends on the DateStyle of whoever wrote the row.
# Some types do not say in text all that they hold, which is how they travel within a type of the user's.
FICKLE = sql.SQL("""
with recursive touched as (
  select attrelid, atttypid, attnum, attgenerated from pg_attribute
   where attrelid = any (%(tables)s) and attnum > 0 and not attisdropped
), {types}, expressions (said, in_index) as (
  select conbin::text, false from pg_constraint
   where contype = 'c' and (conrelid = any (%(tables)s) or contypid in (select oid from types))
  union all
  select adbin::text, false from pg_attrdef d join touched t on (t.attrelid, t.attnum) = (d.adrelid, d.adnum)
   where t.attgenerated = 's'
  union all
  select partexprs::text, false
    from unnest(%(tables)s) rel, pg_partition_ancestors(rel) a join pg_partitioned_table p on p.partrelid = a.relid
  union all
  select concat(indexprs, indpred), true from pg_index where indrelid = any (%(tables)s)
)
select from expressions
 where said ~ 'SQLVALUEFUNCTION'
    or said ~ 'COERCEVIAIO' and said ~ ':(?:vartype|resulttype|funcresulttype) (1082|1083|1114|1184|1186|1266)\\M'
    or exists (
      select from regexp_matches(said, ':(?:funcid|opfuncid) (\\d+)', 'g') m join pg_proc p on p.oid = m[1]::oid
       where p.provolatile <> 'i' or p.oid >= %(first)s and (not in_index
             or coalesce(pg_get_function_sqlbody(p.oid), p.prosrc) ~* '\\m(from|now|current_\\w+|clock_timestamp)\\M'))
union all
select from pg_constraint
 where contype in ('c', 'n') and not convalidated
   and (conrelid = any (%(tables)s) or contypid in (select oid from types))
union all
select from types join pg_type t using (oid)
 where t.oid < %(first)s and within and (typname in ('regproc', 'regoper', 'xml') or %(dumped)s and typname ~ '^reg')
union all
select from unnest(%(tables)s) rel
 where not exists (select from touched t where t.attrelid = rel and t.attgenerated = '')
limit 1
""").format(types=TYPES)


def can_be_inserted_again(session: Session, relations: Iterable[Relation], *, dumped: bool) -> bool:
    """Whether what lies in these tables could be put into a fresh clone, at any later time, as it is.

    `dumped` says that this clone may be made from a dump.
    """
    relations = list(relations)
    if any(map(obstacle_of, relations)):
        return False
    oids = [relation.oid for relation in relations]
    if oids and session.execute(FICKLE, {"tables": oids, "first": FIRST_USER_OID, "dumped": dumped}).rowcount:
        return False
    return not (dumped and oids and _refers(session, relations))


NAMING: LiteralString = """
select attrelid, attname from pg_attribute join pg_type t on t.oid = atttypid left join pg_type e on e.oid = t.typelem
 where attrelid = any (%s) and attnum > 0 and not attisdropped and coalesce(e.typname, t.typname) ~ '^reg'
   and t.oid < %s
"""


def _refers(session: Session, relations: Iterable[Relation]) -> bool:
    """Whether a row refers to a table, function or type of the user's, whose oid is another after a dump."""
    by_oid = {relation.oid: relation for relation in relations}
    statement = sql.SQL("select from only {} where {} <= any (array[{}]::oid[]) limit 1")
    columns = session.execute(NAMING, (list(by_oid), FIRST_USER_OID)).fetchall()
    return any(
        session.execute(statement.format(by_oid[oid].identifier, FIRST_USER_OID, sql.Identifier(name))).rowcount
        for oid, name in columns
    )
