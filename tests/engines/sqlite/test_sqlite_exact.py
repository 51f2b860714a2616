"""Random workloads, and after each the file is what the template is: by its content, and page by page."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engines.sqlite.conftest import OpenMint, content, pages

from mintdb.contract import Way
from mintdb.mint import Mint

WORKLOADS = 5000 if os.environ.get("MINTDB_SOAK") else 300
SCHEMA = """
create table plain (a, b text default 'x');
create table numbered (id integer primary key autoincrement, name text unique, at text default current_timestamp);
create table keyed (k text primary key, v blob) without rowid;
create table child (id integer primary key, plain_a int, numbered_id int references numbered on delete cascade);
create table computed (a int, doubled int generated always as (a * 2) stored, tripled int as (a * 3));
create index by_b on plain (b);
create view totals as select b, count(*) as n from plain group by b;
create trigger logged after insert on plain begin insert into keyed values ('log ' || new.rowid, x'00'); end;
create virtual table found using fts5(body);
insert into plain values (1, 'a'), (2, 'b'), (null, null), (1.5, 'a');
insert into numbered (name) values ('one'), ('two');
delete from numbered where name = 'two';
insert into keyed values ('k', zeroblob(5000));
insert into found values ('the quick brown fox'), ('jumps over');
pragma user_version = 7;
pragma application_id = 42;
"""
WRITES = (
    "insert into plain values (random(), hex(randomblob(9)))",
    "insert into plain select value, value from json_each('[1,2,3,4,5,6,7,8,9]')",
    "update plain set b = b || 'x', a = rowid where rowid % 2",
    "update plain set rowid = rowid + 1000 where rowid = 1",
    "delete from plain",
    "insert or ignore into numbered (name) values (hex(randomblob(2)))",
    "insert into numbered (id, name) values (500, 'far') on conflict do nothing",
    "delete from numbered",
    "delete from sqlite_sequence",
    "insert or replace into keyed values ('k', randomblob(20000))",
    "delete from keyed",
    "insert into computed (a) values (3), (4)",
    "insert into child (plain_a, numbered_id) values (1, 1)",
    "insert into found values ('a lazy dog')",
    "delete from found where found match 'quick'",
    "insert into found (found) values ('optimize')",
    "pragma user_version = 99",
    "pragma application_id = 1",
    "create table extra (a, b)",
    "create table if not exists plain2 as select * from plain",
    "alter table plain add column c default 5",
    "alter table numbered rename to counted",
    "alter table computed drop column tripled",
    "drop table keyed",
    "drop index by_b",
    "drop trigger logged",
    "drop view totals",
    "drop table found",
    "create temp table mine (a)",
    "reindex",
    "analyze",
    "vacuum",
    "pragma incremental_vacuum",
    "pragma journal_mode = wal",
    "pragma journal_mode = truncate",
    "pragma journal_mode = persist",
    "pragma journal_mode = delete",
    "pragma foreign_keys = on",
    "pragma foreign_keys = off",
    "pragma wal_checkpoint(passive)",
    "pragma cache_size = 5",
)
CONTROL = ("begin", "begin immediate", "commit", "rollback", "savepoint s", "release s", "rollback to s")
steps = st.tuples(st.integers(0, 2), st.sampled_from(WRITES) | st.sampled_from(CONTROL))
workloads = st.tuples(st.lists(steps, min_size=1, max_size=12), st.lists(st.booleans(), min_size=3, max_size=3))


def work(mint: Mint, workload: tuple[list[tuple[int, str]], list[bool]]) -> list[sqlite3.Connection]:
    """Three connections do it; returns those that are left open, as they are."""
    statements, stay_open = workload
    connections = [mint.open().pool.home.connect(isolation_level=None, timeout=0) for _ in stay_open]
    for number, statement in statements:
        with suppress(sqlite3.Error):
            connections[number].execute(statement).fetchall()
    for connection, stays in zip(connections, stay_open, strict=True):
        if not stays:
            connection.close()
    return [connection for connection, stays in zip(connections, stay_open, strict=True) if stays]


def test_a_file_is_what_its_template_is_after_any_workload(open_mint: OpenMint) -> None:
    mint = open_mint(SCHEMA, settle=0)
    home = Path(mint.reserve().database)
    mint.open()
    before, ways = content(home), set()
    before_pages = pages(home)

    @settings(max_examples=WORKLOADS)
    @given(workloads)
    def check(workload: tuple[list[tuple[int, str]], list[bool]]) -> None:
        with mint.lease() as lease:
            left = work(mint, workload)
            # Nobody watches connections here: who is in a transaction is ended as the account would end it.
            for connection in left:
                if connection.in_transaction:
                    connection.close()
        assert lease.restored
        ways.add(lease.restored.way)
        assert lease.restored.reason is None
        assert content(home) == before
        if not Path(f"{home}-wal").exists():
            assert pages(home) == before_pages
        for connection in left:
            with suppress(sqlite3.ProgrammingError):  # closed above
                assert connection.execute("select count(*) from plain").fetchone() == (4,)
                connection.close()

    check()
    assert ways == {Way.UNTOUCHED, Way.REWIND}


def test_marks_are_exact_whatever_is_written_upon_them(open_mint: OpenMint) -> None:
    mint = open_mint(SCHEMA, settle=0)
    home, clone = Path(mint.reserve().database), mint.open().pool.home
    template = content(home)

    @settings(max_examples=WORKLOADS // 5)
    @given(workloads, workloads)
    def check(of_fixture: object, of_test: object) -> None:
        for connection in work(mint, of_fixture):  # type: ignore[arg-type]
            connection.close()
        clone.push_mark()
        mark = content(home)
        for connection in work(mint, of_test):  # type: ignore[arg-type]
            connection.close()
        clone.restore()
        assert content(home) == mark
        clone.drop_mark(1)
        clone.restore()
        assert content(home) == template

    check()


def test_a_mark_is_taken_out_from_beneath_another_row_by_row(open_mint: OpenMint) -> None:
    mint = open_mint(SCHEMA, settle=0)
    home, clone = Path(mint.reserve().database), mint.open().pool.home
    template = content(home)
    with closing(clone.connect()) as connection:
        connection.executescript("""
            insert into plain values (7, 'of the module'); update plain set b = 'm' where rowid = 2;
            delete from plain where rowid = 4; insert into numbered (name) values ('three');
            update keyed set v = 'm'; pragma user_version = 8; insert into computed (a) values (5);
        """)
    clone.push_mark()
    with closing(clone.connect()) as connection:
        connection.executescript("""
            insert into plain values (8, 'of the session'); update plain set b = 's' where rowid = 1;
            insert into child values (1, 1, 1);
        """)
    clone.push_mark()
    clone.drop_mark(1)
    clone.restore()
    with closing(clone.connect()) as connection:
        rows = connection.execute("select rowid, a, b from plain order by rowid").fetchall()
        assert rows == [(1, 1, "s"), (2, 2, "b"), (3, None, None), (4, 1.5, "a"), (6, 8, "of the session")]
        assert connection.execute("select name from numbered").fetchall() == [("one",)]
        assert connection.execute("select seq from sqlite_sequence").fetchall() == [(2,)]
        assert connection.execute("select a, doubled, tripled from computed").fetchall() == []
        assert connection.execute("pragma user_version").fetchone() == (7,)
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
    clone.drop_mark(1)
    clone.restore()
    assert content(home) == template
