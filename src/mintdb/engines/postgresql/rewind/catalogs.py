"""Tell DDL from what only looks like it: a catalog counts as changed when its rows really differ from the mark's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from typing import LiteralString, TypeAlias

from psycopg import sql

from mintdb.engines.postgresql.rewind.blocks import Blocks, lies_in, live
from mintdb.engines.postgresql.rewind.relations import CATALOG, Relation
from mintdb.engines.postgresql.rewind.session import Session
from mintdb.facts import dataclass

Identity: TypeAlias = tuple[str, str]  # ctid, xmin
Rows: TypeAlias = Mapping[Identity, int | None]  # and a hash of what the row says, where it is known

PG_CLASS, PG_NAMESPACE, PG_LARGEOBJECT, PG_LARGEOBJECT_METADATA = 1259, 2615, 2613, 2995

# https://www.postgresql.org/docs/current/catalogs-overview.html; a table that comes or goes is first seen by its type.
MEANINGS = {
    "pg_attrdef": "defaults of columns",
    "pg_attribute": "columns",
    "pg_class": "tables, views, indexes or sequences, or rights on them",
    "pg_constraint": "constraints",
    "pg_description": "comments",
    "pg_enum": "values of an enum",
    "pg_index": "indexes",
    "pg_namespace": "schemas, or rights on them",
    "pg_policy": "policies of rows",
    "pg_proc": "functions",
    "pg_rewrite": "views or rules",
    "pg_trigger": "triggers or foreign keys",
    "pg_type": "tables or types",
}

# Where a relation's file is and what the planner guesses; the relhas* are lazy hints that only VACUUM takes back.
PG_CLASS_HINTS = {
    *("relfilenode", "relpages", "reltuples", "relallvisible", "relallfrozen", "relfrozenxid", "relminmxid"),
    *("relhasindex", "relhasrules", "relhastriggers", "relhassubclass"),
}

OF_DATABASE: LiteralString = """
select coalesce(md5(string_agg(s, ' ' order by s)), '') from (
  select (datdba, datconnlimit, datacl)::text from pg_database where datname = current_database()
  union all select (setrole, setconfig)::text from pg_db_role_setting
             where setdatabase = (select oid from pg_database where datname = current_database())
  union all select d::text from pg_shdescription d
             where objoid = (select oid from pg_database where datname = current_database())
               and classoid = 'pg_database'::regclass
) r (s)
"""
OUTSIDE: Mapping[str, LiteralString] = {
    "roles": "select coalesce(md5(string_agg(s, ' ' order by s)), '') from ("
    " select a::text from pg_authid a union all select m::text from pg_auth_members m"
    " union all select s::text from pg_db_role_setting s where setdatabase = 0) r (s)",
    "tablespaces": "select coalesce(md5(string_agg(t::text, ' ' order by t.oid)), '') from pg_tablespace t",
}

# mintdb's own come and go all the time: it knows most of them by their names, the rest by its registry.
DATABASES: LiteralString = "array(select datname::text from pg_database where datname !~ '^mint(db$|_)')"
DATABASE = "database "  # begins what tells of one


def net_change(then: Rows, now: Rows) -> bool:
    """Whether `now` says something else than `then`; a row that was changed and changed back does not count."""
    young = Counter(said for identity, said in now.items() if identity not in then)
    gone = Counter(said for identity, said in then.items() if identity not in now)
    return young != gone


def reason(relation: Relation) -> str:
    """What a change of this catalog means to a person."""
    if relation.oid in (PG_LARGEOBJECT, PG_LARGEOBJECT_METADATA):
        return "a large object was written"
    meaning = f": {MEANINGS[relation.name]}" if relation.name in MEANINGS else ""
    return f"the schema was changed{meaning} ({relation.name})"


@dataclass
class CatalogMark:
    """What the catalogs said at the floor: read on demand from the reference, or at once where there is none.

    Hashing them all would take half a second, so without a reference little more than pg_class is: what TRUNCATE leaves
    still counts as nothing, a rename and back makes a swap.
    """

    session: Session
    reference: Callable[[], Session] | None
    held: dict[int, dict[Identity, int | None]] = field(default_factory=dict)

    def hold(self, catalogs: Iterable[Relation]) -> None:
        """Keep every row's identity."""
        arms = [self._arm(relation) for relation in catalogs]
        for oid, at, xid, said in self.session.execute(sql.SQL(" union all ").join(arms)):
            self.held.setdefault(oid, {})[at, xid] = said

    def _arm(self, relation: Relation) -> sql.Composed:
        head = sql.SQL("select {}::oid, mint_at::text, mint_x::text, ").format(relation.oid)
        if relation.oid not in (PG_CLASS, PG_NAMESPACE):
            return head + sql.SQL("null::int8 as said from ({}) r").format(live(relation, None))
        rows = live(relation, None, _said(self.session, relation))
        return head + sql.SQL("hashtextextended(said, 0) as said from ({}) r where said is not null").format(rows)

    def changed(self, relation: Relation, blocks: Blocks, own: set[str]) -> bool:
        """Whether `blocks` of a catalog really differ, what the rewind's own session made there left out."""
        then, now = self._then(relation, blocks), read(self.session, relation, blocks)
        return net_change(_without(then, own), _without(now, own))

    def _then(self, relation: Relation, blocks: Blocks) -> Rows:
        if self.reference is not None:
            return read(self.reference(), relation, blocks)
        held = self.held.get(relation.oid, {})
        return {identity: said for identity, said in held.items() if lies_in(blocks, identity[0])}


def _without(rows: Rows, xids: set[str]) -> Rows:
    return {identity: said for identity, said in rows.items() if identity[1] not in xids}


def read(session: Session, relation: Relation, blocks: Blocks) -> dict[Identity, int]:
    """The rows of a catalog in `blocks`, hashed."""
    rows = session.execute(
        sql.SQL(
            "select mint_at::text, mint_x::text, hashtextextended(said, 0) from ({}) r where said is not null"
        ).format(live(relation, blocks, _said(session, relation)))
    )
    return {(row[0], row[1]): row[2] for row in rows}


def _said(session: Session, relation: Relation) -> sql.Composable:
    if relation.oid == PG_NAMESPACE:  # a session's first temporary table leaves its schema behind
        return sql.SQL("case when nspname !~ '^pg_(toast_)?temp_' then t::text end as said")
    if relation.oid != PG_CLASS:
        return sql.SQL("t::text as said")
    rows = session.execute(
        "select attname from pg_attribute where attrelid = %s and attnum > 0 order by attnum", (PG_CLASS,)
    )
    columns = (sql.Identifier("t", row[0]) for row in rows if row[0] not in PG_CLASS_HINTS)
    return sql.SQL("row({})::text as said").format(sql.SQL(", ").join(columns))


def catalogs(relations: Iterable[Relation]) -> list[Relation]:
    """Those of `relations` that are the server's own."""
    return [relation for relation in relations if relation.kind == CATALOG]


@dataclass(frozen=True)
class Surroundings:
    """Digests of what lies around the database: its own settings, and what no swap can undo."""

    database: str
    databases: frozenset[str]  # that there are, mintdb's left out where they have names of its own
    outside: Mapping[str, str]

    def differences(self, earlier: Surroundings) -> tuple[str, ...]:
        """Names of what changed outside any database, and of databases that are new."""
        changed = [name for name, digest in self.outside.items() if earlier.outside[name] != digest]
        return (*changed, *(f"{DATABASE}{name}" for name in sorted(self.databases - earlier.databases)))


def surroundings(session: Session) -> Surroundings:
    """Read the digests."""
    digests = sql.SQL(", ").join(sql.SQL("({})").format(sql.SQL(query)) for query in (OF_DATABASE, *OUTSIDE.values()))
    row = session.execute(sql.SQL("select {}, ").format(sql.SQL(DATABASES)) + digests).fetchone()
    assert row is not None
    databases, database, *outside = row
    return Surroundings(database, frozenset(databases), dict(zip(OUTSIDE, outside, strict=True)))
