"""Whatever a test does to an emulated account, a rewind brings back its tables, rows, views, numbers and stages."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mintdb import Mint
from mintdb.contract import Way

STATEMENTS = [
    "insert into customer (name) values ('Cid')",
    "insert into customer (name) values ('far too long a name')",
    "insert into orders values (1, 1, 12.50, parse_json('{\"a\": 1}'))",
    "update customer set name = 'Zoe' where id = 1",
    "update orders set total = total / 0",
    "delete from customer",
    "truncate table customer",
    "merge into customer c using (select 1 id, 'Max' n) s on c.id = s.id when matched then update set name = s.n"
    " when not matched then insert (name) values (s.n)",
    "create table extra (id int autoincrement, v varchar(3))",
    "create or replace table customer (id int)",
    "create table copied clone customer",
    "insert into extra (v) values ('abc')",
    "alter table customer add column age int",
    "alter table orders drop column note",
    "alter table orders rename to sold",
    "alter table customer rename column name to called",
    "drop table orders",
    "drop view rich",
    "create or replace view rich as select 1 as one",
    "create schema attic",
    "create table attic.t as select 1 as a",
    "drop schema if exists attic cascade",
    "create database other",
    "create table other.public.t (id int)",
    "drop database if exists other",
    "drop database shop",
    "create sequence numbers",
    "select numbers.nextval",
    "create temporary table scratch (id int)",
    "create stage files",
    "create function twice(x int) returns int as 'x * 2'",
    "comment on table customer is 'changed'",
    "begin",
    "commit",
    "rollback",
    "use schema public",
    "set v = 1",
]
EXAMPLES = 100 if os.environ.get("MINTDB_SOAK") else 12
steps = st.lists(st.tuples(st.integers(0, 2), st.sampled_from(STATEMENTS)), max_size=12)


@settings(max_examples=EXAMPLES)
@given(steps, st.booleans())
def test_a_rewound_account_is_equal_to_the_mark(mint: Mint, steps: list[tuple[int, str]], left_open: bool) -> None:
    resident = mint.open().pool.home.connect()
    before = dump(mint)
    with mint.lease() as lease:
        connections = [resident, lease.connect(), lease.connect(autocommit=False)]
        for number, statement in steps:
            with suppress(Exception):  # many fail after the others: that is part of the workload
                connections[number].cursor().execute(statement)
        if left_open:
            with suppress(Exception):
                connections[2].cursor().execute("insert into customer (name) values ('Eve')")
    assert dump(mint) == before
    assert resident.cursor().execute("select name from customer order by id").fetchall() == [("Ann",), ("Ben",)]
    assert (resident.database, resident.schema, resident.in_transaction) == ("SHOP", "PUBLIC", False)
    resident.close()
    with mint.lease() as reads:
        assert dump(mint) == before
    assert reads.restored is not None
    assert reads.restored.way is Way.UNTOUCHED


def dump(mint: Mint) -> dict[str, Any]:
    """Everything that DuckDB knows of the account, and every row."""
    with mint.open().pool.home.connect() as connection:
        duck = connection._duck_conn
        facts = {
            name: sorted(map(repr, duck.execute(query).fetchall()))
            for name, query in {
                "databases": "select database_name from duckdb_databases() where not internal",
                "tables": "select database_name, schema_name, table_name, sql, comment from duckdb_tables()",
                "views": "select database_name, schema_name, view_name, sql from duckdb_views() where not internal",
                "sequences": "select database_name, schema_name, sequence_name, last_value from duckdb_sequences()",
                "macros": "select database_name, schema_name, function_name from duckdb_functions() where not internal",
            }.items()
        }
        tables = duck.execute("select database_name, schema_name, table_name from duckdb_tables()").fetchall()
        for table in tables:
            name = ".".join(f'"{part}"' for part in table)
            facts[name] = sorted(map(repr, duck.execute(f"select * from {name}").fetchall()))
        return facts
