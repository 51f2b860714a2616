"""Foresee that rows could not be inserted a second time, so that their mark gets a template of its own in time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import LiteralString

from mintdb.engines.postgresql.rewind.changes import obstacle_of
from mintdb.engines.postgresql.rewind.relations import FIRST_USER_OID, Relation
from mintdb.engines.postgresql.rewind.session import Session

# Of the user's own functions only their word is known that they are immutable. Foreign keys are not looked at, because
# in replica role they are not enforced; nor is NOT VALID, because a mark's own rows were checked all the same.
FICKLE: LiteralString = """
with touched as (
  select attrelid, atttypid, attnum, attgenerated from pg_attribute
   where attrelid = any (%s) and attnum > 0 and not attisdropped
), types as (
  select atttypid from touched union select typbasetype from pg_type where oid in (select atttypid from touched)
), expressions (said) as (
  select conbin::text from pg_constraint
   where contype = 'c' and (conrelid = any (%s) or contypid in (select atttypid from types))
  union all
  select adbin::text from pg_attrdef d join touched t on (t.attrelid, t.attnum) = (d.adrelid, d.adnum)
   where t.attgenerated = 's'
)
select from expressions
 where said ~ 'SQLVALUEFUNCTION' or exists (
   select from regexp_matches(said, ':(?:funcid|opfuncid) (\\d+)', 'g') m join pg_proc p on p.oid = m[1]::oid
    where p.provolatile <> 'i' or p.oid >= %s)
union all
select from unnest(%s) rel
 where not exists (select from touched t where t.attrelid = rel and t.attgenerated = '')
limit 1
"""


def can_be_inserted_again(session: Session, relations: Iterable[Relation]) -> bool:
    """Whether what lies in these tables could be put into a fresh clone, at any later time, as it is."""
    relations = list(relations)
    if any(map(obstacle_of, relations)):
        return False
    oids = [relation.oid for relation in relations]
    return not oids or not session.execute(FICKLE, (oids, oids, FIRST_USER_OID, oids)).rowcount
