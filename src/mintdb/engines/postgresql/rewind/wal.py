"""Read from the write-ahead log what was changed since the mark, and put the simple cases back in the same trip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, LiteralString

from psycopg import sql
from psycopg.sql import SQL

from mintdb.engines.postgresql.rewind.relations import WATCHED
from mintdb.engines.postgresql.rewind.session import Powers, Session
from mintdb.engines.postgresql.rewind.standing import Standing, array
from mintdb.facts import dataclass

# Reading the WAL costs about 20 ms a megabyte, a sweep about 4 ms and 40 µs a table.
NEAR_BYTES, NEAR_BYTES_A_TABLE = 200_000, 2_000

# Declared in the session's own temporary schema: no extension is created in the user's database.
BLOCKS: LiteralString = """
create or replace function pg_temp.mint_blocks(pg_lsn, pg_lsn, boolean,
  out start_lsn pg_lsn, out end_lsn pg_lsn, out prev_lsn pg_lsn, out block_id int2, out reltablespace oid,
  out reldatabase oid, out relfilenode oid, out relforknumber int2, out relblocknumber int8, out xid xid,
  out resource_manager text, out record_type text, out record_length int4, out main_data_length int4,
  out block_data_length int4, out block_fpi_length int4, out block_fpi_info text[], out description text,
  out block_data bytea, out block_fpi_data bytea)
returns setof record language c strict as '$libdir/pg_walinspect', 'pg_get_wal_block_info'
"""
RECORDS_15: LiteralString = """
create or replace function pg_temp.mint_records(pg_lsn, pg_lsn,
  out start_lsn pg_lsn, out end_lsn pg_lsn, out prev_lsn pg_lsn, out xid xid, out resource_manager text,
  out record_type text, out record_length int4, out main_data_length int4, out fpi_length int4,
  out description text, out block_ref text)
returns setof record language c strict as '$libdir/pg_walinspect', 'pg_get_wal_records_info'
"""

# What changes no row. Everything else counts, so a record type that is not known yet counts too.
HARMLESS = [
    *("LOCK", "LOCK_UPDATED", "INPLACE", "CONFIRM", "VISIBLE", "FREEZE_PAGE", "NEW_CID", "FPI_FOR_HINT"),
    *("PRUNE", "PRUNE_ON_ACCESS", "PRUNE_VACUUM_SCAN", "PRUNE_VACUUM_CLEANUP", "VACUUM"),
]
# Index files follow their table: what these managers write is never content.
INDEXES = ["Btree", "Hash", "Gin", "Gist", "SPGist", "BRIN"]

REFERENCES: LiteralString = """
  select b.reldatabase as db, b.reltablespace as space, b.relfilenode as file, b.relblocknumber as block, b.xid,
         b.start_lsn as at, b.resource_manager as manager
    from pg_temp.mint_blocks(since, here, false) b
   where b.relforknumber = 0 and b.reldatabase in (0, {database})
     and b.resource_manager <> all ({indexes}) and b.record_type <> all ({harmless}) and b.xid <> all (own)"""
# strpos before the regular expression: 13 times as fast.
REFERENCES_15: LiteralString = """
  select m[2]::oid as db, m[1]::oid as space, m[3]::oid as file, m[4]::int8 as block, b.xid,
         b.start_lsn as at, b.resource_manager as manager
    from pg_temp.mint_records(since, here) b,
         regexp_matches(b.block_ref, 'rel (\\d+)/(\\d+)/(\\d+) fork main blk (\\d+)', 'g') m
   where (strpos(b.block_ref, '/{database}/') > 0 or strpos(b.block_ref, '/0/') > 0)
     and m[2] in ('0', '{database}')
     and b.resource_manager <> all ({indexes}) and b.record_type <> all ({harmless}) and b.xid <> all (own)"""

# The one trip. No savepoint and no EXCEPTION block: what is re-inserted must carry this transaction's own xid.
# `here`, the next mark, is taken before anything is read, so that a late writer cannot hide behind it; a writer that
# is still in progress pulls it back to its first record: it is not older than `horizon`.
# One statement finds and sorts it all: a statement of its own for each relation took twice as long.
FUNCTION: LiteralString = """
create or replace function pg_temp.mint_look(since pg_lsn, own xid[], act boolean, near bigint, flushed pg_lsn,
  unlogged boolean, careful oid[], moved oid[], lasts int8[], called boolean[], newest oid,
  out here pg_lsn, out verdict text, out carried pg_lsn, out own_xid text, out rels oid[],
  out rows bigint, out grown oid[], out detail text[], out horizon text)
language plpgsql as $$
declare
  t record; k record; n bigint; youth int; slow boolean := false; i int;
  tables oid[] := '{{}}'; names text[] := '{{}}'; sequences oid[] := '{{}}'; long oid[] := '{{}}';
begin
  rels := '{{}}'; rows := 0; grown := '{{}}'; detail := '{{}}';
  here := pg_current_wal_insert_lsn(); horizon := pg_snapshot_xmin(pg_current_snapshot())::xid::text;
  youth := age(horizon::xid);
  if here <> since then
    here := {here};
    if here - since > near then verdict := 'far'; return; end if;
    for t in
      select touched.*, m.oid as rel, m.oid::regclass::text as name, m.relpersistence = 'u' as unlogged,
             m.relkind = 'S' and m.oid <> all (careful) as easy_sequence,
             m.relkind = 'r' and m.oid >= 16384 and m.oid <> all (careful) and not touched.odd as easy_table
        from (select r.db, r.space, r.file, array_agg(distinct r.block) as blocks, min(r.at) as first,
                     array_agg(r.xid) filter (where age(r.xid) <= youth) as suspects,
                     bool_or(r.manager not in ('Heap', 'Heap2', 'Sequence')) as odd
                from ({references}) r group by r.db, r.space, r.file) touched
        left join ({watched}) m on m.oid = pg_filenode_relation(touched.space, touched.file) and m.oid <= newest
    loop
      if t.db = 0 then
        slow := true;
        detail := array_append(detail, 'shared');
        continue;
      end if;
      continue when t.rel is null;
      if t.suspects is not null
         and exists (select from (select distinct x from unnest(t.suspects) x where x <> '0') s
                     where pg_temp.mint_in_progress(x)) then
        carried := least(carried, t.first);
      end if;
      detail := array_append(detail, format('%s %s %s', t.rel, t.odd, t.blocks));
      continue when t.unlogged;
      if t.easy_sequence then
        sequences := sequences || t.rel;
      elsif t.easy_table then
        tables := tables || t.rel; names := names || t.name;
        if t.blocks <> '{{0}}' then long := long || t.rel; end if;
      else
        slow := true;
      end if;
    end loop;
  end if;
  if unlogged then
    for k in select m.oid as rel, m.relkind, m.oid::regclass::text as name, m.oid = any (careful) as is_careful
               from ({watched}) m where m.relpersistence = 'u' and m.oid <= newest loop
      if k.is_careful or k.relkind = 'm' then
        slow := true;
      elsif k.relkind = 'S' then
        sequences := sequences || k.rel;
      else
        tables := tables || k.rel; names := names || k.name;
        if pg_relation_size(k.rel) > 8192 then long := long || k.rel; end if;
      end if;
    end loop;
  end if;
  if slow or not act then
    verdict := case when slow or detail <> '{{}}' then 'slow' else 'untouched' end;
    return;
  end if;
  for i in 1 .. cardinality(tables) loop
    execute 'delete from only ' || names[i];
    get diagnostics n = row_count;
    rows := rows + n;
    if n > 0 then rels := rels || tables[i]; end if;
  end loop;
  grown := long;
  if sequences <> '{{}}' then
    perform setval(s.seqrelid::regclass, coalesce(m.last, s.seqstart), coalesce(m.was_called, false))
       from pg_sequence s left join unnest(moved, lasts, called) m (rel, last, was_called) on m.rel = s.seqrelid
      where s.seqrelid = any (sequences);
    rels := rels || sequences;
  end if;
  verdict := case when rels = '{{}}' and detail = '{{}}' then 'untouched' else 'done' end;
  own_xid := pg_current_xact_id_if_assigned()::xid::text;
end $$
"""

IN_PROGRESS: LiteralString = """
create or replace function pg_temp.mint_in_progress(x xid) returns boolean language plpgsql as $$
declare
  newest int8 := pg_snapshot_xmax(pg_current_snapshot())::text::int8;
  whole int8 := (newest & ~4294967295::int8) | x::text::int8;
begin
  if whole > newest + 2147483648 then whole := whole - 4294967296; end if;
  return pg_xact_status(whole::text::xid8) = 'in progress';
end $$
"""

LOOK: LiteralString = """
select here, horizon, verdict, carried, own_xid, rels, rows, grown, detail
  from pg_temp.mint_look(%s::pg_lsn, %s::xid[], %s, %s, %s::pg_lsn, %s,
       %s::oid[], %s::oid[], %s::int8[], %s::boolean[], %s::oid)
"""
LOOK_BESIDE: LiteralString = """
with asked as materialized ({})
select asked.*, here, horizon, verdict, carried, own_xid, rels, rows, grown, detail
  from asked, pg_temp.mint_look(%s::pg_lsn, %s::xid[], asked.quiet, %s, %s::pg_lsn, %s,
       %s::oid[], %s::oid[], %s::int8[], %s::boolean[], %s::oid)
"""
OUTCOMES = 9  # columns of a look

# The statement's snapshot is taken first: what was in progress then is young, wherever its records lie.
MESSAGE = SQL("select pg_logical_emit_message({}), pg_snapshot_xmin(pg_current_snapshot())::xid::text")


@dataclass(frozen=True)
class Question:
    """A query of one row, with a column `quiet`: whether anything may be put back."""

    sql: LiteralString
    values: tuple[object, ...]


@dataclass(frozen=True)
class Touch:
    """One relation that the WAL names: the blocks, and whether a record was of a kind that only a full visit covers."""

    oid: int
    blocks: frozenset[int]
    odd: bool


@dataclass(frozen=True)
class Look:
    """What the trip found, and did where it was told to act."""

    here: str  # the next mark
    horizon: str  # what transactions from here on wrote is young
    verdict: str  # untouched, done, slow, far
    carried: str | None = None  # where a writer that is still in progress began
    own_xid: str | None = None
    done: tuple[int, ...] = ()
    rows: int = 0
    grown: tuple[int, ...] = ()
    touches: tuple[Touch, ...] = ()
    shared: bool = False
    swept: bool = False
    again: bool = False  # a writer in progress cannot be traced: the next look has to be a sweep

    @property
    def next_mark(self) -> str:
        """Where the next look has to begin."""
        return self.carried or self.here


def install(session: Session, powers: Powers) -> None:
    """Declare the functions in the session's temporary schema. Raises UndefinedFile without pg_walinspect."""
    records = sql.SQL(BLOCKS if powers.blocks else RECORDS_15)
    references = sql.SQL(REFERENCES if powers.blocks else REFERENCES_15).format(
        database=sql.Literal(powers.database), indexes=sql.Literal(INDEXES), harmless=sql.Literal(HARMLESS)
    )
    message = sql.SQL("pg_logical_emit_message(false, 'mintdb', '', true)" if powers.flushes else "flushed")
    function = sql.SQL(FUNCTION).format(here=message, references=references, watched=sql.SQL(WATCHED))
    session.execute(sql.SQL(";").join([records, sql.SQL(IN_PROGRESS), function]))  # one trip


def position(session: Session, powers: Powers) -> tuple[str, str]:
    """Flush the WAL; say where it ends, and the transaction horizon. What is written later is behind one of them."""
    if powers.flushes:
        row = session.execute(MESSAGE.format(SQL("false, 'mintdb', '', true"))).fetchone()
    else:  # before 17 only a commit flushes
        with session.transaction():
            session.execute("set local synchronous_commit to on")
            row = session.execute(MESSAGE.format(SQL("true, 'mintdb', ''"))).fetchone()
    assert row is not None
    return str(row[0]), str(row[1])


def look(
    session: Session, powers: Powers, since: str, own: list[str], standing: Standing, *, act: bool, near: int
) -> Look:
    """Find what was changed after `since`, own transactions left out; put it back at once where that is simple.

    Beyond `near` bytes of WAL the verdict is "far", and nothing was done.
    """
    values = (since, array(own), act, *_rest(session, powers, standing, near))
    row = session.execute(LOOK, values, prepare=True).fetchone()
    assert row is not None
    return _look(row)


def look_beside(
    session: Session, powers: Powers, question: Question, since: str, own: list[str], standing: Standing, *, near: int
) -> tuple[Sequence[Any], Look]:  # Any: rows are as the question selects
    """Ask a question of the server's in the same trip, and act only where the answer's column `quiet` is true."""
    values = (*question.values, since, array(own), *_rest(session, powers, standing, near))
    row = session.execute(LOOK_BESIDE.format(question.sql), values, prepare=True).fetchone()
    assert row is not None
    return row[:-OUTCOMES], _look(row[-OUTCOMES:])


def _rest(session: Session, powers: Powers, standing: Standing, near: int) -> tuple[object, ...]:
    flushed = None if powers.flushes else position(session, powers)[0]
    told = standing.told
    return (near, flushed, standing.unlogged, told.careful, told.moved, told.lasts, told.called, told.newest)


def _look(row: Sequence[Any]) -> Look:  # Any: as LOOK selects
    here, horizon, verdict, carried, own_xid, rels, rows, grown, detail = row
    touches = tuple(_touch(line) for line in detail if line != "shared")
    shared = "shared" in detail
    return Look(here, horizon, verdict, carried, own_xid, tuple(rels), rows, tuple(grown), touches, shared)


def _touch(line: str) -> Touch:
    oid, odd, blocks = line.split(" ")
    return Touch(int(oid), frozenset(map(int, blocks.strip("{}").split(","))), odd == "t")
