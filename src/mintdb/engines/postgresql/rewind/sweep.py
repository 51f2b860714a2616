"""Find what was changed without the write-ahead log, by visiting every relation; slower, and it needs nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import field
from typing import LiteralString

from psycopg import sql

from mintdb.engines.postgresql.rewind.relations import CATALOG, MATVIEW, TABLE, Relation
from mintdb.engines.postgresql.rewind.session import Powers, Session
from mintdb.engines.postgresql.rewind.standing import Standing, array
from mintdb.engines.postgresql.rewind.wal import Look, Touch, position
from mintdb.facts import dataclass

# Young is what a transaction wrote that had not ended at the mark; our own put-back's rows are young and expected.
FUNCTION: LiteralString = """
create or replace function pg_temp.mint_sweep(horizon xid, own xid[], map json,
  out rel oid, out dirty boolean, out total int8)
returns setof record language plpgsql as $$
declare
  k record; v record; youth int := age(horizon);
begin
  for k in select * from json_to_recordset(map) m (rel oid, kind "char", name text, empty boolean, last int8,
                                                   called boolean) loop
    rel := k.rel; total := null; dirty := false;
    if k.kind = 'S' then
      execute format('select last_value, is_called, log_cnt from %s', k.name) into v;
      dirty := v.last_value <> k.last or v.is_called <> k.called or v.log_cnt <> 0;
    elsif k.kind = 'r' and k.empty then
      if pg_relation_size(k.rel) > 0 then
        execute format('select exists (select from only %s)', k.name) into dirty;
      end if;
    else
      execute format('select count(*) filter (where xmin <> all ($1)),'
                     ' coalesce(bool_or(age(xmin) <= $2 and xmin <> all ($1)), false) from only %s', k.name)
        into total, dirty using own, youth;
    end if;
    if dirty or total is not null then return next; end if;
  end loop;
end $$
"""


@dataclass
class Sweeper:
    """Visits every relation of a clone, and knows how many rows each had at the floor."""

    session: Session
    powers: Powers
    reference: Callable[[], Session] | None
    totals: dict[int, int] = field(default_factory=dict)

    def hold(self, relations: Iterable[Relation], own: Iterable[str]) -> None:
        """Without a reference everything has to be counted now."""
        self.totals = counts(self.session, self._counted(relations), own)

    def look(self, standing: Standing, horizon: str, own: Iterable[str], expected: Callable[[Relation], int]) -> Look:
        """What was changed; `expected` tells how many more rows a table has at the newest mark than at the floor.

        A transaction still in progress cannot be seen: then the next look has to be a sweep too.
        """
        here, next_horizon = position(self.session, self.powers)
        again = self._writers_live()
        relations = standing.relations
        found = self.session.execute(
            "select rel, dirty, total from pg_temp.mint_sweep(%s::xid, %s::xid[], %s)",
            (horizon, array(own), standing.as_json()),
        ).fetchall()
        self._learn([relations[rel] for rel, _, total in found if total is not None])
        touches = tuple(
            Touch(rel, frozenset(), odd=True)
            for rel, dirty, total in found
            if dirty or (total is not None and total != self.totals.get(rel, 0) + expected(relations[rel]))
        )
        return Look(here, next_horizon, "slow", touches=touches, shared=True, swept=True, again=again)

    def _learn(self, relations: list[Relation]) -> None:
        unknown = [relation for relation in relations if relation.oid not in self.totals]
        if unknown and self.reference:
            self.totals |= counts(self.reference(), unknown, ())

    def _counted(self, relations: Iterable[Relation]) -> list[Relation]:
        kinds = {CATALOG, MATVIEW, TABLE}
        return [r for r in relations if r.kind in kinds and not (r.kind == TABLE and r.empty)]

    def _writers_live(self) -> bool:
        found = self.session.execute(
            "select from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
            " and backend_xid is not null limit 1"
        )
        return found.rowcount > 0


def install(session: Session) -> None:
    """Declare the function in the session's temporary schema."""
    session.execute(FUNCTION)


def counts(session: Session, relations: Iterable[Relation], own: Iterable[str]) -> dict[int, int]:
    """How many rows each relation has, what the transactions `own` wrote left out."""
    left_out = sql.Literal(array(own))
    arms = [
        sql.SQL("select {}::oid, count(*) filter (where xmin <> all ({}::xid[])) from only {}").format(
            relation.oid, left_out, relation.identifier
        )
        for relation in relations
    ]
    found: dict[int, int] = {}
    for start in range(0, len(arms), 100):  # one statement of a thousand arms would plan for seconds
        found |= {row[0]: row[1] for row in session.execute(sql.SQL(" union all ").join(arms[start : start + 100]))}
    return found
