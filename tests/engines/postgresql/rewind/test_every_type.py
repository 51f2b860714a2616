"""Rows come back as they were, of whatever types and names: fetched from the reference, held, and brought along."""

from __future__ import annotations

import pytest
from rewind_site import Clone

from mintdb.engines.postgresql.rewind import Trail

BUILT_IN = {  # values as SQL writes them
    "smallint": "-3",
    "bigint": "9223372036854775807",
    "numeric(20,4)": "1.5",
    "numeric": "'NaN'",
    "real": "'infinity'",
    "double precision": "0.1",
    "money": "'12.34'",
    "text": r"""E'tab\t line\n "quoted" \\ {,} %s %% $1'""",
    "varchar(10)": "''",
    "char(8)": "'ab '",
    '"char"': "'x'",
    "name": "'n'",
    "bytea": r"'\x00ff5c'",
    "timestamp": "'4713-01-01 BC'",
    "timestamptz(3)": "'2024-01-01 12:00:00.123+03'",
    "date": "'infinity'",
    "time": "'24:00'",
    "timetz": "'12:00+03:30'",
    "interval": "'-1 mon 3 days -04:05:06.789'",
    "boolean": "true",
    "point": "'(0.1,1e300)'",
    "path": "'[(0,0),(1,1)]'",
    "circle": "'<(0,0),1>'",
    "cidr": "'10.0.0.0/8'",
    "inet": "'::1'",
    "macaddr": "'08:00:2b:01:02:03'",
    "bit(5)": "'10101'",
    "varbit": "'101'",
    "tsvector": "'''quoted'':1A fat:2B,3'",
    "tsquery": "'a & !b'",
    "uuid": "gen_random_uuid()",
    "json": """'{"a" :  1, "a":2}'""",
    "jsonb": """'{"b":1.00}'""",
    "jsonpath": "'$.a[*] ? (@ > 1)'",
    "int[]": "'[0:2]={1,NULL,3}'",
    "text[]": r"""array['', null, 'NULL', '"', '\', ',']""",
    "int4range": "'[1,5)'",
    "nummultirange": "'{[1.5,2],(3,)}'",
    "regclass": "'pg_class'",
    "regprocedure": "'abs(integer)'",
    "regproc": "'array_in'",
    "pg_lsn": "'1/AB'",
    "oid": "4294967295",
    "tid": "'(1,2)'",
    "xid8": "'123'",
}
FILL = f"insert into plain overriding user value values (default, {', '.join(BUILT_IN.values())})"
SCHEMA = [
    f"create table plain (id int generated always as identity,"
    f" {', '.join(f'c{number} {kind}' for number, kind in enumerate(BUILT_IN))})",
    *[FILL] * 3,
    "insert into plain default values",
    *(f"create extension {name}" for name in ("citext", "hstore", "ltree")),
    'create schema "My %s Schema"',
    """create type mood as enum ('sad', 'it''s "ok"', 'a,b')""",
    "create domain positive as int check (value > 0)",
    "create type pair as (x int, y text, z mood)",
    "create type span as range (subtype = float8)",
    "create collation plainly (provider = libc, locale = 'C')",
    """create table "My %s Schema"."Ta""ble" (gone int, id int, m mood, ms mood[], p positive, c pair, cs pair[],
       f span, ci citext, h hstore, l ltree, n text collate plainly, acl aclitem, mint_at text, "%s $1" text,
       o regproc, os regproc[], "null" text, "NULL" regoper,
       twice int generated always as (id * 2) stored)""",
    'alter table "My %s Schema"."Ta""ble" drop column gone',
    r"""insert into "My %s Schema"."Ta""ble"
        select g, 'a,b', array['sad', null]::mood[], 5, row(1, E'q"\\, )(', 'a,b'::mood)::pair,
               array[row(1, null, 'sad'::mood)::pair, null], '[1.5,2.25)', 'CaSe', 'a=>"b c",d=>NULL', 'a.b.c', 'ü',
               ('=r/' || current_user)::aclitem, '', null, abs, array[abs, null], '', 'pg_catalog.||/'
          from generate_series(1, 40) g, (select oid::regproc from pg_proc where proname = 'abs' limit 1) f (abs)""",
    # A cast of the user's is none of ours: what it makes of a row cannot be read again.
    """create function label("My %s Schema"."Ta""ble") returns text language sql immutable as 'select ''row''::text'""",
    """create cast ("My %s Schema"."Ta""ble" as text) with function label""",
    """create function label(mood) returns text language sql immutable as 'select ''mood''::text'""",
    "create cast (mood as text) with function label(mood)",
    "create table long (id int, t text, b bytea)",
    "insert into long select g, (select string_agg(md5((x + g)::text), '') from generate_series(1, 400) x),"
    " decode(repeat('00ff', 5000), 'hex') from generate_series(1, 5) g",
]
MARKUP = [  # read by PostgreSQL 15 alone here
    "create table markup (id int, v xml, vs xml[])",
    """insert into markup values (2, ' <c>"</c>', null),
       (1, '<?xml version="1.0" encoding="UTF-8"?><a/>', array['<?xml version="1.0"?><b/>'::xml])""",
    "create domain page as xml",
    "create table pages (v page)",
    """insert into pages values ('<?xml version="1.0" encoding="UTF-8"?><a/>')""",
]
VIRTUAL = """do $$ begin if current_setting('server_version_num')::int >= 180000 then
  execute 'alter table plain add column read int generated always as (id + 1) virtual'; end if; end $$"""
TABLES = {  # and what of a row is not seen in its text
    "plain": "null",
    '"My %s Schema"."Ta""ble"': "row(r.o::oid, r.os::oid[])",  # which of the functions called abs
    "long": "null",
}
CHANGES = ("delete from plain", 'update "My %s Schema"."Ta""ble" set p = 9 where id > 3', "truncate long")


def contents(clone) -> dict[str, list[tuple]]:
    return {table: clone.rows(f"select row(r.*)::text, {more}::text from {table} r") for table, more in TABLES.items()}


@pytest.mark.parametrize("with_reference", [True, False])
def test_rows_of_every_type_come_back_as_they_were(clone_of, with_reference):
    clone = clone_of(*SCHEMA, VIRTUAL, with_reference=with_reference)
    before = contents(clone)
    clone.run(*CHANGES)
    assert clone.put_back().trail in (Trail.WAL, Trail.SWEEP)
    assert contents(clone) == before
    clone.run(FILL, 'delete from "My %s Schema"."Ta""ble" where id < 9', "update long set t = t || 'x' where id = 1")
    assert not clone.push_mark().ddl
    marked = contents(clone)
    clone.run(*CHANGES)
    assert clone.put_back().trail in (Trail.WAL, Trail.SWEEP)
    assert contents(clone) == marked
    clone.run("create table made (id int)")
    assert clone.put_back() is None
    assert {table: sorted(rows) for table, rows in contents(clone).items()} == {
        table: sorted(rows) for table, rows in marked.items()
    }


def test_xml_comes_back_with_its_declaration(site_15):
    clone = Clone(site_15, site_15.template(*MARKUP))
    markup, pages = "select id, v::text, vs::text[] from markup order by id", "select v::xml::text from pages"
    before = clone.rows(markup), clone.rows(pages)
    clone.run("delete from markup where id = 1")
    clone.put_back()
    clone.run("delete from pages")
    assert clone.put_back() is None
    assert (clone.rows(markup), clone.rows(pages)) == before
    clone.run("update markup set id = 3 where id = 1")
    assert not clone.push_mark().ddl
    marked = clone.rows(markup)
    clone.swap()
    assert clone.rows(markup) == marked
    clone.run(MARKUP[-1])
    assert clone.push_mark().ddl
    clone.close()
