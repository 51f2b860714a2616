"""Marks hold what fixtures wrote, whatever is swapped beneath them; and a clone does not grow with use."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from mintdb.engines.postgresql.rewind import CannotRewind, Trail, copies, marking

SEED = [
    "create table seed (id int primary key, v text)",
    "insert into seed select g, 'v' || g from generate_series(1, 20) g",
    "create table item (id bigserial primary key, v text)",
]
ITEMS = "select id, v from item order by id"
DDL = "create table made (id int)"
TIGHT = "insert into doc select repeat('x', 9000000) from generate_series(1, 2)"  # in the table it is compressed
TODAY = (
    "create function today() returns boolean language sql as"
    " $$select coalesce(current_setting('mint.today', true), '') = 'yes'$$"
)


@pytest.mark.parametrize("with_reference", [True, False])
def test_the_users_sessions_see_none_of_the_rows_that_are_held(clone_of, with_reference):
    clone = clone_of(*SEED, with_reference=with_reference)
    everything = "select oid, relname from pg_class order by 1"
    before = clone.rows(everything)
    for statement in ("update seed set v = 'test' where id < 4", "insert into item (v) values ('fixture')"):
        clone.run(statement)
        clone.put_back()
        clone.run(statement)
        clone.push_mark()
    assert clone.rows(everything) == before
    named = clone.rows(
        "select string_agg(format('%I.%I', schemaname, tablename), ', ') from pg_tables"
        " where schemaname not in ('pg_catalog', 'information_schema')"
    )[0][0]
    clone.run(f"truncate {named} restart identity cascade")
    clone.put_back()
    assert clone.rows("select count(*), count(*) filter (where v = 'test') from seed") == [(20, 3)]


@pytest.mark.parametrize("near", [1 << 40, -1])  # bytes of WAL to read at most: then it is a sweep
def test_many_rows_among_and_behind_those_of_a_mark_go(clone_of, near):
    clone = clone_of(*SEED, "insert into seed select g, repeat('x', 200) from generate_series(21, 300) g")
    clone.run(
        "delete from seed where id between 40 and 200", "vacuum seed", "insert into seed values (1000, 'fixture')"
    )
    clone.push_mark()
    state = clone.rows("select * from seed")
    clone.rewinder._bearings.near = near
    for more in ("delete from seed where id % 7 = 0", "truncate seed"):
        clone.run(more, "insert into seed select g, repeat('y', 100) from generate_series(2000, 5000) g")
        assert clone.put_back().trail is (Trail.WAL if near > 0 else Trail.SWEEP)
        assert clone.rows("select * from seed") == state


def interrupt(*_):
    raise KeyboardInterrupt


def test_what_is_too_large_to_be_held_without_a_reference_is_swapped(clone_of):
    fill = "insert into bulk select g, repeat('x', 1000) from generate_series(1, 17000) g"
    clone = clone_of(
        *SEED, "create table bulk (id int, pad text)", fill, "create table doc (v text)", TIGHT, with_reference=False
    )
    clone.run("delete from seed")
    assert clone.put_back().trail is Trail.WAL
    clone.run("delete from bulk where id = 1")
    assert clone.put_back() is None
    assert "public.bulk is too large to be held" in clone.reasons[-1]
    assert clone.rows("select count(*) from bulk") == [(17000,)]
    clone.run("delete from doc")
    assert clone.put_back() is None
    assert clone.rows("select length(v) from doc") == [(9_000_000,)] * 2


def test_a_mark_of_very_many_rows_stands_on_a_template_of_its_own(clone_of, monkeypatch):
    monkeypatch.setattr(copies, "MOST_BORN", 200)
    clone = clone_of(*SEED, "create table doc (v text)")
    for statement in ("insert into item select g from generate_series(1, 201) g", TIGHT):
        clone.run(statement)
        assert clone.push_mark().ddl
        clone.run("delete from item where id = 7", "delete from doc")
        assert clone.put_back().trail is Trail.WAL
        assert clone.rows("select count(*) from item where id = 7") == [(1,)]
    assert clone.rows("select count(*) from doc") == [(2,)]


def test_a_mark_on_a_large_table_is_brought_along_without_learning_where_its_rows_lie(clone_of, monkeypatch):
    monkeypatch.setattr(copies, "MOST_KNOWN", 400)
    fill = "insert into large select g, repeat('x', 100) from generate_series(1, 2000) g"
    clone = clone_of("create table large (id int primary key, pad text)", fill)
    clone.run("delete from large where id in (3, 1900)", "insert into large values (0, 'fixture')")
    assert not clone.push_mark().ddl
    state = clone.rows("select * from large order by id")
    for statement, swapped in (
        *((DDL, True), ("update large set pad = 'test' where id in (0, 4, 1000)", False)),
        *(("delete from large", True), ("update large set pad = 'test' where id in (0, 4, 1901)", False)),
    ):
        clone.run(statement)
        assert (clone.put_back() is None) is swapped
        assert clone.rows("select * from large order by id") == state
    assert clone.reasons[-1] == "public.large may have changed in more rows than mintdb remembers the places of"


@pytest.mark.parametrize("near", [1 << 40, -1])  # bytes of WAL to read at most: then it is a sweep
def test_of_a_large_table_only_what_was_changed_is_known_row_by_row(clone_of, near):
    fill = "insert into large select g, repeat('x', 100) from generate_series(1, 3000) g"
    clone = clone_of("create table large (id int primary key, pad text)", fill)
    state = clone.rows("select * from large order by id")
    clone.rewinder._bearings.near = near
    for _ in range(2):
        clone.run("update large set pad = 'test' where id % 100 = 0", "delete from large where id = 7")
        clone.put_back()
        assert clone.rows("select * from large order by id") == state
    (held,) = clone.rewinder._marks.floor.copies.tables.values()
    assert len(held.rows) == 31


def test_what_the_rows_of_a_small_table_say_is_fetched_once_up_to_a_bound(clone_of, monkeypatch, site):
    clone = clone_of(*SEED)
    state = clone.rows("select * from seed")
    monkeypatch.setattr(copies, "MOST_KEPT", 200)  # bytes: not enough for twenty rows
    for statement in ("delete from seed where id < 4", "delete from seed where id > 4"):
        clone.run(statement)
        clone.put_back()
        assert clone.rows("select * from seed") == state
    site.admin(f"alter database {clone.pristine} allow_connections false")
    clone.rewinder._close_reference()
    clone.run("delete from seed where id < 4")
    assert clone.put_back()
    assert clone.rows("select * from seed") == state
    assert 0 < clone.rewinder._marks.floor.copies.kept <= 200


def test_what_is_too_large_to_be_fetched_is_swapped(clone_of, monkeypatch):
    monkeypatch.setattr(copies, "MOST_KEPT", 0)
    monkeypatch.setattr(copies, "MOST_FETCHED", 1_300_000)  # bytes: three of the rows, and not four
    clone = clone_of(
        "create table doc (id int, v text)",
        "insert into doc select g, repeat('x', 400000) from generate_series(1, 4) g",
    )
    state = clone.rows("select * from doc order by id")
    for statement, swapped in (("delete from doc where id < 3", False), ("delete from doc", True)):
        clone.run(statement)
        assert (clone.put_back() is None) is swapped
        assert clone.rows("select * from doc order by id") == state
    assert clone.reasons == ["what public.doc lacks is larger than what is fetched"]


def test_a_small_table_that_a_fixture_makes_large_lies_in_order_again_when_that_has_ended(clone_of):
    clone = clone_of(*SEED)
    state = clone.rows("select * from seed")
    clone.run("insert into seed select g, repeat('x', 100) from generate_series(100, 3000) g")
    clone.push_mark()
    large = clone.rows("select * from seed order by id")
    for _ in range(2):
        clone.run("delete from seed where id in (3, 5)", "vacuum seed", "insert into seed values (5000, 'test')")
        clone.put_back()
        assert clone.rows("select * from seed order by id") == large
    clone.pop_mark()
    clone.put_back()
    assert clone.rows("select * from seed") == state


def test_a_mark_that_was_interrupted_while_it_was_taken_is_none(clone_of, monkeypatch):
    clone = clone_of(*SEED)
    state = clone.rows("select * from seed")
    clone.run("update seed set v = 'fixture' where id < 4", "delete from seed where id = 9")

    monkeypatch.setattr(marking.Marking, "_take_sequences", interrupt)  # the last that is done for a mark
    with pytest.raises(KeyboardInterrupt):
        clone.push_mark()
    assert not any(held.values for held in clone.rewinder._marks.floor.copies.tables.values())
    clone.put_back()
    assert clone.rows("select * from seed") == state


def test_a_mark_that_was_interrupted_while_it_was_dropped_is_gone(clone_of, monkeypatch):
    clone = clone_of(*SEED)
    state = clone.rows("select * from seed")
    clone.run("delete from seed where id = 1", "insert into seed values (99, 'fixture')")
    clone.push_mark()

    with monkeypatch.context() as patched:
        patched.setattr(marking.Marking, "_give_way", interrupt)
        with pytest.raises(KeyboardInterrupt):
            clone.pop_mark()
    clone.floors.pop()
    assert clone.rewinder.wrote()
    assert clone.put_back() is None  # a swap
    assert clone.rows("select * from seed") == state


@pytest.mark.parametrize("interrupted", [True, False])  # or dropped when only a swap would do
def test_what_a_later_mark_replaced_gives_way_in_a_swap_too(clone_of, monkeypatch, interrupted):
    clone = clone_of(*SEED)
    state = clone.rows("select * from seed")
    clone.run("delete from seed where id in (1, 2)", "insert into seed values (99, 'outer')")
    clone.push_mark()
    clone.run("insert into seed values (1, 'later')", "delete from seed where id = 99")
    clone.push_mark()

    with monkeypatch.context() as patched:
        if interrupted:
            patched.setattr(marking.Marking, "forget", interrupt)
        else:
            clone.run(DDL)
            assert clone.push_mark().ddl
            clone.pop_mark()
        with pytest.raises(KeyboardInterrupt) if interrupted else nullcontext():
            clone.rewinder.drop_mark(1)
    clone.floors.pop(1)
    clone.put_back()
    for statement in ("select", "delete from seed where id < 5", DDL):
        clone.run(statement)
        clone.put_back()
        assert clone.rows("select * from seed order by id") == [(1, "later"), *state[1:]]
    clone.pop_mark()
    clone.put_back()
    assert clone.rows("select * from seed order by id") == state


def test_a_mark_that_cannot_be_dropped_after_a_swap_is_gone_with_the_next(clone_of, monkeypatch):
    clone = clone_of(*SEED)
    state = clone.rows("select * from seed")
    clone.run("delete from seed where id in (1, 2)")
    clone.push_mark()
    clone.run("insert into seed values (99, 'later')")
    clone.push_mark()
    with monkeypatch.context() as patched:
        patched.setattr(copies, "MOST_FETCHED", 0)  # bytes: nothing that the first mark had removed comes back
        clone.rewinder.drop_mark(1)
        clone.floors.pop(1)
        with pytest.raises(CannotRewind, match="fetched"):
            clone.put_back()
    assert clone.put_back() is None  # a swap
    assert clone.put_back()
    assert clone.rows("select * from seed order by id") == [*state, (99, "later")]


def test_a_mark_tells_what_was_written_since_the_mark_below(clone_of):
    clone = clone_of(*SEED)
    clone.run("insert into item (v) values ('fixture')")
    taken = clone.push_mark()
    assert (taken.tables, taken.ddl) == (("public.item", "public.item_id_seq"), False)
    assert not clone.rewinder.wrote()
    taken = clone.push_mark()
    assert (taken.tables, taken.ddl) == ((), False)


def test_each_test_returns_to_what_the_fixture_wrote(clone_of):
    clone = clone_of(*SEED)
    clone.run("insert into item (v) values ('fixture')", "update seed set v = 'fixture' where id = 3")
    clone.push_mark()
    state = clone.rows("select * from seed"), clone.rows(ITEMS)
    for statement in ("delete from item", "insert into item (v) values ('test')", "update seed set v = 'test'"):
        clone.run(statement)
        assert clone.put_back().trail is Trail.WAL
        assert (clone.rows("select * from seed"), clone.rows(ITEMS)) == state


def test_a_mark_with_rows_that_a_trigger_would_change_again_survives_a_swap(clone_of):
    clone = clone_of(
        "create table armed (id int)",
        "create function doubled() returns trigger language plpgsql as 'begin new.id := 2 * new.id; return new; end'",
        "create trigger doubled before insert on armed for each row execute function doubled()",
        "alter table armed enable always trigger doubled",
    )
    clone.run("insert into armed values (1)")
    clone.push_mark()
    clone.run(DDL)
    assert clone.put_back() is None
    assert clone.rows("select id from armed") == [(2,)]


@pytest.mark.parametrize(
    "statements",
    [
        [
            "create function stamp(int) returns text language sql immutable as 'select clock_timestamp()::text'",
            "create table fickle (id int, made text generated always as (stamp(id)) stored)",
        ],
        ["create table fickle (id int, until timestamptz default now() + interval '20 ms' check (until > now()))"],
        [
            "create domain soon timestamptz check (value > current_timestamp)",
            "create table fickle (id int, until soon default clock_timestamp() + interval '20 ms')",
        ],
        ["create table fickle ()"],
        [
            TODAY,
            "create domain inner_one int check (today())",
            "create domain one inner_one",
            "create type pair as (a one, b int)",
            "create table fickle (id int, pairs pair[] default array[row(1, 2)]::pair[])",
        ],
        [
            TODAY,
            "create function bucket(int) returns int language sql immutable as 'select case when today() then $1 end'",
            "create table fickle (id int) partition by range (bucket(id))",
            "create table fickle_1 partition of fickle for values from (0) to (100)",
        ],
        [
            "create function still(int) returns boolean language plpgsql immutable as"
            " $$begin if current_setting('mint.today') = 'yes' then return true; end if; end$$",
            "create table fickle (id int)",
            "create index on fickle (still(id))",
        ],
        ["create table fickle (id int, day text default '25.12.2020' check (day::date > '2000-01-01'::date))"],
        ["create table fickle (id int, acl aclitem default 'postgres=r/postgres')"],
        [
            "create table fickle (id int, pad text)",
            "insert into fickle select g, repeat('x', 5 + g % 7 * 9) from generate_series(2, 40) g",
            "alter table fickle add check (length(pad) < 6) not valid",
            "delete from fickle where id in (3, 20)",
        ],
        [
            "create domain odd int",
            "create table fickle (id int, n odd)",
            "insert into fickle select g, 2 from generate_series(2, 40) g",
            "alter domain odd add check (value % 2 = 1) not valid",
            "delete from fickle where id in (3, 20)",
        ],
        [
            "create domain function as regproc[]",
            "create table fickle (id int, which function default '{1397}')",  # abs(integer), of six of that name
        ],
    ],
    ids=[
        *("generated", "check", "domain", "no column", "parts", "partition", "index", "date", "not binary"),
        *("not valid", "domain not valid", "function"),
    ],
)
def test_a_mark_with_rows_that_could_not_be_inserted_again_survives_a_swap(clone_of, statements):
    clone = clone_of(*statements)
    clone.run(
        "set datestyle = 'German'; set mint.today = 'yes'",  # which our own session has not
        f"insert into fickle {'default values' if statements[0].endswith('()') else '(id) values (1)'}",
    )
    rows = clone.rows("select fickle::text from fickle")
    clone.push_mark()
    clone.run(DDL, "select pg_sleep(0.03)")
    assert clone.put_back() is None
    assert clone.rows("select fickle::text from fickle") == rows


def test_a_mark_with_rows_of_a_usual_table_needs_no_template_of_its_own(clone_of):
    clone = clone_of(
        "create domain age int check (value >= 0)",
        "create table usual (id int primary key, v varchar(9) check (v in ('a', 'b') and length(v) < 3), n age,"
        " at timestamptz default now() check (at > '2000-01-01'), w text generated always as (lower(v)) stored)",
    )
    clone.run("insert into usual values (1, 'a', 3)")
    assert not clone.push_mark().ddl


@pytest.mark.parametrize("kind", ["regclass", "regtype[]"])
def test_a_mark_whose_rows_refer_to_a_table_needs_a_template_of_its_own_where_clones_are_dumped(clone_of, kind):
    for with_reference in (True, False):
        clone = clone_of(f"create table seed (kind {kind})", with_reference=with_reference)
        value = "{seed}" if "[]" in kind else "seed"
        clone.run(f"insert into seed values ('{value.replace('seed', 'pg_class')}')")
        assert not clone.push_mark().ddl
        clone.run(f"insert into seed values ('{value}')")
        assert clone.push_mark().ddl is not with_reference


def test_a_function_in_an_index_finds_what_it_finds_in_a_session_of_the_users(clone_of):
    clone = clone_of(
        "create function helper(text) returns text language sql immutable as 'select lower($1)'",
        "create function folded(text) returns text language plpgsql immutable as 'begin return helper($1); end'",
        "create table item (id int primary key, v text)",
        "create index on item (folded(v))",
        "insert into item values (1, 'Seed')",
    )
    clone.run("update item set v = 'Changed'")
    assert clone.rewinder.put_back()
    clone.run("insert into item values (2, 'Fixture')")
    assert not clone.push_mark().ddl
    clone.run(DDL, "delete from item")
    assert clone.put_back() is None  # a swap
    assert clone.rows("select v from item order by id") == [("Seed",), ("Fixture",)]


def test_a_dropped_mark_takes_its_rows_with_it(clone_of):
    clone = clone_of(*SEED)
    before = clone.rows("select * from seed")
    clone.run("insert into item (v) values ('outer')", "delete from seed where id = 1")
    clone.push_mark()
    clone.run("update item set v = 'inner'", "delete from seed where id = 2", "insert into seed values (77, 'inner')")
    clone.push_mark()
    clone.run("truncate item", "delete from seed")
    clone.put_back()
    assert clone.rows(ITEMS) == [(1, "inner")]
    clone.pop_mark()
    assert clone.rewinder.wrote()
    clone.put_back()
    assert clone.rows(ITEMS) == [(1, "outer")]
    assert clone.rows("select * from seed") == before[1:]
    clone.pop_mark()
    clone.put_back()
    assert (clone.rows("select * from seed"), clone.rows(ITEMS)) == (before, [])
    assert clone.rows("select last_value, is_called from item_id_seq") == [(1, False)]


def test_a_row_that_a_later_mark_has_replaced_gives_way_to_it(clone_of):
    clone = clone_of(
        "create type mood as enum ('sad', 'fine')",
        "create table held (n int unique nulls not distinct, v text)",
        "create table felt (m mood primary key, v text)",
        "create table folded (n text, v text)",
        "create unique index on folded (lower(n))",
        "create table kept (n int, gone bool default false, v text)",
        "create unique index on kept (n) where not gone",
        "create table late (n int unique deferrable, v text)",
        "create table booked (n int4range, v text, exclude using gist (n with &&))",
        "insert into held values (null, 'seed'), (2, 'seed')",
        "insert into folded values ('ann', 'seed'), ('bob', 'seed')",
        "insert into kept (n, v) values (1, 'seed'), (2, 'seed')",
        "insert into late values (1, 'seed'), (2, 'seed')",
        "insert into booked values ('[1,5)', 'seed'), ('[7,9)', 'seed')",
        "insert into felt values ('sad', 'seed'), ('fine', 'seed')",
    )
    keyed = ("held", "felt", "folded", "kept", "late", "booked")
    clone.run(*(f"delete from {table}" for table in keyed))
    clone.push_mark()
    clone.run("insert into held values (null, 'later')", "insert into felt values ('sad', 'later')")
    clone.run("insert into folded values ('ANN', 'later')", "insert into booked values ('[3,4)', 'later')")
    clone.run("insert into kept (n, v) values (1, 'later')", "insert into late values (1, 'later')")
    clone.push_mark()
    clone.rewinder.drop_mark(1)
    clone.floors.pop(1)
    for _ in range(2):
        clone.put_back()
        for table in keyed:
            assert clone.rows(f"select v from {table} order by 1") == [("later",), ("seed",)], table
        clone.swap()


def test_a_swap_brings_the_rows_of_the_marks_along(clone_of):
    clone = clone_of(*SEED)
    clone.run("insert into item (v) values ('outer')", "delete from seed where id = 1")
    clone.push_mark()
    clone.run(
        "insert into item (v) values ('inner')",
        "update seed set v = 'inner' where id = 2",
        "update item set v = 'changed' where id = 1",
    )
    clone.push_mark()
    state = clone.rows("select * from seed order by id"), clone.rows(ITEMS)
    for statement in (DDL, "insert into item (v) values ('test')", DDL):
        clone.run(statement)
        clone.put_back()
        assert (clone.rows("select * from seed order by id"), clone.rows(ITEMS)) == state
    clone.pop_mark()
    clone.put_back()
    assert clone.rows(ITEMS) == [(1, "outer")]
    assert clone.rows("select count(*), min(id) from seed where v like 'v%'") == [(19, 2)]


def test_a_mark_with_ddl_stands_on_a_template_of_its_own(clone_of):
    clone = clone_of(*SEED)
    clone.run(DDL, "insert into made values (1)")
    assert clone.push_mark().ddl
    clone.run("insert into made values (2)", "insert into item (v) values ('x')")
    assert clone.put_back().trail is Trail.WAL
    clone.run("drop table made")
    assert clone.put_back() is None
    assert clone.rows("select id from made") == [(1,)]
    clone.pop_mark()
    assert clone.put_back() is None
    assert clone.rows("select to_regclass('made')") == [(None,)]


def test_a_mark_above_one_that_was_dumped_is_brought_along_by_a_swap(clone_of, site):
    make = ["create table large (id int primary key, pad text)", "create table small (id int primary key, v text)"]
    fill = "insert into {} select g, repeat('x', 100) from generate_series({}, {}) g"
    clone = clone_of(*make, fill.format("large", 1, 3000), fill.format("small", 1, 20))
    clone.run("delete from large where id <= 50", "delete from small where id <= 5", DDL)
    assert clone.rewinder.push_mark().ddl  # nothing is copied: every row is held from here on
    # COPY puts a short row on an earlier page: the order of a table's rows is another then.
    dumped = (
        f"{fill.format(table, first, last)} order by g % 7"
        for table, first, last in (("large", 51, 3000), ("small", 6, 20))
    )
    clone.floors.append(site.template(*make, *dumped, DDL))
    clone._renew_pristine()
    clone.run("update large set pad = 'mark' where id in (60, 2000)", "delete from large where id = 2001")
    clone.run("delete from small where id = 10", "insert into small values (10, 'mark')")
    assert not clone.push_mark().ddl
    rows = "select * from large order by id", "select * from small"
    state = list(map(clone.rows, rows))
    for statement in ("drop table made", "delete from large where id < 70", "delete from small", "drop table made"):
        clone.run(statement)
        clone.put_back()
        assert list(map(clone.rows, rows)) == state
    assert len(clone.reasons) == 2
    clone.pop_mark()
    clone.put_back()
    assert clone.rows("select count(*) from large where pad = 'mark' union all select count(*) from small") == [
        (0,),
        (15,),
    ]


def test_a_mark_of_many_rows_is_rewound_by_what_a_test_changed(clone_of):
    clone = clone_of(*SEED)
    clone.run("insert into item (v) select 'row ' || g from generate_series(1, 20000) g")
    clone.push_mark()
    clone.run("delete from item where id in (5, 19000)", "update item set v = 'x' where id = 700")
    assert clone.put_back().rows == 4
    assert clone.rows("select count(*), count(distinct v) from item") == [(20000, 20000)]


def test_a_table_that_was_emptied_is_kept_short(clone_of):
    clone = clone_of(*SEED)
    for _ in range(30):
        clone.run("insert into item (v) select repeat('x', 100) from generate_series(1, 100)")
        clone.put_back()
    assert clone.rows("select pg_relation_size('item')")[0][0] <= 8192


def test_a_table_that_was_emptied_beside_a_changed_seed_is_kept_short(clone_of):
    clone = clone_of(*SEED)
    clone.run("delete from seed", "insert into item (v) select repeat('x', 100) from generate_series(1, 500)")
    clone.rewinder.put_back()
    assert clone.rows("select pg_relation_size('item')")[0][0] <= 8192


def test_a_seed_does_not_grow_with_use(clone_of):
    clone = clone_of(
        "create table bulk (id int, pad text)",
        "insert into bulk select g, repeat('x', 100) from generate_series(1, 3000) g",
    )
    before = clone.rows("select pg_relation_size('bulk')")[0][0]
    with clone.session() as session:
        for _ in range(401):
            session.execute("update bulk set pad = 'y' where id between 100 and 130")
            clone.put_back()
    assert clone.rows("select pg_relation_size('bulk')")[0][0] < before * 3
    assert clone.rows("select count(*) from bulk where pad = repeat('x', 100)") == [(3000,)]


def test_who_holds_the_horizon_is_told(clone_of):
    clone = clone_of(*SEED)
    with clone.session() as wide:
        wide.execute("begin isolation level repeatable read")
        wide.execute("select from seed")
        clone.run("insert into item (v) select repeat('x', 100) from generate_series(1, 200)")
        assert clone.put_back().horizon_held_by == wide.info.backend_pid
        assert clone.rows("select from item") == []
