"""Random workloads for the rewind, the template that they run on, and a full logical dump to compare by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from hypothesis import strategies as st

TEMPLATE = [
    "create type mood as enum ('sad', 'fine')",
    "create table seed (id serial primary key, name text, n int, doc json, spot point)",
    "insert into seed (name, n, doc, spot) select 'n' || g, g, '{\"a\": 1}', point(g, g) from generate_series(1, 20) g",
    "create table pages (id int primary key, pad text)",  # small, of several pages
    "insert into pages select g, repeat('p', 500) from generate_series(1, 60) g",
    "create table bulk (id int primary key, pad text not null check (pad <> 'never'))",  # too long to keep its order
    "insert into bulk select g, repeat('b', 100) from generate_series(1, 3000) g",
    "create table twins (v text, j json)",
    "insert into twins select 'same', '{}' from generate_series(1, 6)",
    "create table owner (id int primary key, v text)",
    "create table pet (id bigserial primary key, owner int references owner on delete cascade"
    " deferrable initially deferred, m mood default 'fine')",
    "create table fresh (id bigserial primary key, v text unique)",
    "create table fat (id serial primary key, body text)",
    "insert into fat (body) select string_agg(md5((g * h)::text), '') from generate_series(1, 3) g,"
    " generate_series(1, 400) h group by g",
    "create unlogged table scratch (id serial, v text)",
    "create unlogged table scratch_seed (id int, v text)",
    "insert into scratch_seed values (1, 'one'), (2, 'two')",
    "create table part (k int, v text) partition by range (k)",
    "create table part_a partition of part for values from (0) to (10)",
    "create table part_b partition of part for values from (10) to (20)",
    "insert into part select g, 'p' || g from generate_series(0, 9) g",
    "create table base (id int, v text)",
    "create table derived (extra int) inherits (base)",
    "insert into derived select g, 'd', g from generate_series(1, 5) g",
    "create table computed (id int generated always as identity, a int, twice int generated always as (a * 2) stored)",
    "insert into computed (a) values (1), (2), (3)",
    "create table audit (at bigserial, what text)",
    "create function note() returns trigger language plpgsql as"
    " $$begin insert into audit (what) values (tg_op || ' ' || tg_table_name); return null; end$$",
    "create trigger seed_noted after insert or update or delete on seed for each row execute function note()",
    "create table armed (id int)",
    "create trigger armed_noted after insert or delete on armed for each row execute function note()",
    "alter table armed enable always trigger armed_noted",
    "create table guarded (id int, v text)",
    "insert into guarded values (1, 'g')",
    "alter table guarded enable row level security",
    "alter table guarded force row level security",
    "create rule fresh_silent as on delete to fresh where old.v = 'held' do instead nothing",
    "create materialized view summary as select count(*) c, sum(n) s from seed",
    "create view named as select id, name from seed",
    "create sequence plain",
    "create sequence cached cache 5",
    "select nextval('plain')",
    "select lo_from_bytea(70000, 'seeded'::bytea)",
    "create function twice(int) returns int language sql immutable as 'select $1 * 2'",
]

# `{a}` and `{b}` are small numbers.
STATEMENTS = [
    "begin",
    "begin isolation level repeatable read",
    "commit",
    "rollback",
    "savepoint s",
    "rollback to s",
    "release s",
    "insert into fresh (v) values ('v{a}') returning id",
    "insert into fresh (v) values ('v{a}') on conflict (v) do update set v = 'w{b}' returning id",
    "insert into fresh (v) select 'm' || g from generate_series({a}, {a} + {b}) g returning id",
    "insert into fresh (v) values ('held')",
    "delete from fresh where id % 2 = {a} % 2",
    "update fresh set v = v || '{a}' where id = {b}",
    "update seed set name = 'u{a}' where id = {b}",
    "update seed set n = n + 1 where id <= {a}",
    "delete from seed where id = {a}",
    "delete from seed where id between {a} and {a} + {b}",
    "insert into seed (name, n) values ('new', {a}) returning id",
    "select id, name, n from seed",
    "select id from seed where id = {a} for update",
    "update pages set pad = 'x{a}' where id = {b} * 5",
    "delete from pages where id > {a} * 3",
    "select id from pages",
    "update bulk set pad = 'x{a}' where id = {b} * 100",
    "delete from bulk where id between {a} * 100 and {a} * 100 + {b}",
    "update bulk set pad = pad || 'y' where id % 700 = {a}",
    "update bulk set pad = 'z'",
    "update twins set v = 'other' where ctid = '(0,{b})'",
    "delete from twins where ctid = '(0,{a})'",
    "insert into twins values ('same', '{{}}')",
    "select v from twins",
    "insert into owner values ({a}, 'o') on conflict do nothing",
    "insert into pet (owner) values ({a}) returning id",
    "insert into pet (owner, m) values ({b}, 'sad') returning id",
    "delete from owner where id = {a}",
    "update fat set body = body || 'tail' where id = {a}",
    "update fat set id = id + 10 where id = {a}",
    "delete from fat where id = {a}",
    "insert into fat (body) select repeat(md5('{a}'), 500) returning id",
    "select id, md5(body) from fat order by id",
    "insert into scratch (v) values ('{a}') returning id",
    "update scratch_seed set v = '{b}' where id = {a}",
    "delete from scratch_seed where id = {a}",
    "truncate scratch",
    "insert into part values ({a}, 'x'), ({b} + 10, 'y')",
    "update part set k = k + 10 where k = {a}",
    "delete from part where k = {a}",
    "select k, v from part order by 1, 2",
    "insert into base values ({a}, 'b')",
    "update base set v = 'u{a}' where id = {b}",
    "delete from only base",
    "insert into computed (a) values ({a}) returning id, twice",
    "update computed set a = {a} where id = {b}",
    "delete from computed where id = {a}",
    "insert into armed values ({a})",
    "insert into guarded values ({a}, 'x')",
    "update guarded set v = '{a}'",
    "select nextval('plain')",
    "select nextval('plain')",
    "select nextval('cached')",
    "select setval('plain', {a} + 100, false)",
    "alter sequence plain restart",
    "truncate fresh restart identity",
    "truncate fresh, audit",
    "truncate seed restart identity cascade",
    "truncate owner cascade",
    "truncate bulk",
    "copy (select id from seed order by id) to stdout",
    "create temp table t{a} (x int)",
    "drop table if exists t{a}",
    "insert into t{a} values ({b})",
    "create temp table own as select * from seed",
    "discard temp",
    "create table made_{a} (id serial primary key, v text)",
    "drop table if exists made_{a}",
    "insert into made_{a} (v) values ('m')",
    "create index made_index on seed (n)",
    "drop index if exists made_index",
    "alter table seed rename column name to title",
    "alter table seed rename column title to name",
    "alter table fresh add column extra int default {a}",
    "alter table fresh drop column if exists extra",
    "alter table seed alter column n type bigint",
    "alter table fresh disable trigger all",
    "alter type mood add value if not exists 'glad'",
    "alter table part detach partition part_b",
    "alter table part attach partition part_b for values from (10) to (20)",
    "create or replace function twice(int) returns int language sql immutable as 'select $1 * 2'",
    "create or replace function twice(int) returns int language sql immutable as 'select $1 * {b}'",
    "comment on table seed is '{a}'",
    "comment on table seed is null",
    "grant select on fresh to public",
    "refresh materialized view summary",
    "analyze seed",
    "analyze",
    "vacuum seed",
    "vacuum fresh",
    "vacuum full pages",
    "vacuum full seed",
    "vacuum (freeze) seed",
    "cluster seed using seed_pkey",
    "reindex table seed",
    "set local session_replication_role = replica",
    "select lo_create(80000 + {a})",
    "select lo_unlink(80000 + {a})",
    "select lo_put(70000, 0, 'changed'::bytea)",
    "prepare transaction 'two_{a}'",
    "commit prepared 'two_{a}'",
    "rollback prepared 'two_{a}'",
    "select 1 / (1 - {a})",
    "listen channel",
    "lock table fresh in share mode",
    "alter database current_database_here set work_mem = '{b}MB'",
]
# DDL that stays makes a swap: too many of them would leave nothing to rewind.
CALM = [
    s for s in STATEMENTS if not s.startswith(("alter", "create table", "create index", "comment", "grant", "cluster"))
]

Step = tuple[int, str]


def steps(statements: Sequence[str], *, longest: int) -> st.SearchStrategy[list[Step]]:
    """Statements for three sessions, in the order in which they run."""
    small = st.integers(0, 7)
    text = st.builds(lambda s, a, b: s.format(a=a, b=b), st.sampled_from(statements), small, small)
    return st.lists(st.tuples(st.integers(0, 2), text), min_size=1, max_size=longest)


@dataclass(frozen=True)
class Ran:
    """What each statement gave: rows, a count, or an error's code."""

    results: tuple[object, ...]


def run(conninfo: str, database: str, workload: Sequence[Step]) -> Ran:
    """Run the steps on three sessions, then end them as the rewind's caller does: nothing stays open or prepared."""
    sessions = [psycopg.connect(conninfo, autocommit=True) for _ in range(3)]
    for session in sessions:
        session.execute("set lock_timeout = '20ms'; set default_statistics_target = 10")
    results = tuple(
        _result(sessions[number], text.replace("current_database_here", database)) for number, text in workload
    )
    for session in sessions:
        session.close()
    _roll_back_prepared(conninfo)
    return Ran(results)


def _result(session: psycopg.Connection, text: str) -> object:
    try:
        if text.startswith("copy"):
            with session.cursor() as cursor, cursor.copy(text) as rows:
                return b"".join(bytes(row) for row in rows)
        cursor = session.execute(text)
        return [str(row) for row in cursor] if cursor.description else cursor.rowcount
    except psycopg.Error as error:
        return error.sqlstate


def _roll_back_prepared(conninfo: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as session:
        session.execute("set session_replication_role = replica")
        # A session that was closed may be at its end still; its temporary tables go with it.
        while session.execute(
            "select from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
            " and application_name = '' and backend_type = 'client backend'"
        ).rowcount:
            pass
        for (gid,) in session.execute(
            "select gid from pg_prepared_xacts where database = current_database()"
        ).fetchall():
            session.execute(f"rollback prepared '{gid}'")


SCHEMA = """
with here as (
  select c.* from pg_class c join pg_namespace n on n.oid = c.relnamespace
   where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
), this as (select oid from pg_database where datname = current_database())
select concat_ws(' ', 'relation', oid::regclass, relkind, relpersistence, relrowsecurity, relforcerowsecurity,
       relispartition, reloptions, relacl, pg_get_expr(relpartbound, oid), obj_description(oid, 'pg_class'),
       case relkind when 'v' then pg_get_viewdef(oid) when 'm' then pg_get_viewdef(oid)
                    when 'i' then pg_get_indexdef(oid) end)
  from here
union all
select concat_ws(' ', 'column', a.attrelid::regclass, attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
       a.attidentity, a.attgenerated, a.attacl, pg_get_expr(d.adbin, d.adrelid))
  from pg_attribute a join here on here.oid = a.attrelid
  left join pg_attrdef d on (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
 where a.attnum > 0 and not attisdropped
union all
select concat_ws(' ', 'constraint', conrelid::regclass, conname, pg_get_constraintdef(oid))
  from pg_constraint where conrelid in (select oid from here)
union all
select concat_ws(' ', 'trigger', tgenabled, pg_get_triggerdef(oid)) from pg_trigger where not tgisinternal
union all
select concat_ws(' ', 'internal trigger', tgrelid::regclass, tgenabled, tgconstraint, tgtype)
  from pg_trigger where tgisinternal
union all
select 'function ' || pg_get_functiondef(oid) from pg_proc where pronamespace = 'public'::regnamespace
union all
select concat_ws(' ', 'enum', enumtypid::regtype, enumlabel, enumsortorder) from pg_enum
union all
select concat_ws(' ', 'inherits', inhrelid::regclass, inhparent::regclass, inhseqno)
  from pg_inherits where inhrelid in (select oid from here)
union all
select 'rule ' || pg_get_ruledef(oid) from pg_rewrite where ev_class in (select oid from here)
union all
select 'sequence ' || s::text from pg_sequence s where seqrelid in (select oid from here)
union all
select concat_ws(' ', 'object', loid, pageno, data) from pg_largeobject
union all
select 'setting ' || setconfig::text from pg_db_role_setting where setdatabase = (select oid from this)
"""
CONTENT = """
select c.relkind, format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.oid >= 16384 and c.relkind in ('r', 'm', 'S') and c.relpersistence <> 't' and n.nspname = 'public'
"""


def dump(conninfo: str, *, ordered: bool = True) -> dict[str, object]:
    """Everything that a test can see: schema, rows, sequences. `ordered`: small tables in their physical order."""
    with psycopg.connect(conninfo, autocommit=True) as session:
        found: dict[str, object] = {"schema": sorted(row[0] for row in session.execute(SCHEMA))}
        relations = session.execute(CONTENT).fetchall()
        arms = []
        for kind, name in relations:
            if kind in (b"S", "S"):
                arms.append(f"select '{name}', array[(last_value, is_called)::text] from {name}")
            else:
                order = "t.ctid" if ordered and name in SMALL else "t::text"
                arms.append(f"select '{name}', array_agg(t::text order by {order}) from only {name} t")
        found |= {row[0]: row[1] for row in session.execute(" union all ".join(arms))}
    return found


SMALL = {f"public.{name}" for name in ("seed", "pages", "twins", "part_a", "derived", "computed", "guarded")}
