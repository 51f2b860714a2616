"""What the tests of a generated suite do to their database; each first checks that nothing has been done to it.

This file is copied into the suite and runs there, as a user's code would: it knows the URL and nothing of mintdb.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
from psycopg import sql

SCHEMA = """
create table account (id serial primary key, owner text not null unique, balance int not null default 0);
create table entry (id serial primary key, account_id int not null references account on delete cascade, amount int);
create table note (body text);
create table big (id int primary key, filler text);
create table part (day int, what text) partition by range (day);
create table part_1 partition of part for values from (0) to (10);
create table part_2 partition of part for values from (10) to (20);
create unlogged table draft (id serial, body text);
create sequence ticket start 100 increment 5;
create index entry_by_account on entry (account_id);
create view rich as select * from account where balance > 100;
create materialized view totals as select count(*) as accounts from account;
create function twice(n int) returns int language sql immutable as 'select 2 * n';
create function log_entry() returns trigger language plpgsql as
  $$ begin insert into note values ('entry ' || new.id); return new; end $$;
create trigger entry_logged after insert on entry for each row execute function log_entry();
create type mood as enum ('good', 'bad');
insert into account (owner, balance) values ('ann', 10), ('bob', 200), ('cyd', 3000);
insert into big select n, repeat('x', 100) from generate_series(1, 500) n;
insert into part values (1, 'a'), (11, 'b');
select nextval('ticket');
"""

# Everything that SQL can see of a database; object identifiers differ between clones and are left out.
CATALOGS = {
    "relations": "select relname, relkind, relpersistence, relhastriggers, relrowsecurity from pg_class",
    "columns": """select relname, attname, atttypid::regtype::text, attnotnull, pg_get_expr(adbin, adrelid)
        from pg_attribute a join pg_class c on c.oid = attrelid
        left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum where attnum > 0""",
    "constraints": "select conname, pg_get_constraintdef(c.oid) from pg_constraint c",
    "indexes": "select c.relname, pg_get_indexdef(c.oid) from pg_class c where relkind = 'i'",
    "functions": "select proname, prosrc from pg_proc",
    "triggers": "select tgname, pg_get_triggerdef(t.oid), tgenabled from pg_trigger t where not tgisinternal",
    "enums": "select enumlabel from pg_enum",
    "schemas": "select nspname from pg_namespace where nspname !~ '^pg_(toast_)?temp_'",
    "extensions": "select extname from pg_extension",
    "comments": "select description from pg_description where objoid > 16383",
    "large objects": "select count(*) from pg_largeobject_metadata",
    "prepared": "select gid from pg_prepared_xacts where database = current_database()",
}
OURS = {
    "relations": " where relnamespace = 'public'::regnamespace",
    "columns": " and not attisdropped and relnamespace = 'public'::regnamespace",
    "constraints": " where connamespace = 'public'::regnamespace",
    "indexes": " and relnamespace = 'public'::regnamespace",
    "functions": " where pronamespace = 'public'::regnamespace",
}


def url() -> str:
    return os.environ["DATABASE_URL"]


def connect(**options: object) -> psycopg.Connection:
    return psycopg.connect(url(), **options)


def describe(address: str) -> dict[str, list]:
    """All rows, sequences and catalog entries of a database."""
    with psycopg.connect(address, autocommit=True) as connection:
        found = {
            name: sorted(map(list, connection.execute(query + OURS.get(name, ""))), key=str)
            for name, query in CATALOGS.items()
        }
        for name, kind, *_ in found["relations"]:
            if kind in "rm":
                rows = _rows(connection, name)
                # Small tables keep their physical order too; docs/why/rewind.md says how small.
                found[f"rows of {name}"] = sorted(rows) if name == LARGE else rows
            if kind == "S":
                found[f"sequence {name}"] = _rows(connection, name, "last_value, is_called")
    return json.loads(json.dumps(found))


LARGE = "big"  # more than eight pages


def _rows(connection: psycopg.Connection, name: str, columns: str = "*") -> list:
    query = sql.SQL("select {} from {}").format(sql.SQL(columns), sql.Identifier(name))
    return [list(row) for row in connection.execute(query)]  # in physical order: a put-back keeps that too


def run(*statements: str) -> None:
    with connect(autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def insert(rng: random.Random) -> None:
    with connect() as connection:
        row = connection.execute(f"insert into account (owner) values ('new {rng.random()}') returning id").fetchone()
        connection.execute("insert into entry (account_id, amount) values (%s, 1)", row)


def update(rng: random.Random) -> None:
    run(
        f"update account set balance = {rng.randrange(1000)}",
        f"update big set filler = 'y' where id % {rng.randint(2, 99)} = 0",
    )


def delete(rng: random.Random) -> None:
    run(f"delete from big where id > {rng.randrange(500)}", "delete from account where owner = 'ann'")


def roll_back(rng: random.Random) -> None:
    with connect() as connection:
        connection.execute("delete from account")
        connection.execute("create table gone (n int)")
        connection.rollback()


def truncate(rng: random.Random) -> None:
    run("truncate account restart identity cascade" if rng.random() < 0.5 else "truncate big, part")


def alter(rng: random.Random) -> None:
    run(
        rng.choice(
            [
                "alter table account add column extra int default 7",
                "alter table account drop column balance cascade",
                "alter table entry alter column amount type bigint",
                "alter table note rename to remark",
                "alter table big add constraint small check (id < 9999)",
                "alter table entry disable trigger entry_logged",
                "alter table part detach partition part_2",
                "alter type mood add value 'meh'",
            ]
        )
    )


def drop(rng: random.Random) -> None:
    run(
        rng.choice(
            [
                "drop table account cascade",
                "drop table note cascade",
                "drop view rich",
                "drop index entry_by_account",
                "drop function twice",
                "drop schema public cascade",
                "drop table part",
                "drop sequence ticket",
            ]
        )
    )


def create(rng: random.Random) -> None:
    run(
        "create table extra (id serial primary key, body text); insert into extra (body) values ('x')",
        "create schema other; create table other.t (n int)",
        "comment on table account is 'commented'",
    )


def sequences(rng: random.Random) -> None:
    run("select nextval('ticket') from generate_series(1, 40)", "select setval('account_id_seq', 900)")


def one_sequence_value(rng: random.Random) -> None:
    run("select nextval('ticket')")  # writes nothing to the WAL while the sequence has values in stock


def large_objects(rng: random.Random) -> None:
    run("select lo_from_bytea(0, 'content')")


def partitions(rng: random.Random) -> None:
    run("insert into part values (2, 'c'), (12, 'd')", "update part set day = 13 where day = 1")


def unlogged(rng: random.Random) -> None:
    run("insert into draft (body) select 'x' from generate_series(1, 9)")


def refresh(rng: random.Random) -> None:
    run("insert into account (owner) values ('for the view')", "refresh materialized view totals")


def temporary(rng: random.Random) -> None:
    run("create temp table t as select 1 as n; insert into account (owner) select 't' || n from t")


def prepared_transaction(rng: random.Random) -> None:
    run(f"begin; insert into note values ('p'); prepare transaction 'p{rng.random()}'")


def copy_in(rng: random.Random) -> None:
    with connect() as connection, connection.cursor() as cursor, cursor.copy("copy note from stdin") as copy:
        for number in range(rng.randrange(1, 2000)):
            copy.write_row((f"note {number}",))


def threads(rng: random.Random) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(insert, [random.Random(rng.random()) for _ in range(4)]))


def another_process(rng: random.Random) -> None:
    code = "import isolation_workload; isolation_workload.run('delete from account')"
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, check=True)


def nothing(rng: random.Random) -> None:
    with connect() as connection:
        connection.execute("select count(*) from account").fetchone()


ACTIONS: list[tuple[Callable[[random.Random], None], int]] = [
    (insert, 6),
    (update, 4),
    (delete, 4),
    (roll_back, 2),
    (truncate, 2),
    (alter, 1),
    (drop, 1),
    (create, 1),
    (sequences, 2),
    (one_sequence_value, 3),
    (large_objects, 1),
    (partitions, 2),
    (unlogged, 2),
    (refresh, 1),
    (temporary, 1),
    (prepared_transaction, 1),
    (copy_in, 2),
    (threads, 2),
    (another_process, 1),
    (nothing, 2),
]


def check_and_change(number: int) -> None:
    """The test `number` of the suite: find the template's content, then leave something else behind."""
    expected = json.loads(Path(__file__).with_name("expected.json").read_text())
    found = describe(url())
    assert found == expected, {k: (expected.get(k), v) for k, v in found.items() if v != expected.get(k)}
    rng = random.Random(number)
    actions, weights = zip(*ACTIONS, strict=True)
    for action in rng.choices(actions, weights, k=rng.randint(1, 3)):
        with contextlib.suppress(psycopg.ProgrammingError, psycopg.IntegrityError):
            action(rng)  # what it needs may have been dropped by the action before it
