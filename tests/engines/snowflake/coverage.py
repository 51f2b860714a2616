"""The table of statements in docs/reference/snowflake.md, from what the emulation really does with each of them.

`python -m tests.engines.snowflake.coverage` writes it anew.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

import mintdb
from mintdb.engines.snowflake.errors import NotEmulated
from mintdb.snowflake import NetworkRefused

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "snowflake.md"
ROOM = "<!-- generated: python -m tests.engines.snowflake.coverage -->"
SCHEMA = """
create table t (id int autoincrement, v varchar(10), n number(10,2), j variant);
insert into t (v, n) values ('a', 1.5), ('b', 2.5);
create stage files;
"""
STATEMENTS = {
    "Queries": [
        "select v, row_number() over (order by n) from t",
        "select v from t qualify row_number() over (partition by v order by n) = 1",
        "select listagg(v, ',') within group (order by v) from t",
        "select sum(n), count(*), max_by(v, n) from t",
        "select 7/2",
        "select 1/0",
        "select typeof(parse_json('[1]'))",
        "select j:a.b::int from t",
        "select f.value from table(flatten(input => parse_json('[1,2]'))) f",
        "select object_construct('a', 1), array_construct(1, 2)",
        "select seq4() from table(generator(rowcount => 3))",
        "select * from t sample (10)",
        "select * from t pivot(sum(n) for v in ('a', 'b'))",
        "select try_to_number('x'), iff(true, 1, 2), nvl(null, 1), zeroifnull(null), div0(1, 0)",
        "select ratio_to_report(n) over () from t",
        "select $1 from values (1)",
        "explain select 1",
    ],
    "Writing": [
        "insert into t (v) values ('c')",
        "insert into t (v) values ('longer than its column')",
        "insert overwrite into t (v) select 'c'",
        "insert all into t (v) values ('c') select 1",
        "update t set n = 0 where v = 'a'",
        "delete from t",
        "merge into t using (select 'a' v) s on t.v = s.v when matched then update set n = 9",
        "truncate table t",
    ],
    "Tables, views, sequences": [
        "create or replace table u (id int)",
        "create transient table u (id int)",
        "create temporary table u (id int)",
        "create table u as select * from t",
        "create table u like t",
        "create table u clone t",
        "create dynamic table u target_lag = '1 minute' warehouse = w as select 1 as x",
        "create external table u location = @files",
        "alter table t add column w int",
        "alter table t drop column n",
        "alter table t rename column v to w",
        "alter table t swap with u",
        "alter table t cluster by (id)",
        "drop table t",
        "undrop table t",
        "create view u as select v from t",
        "create materialized view u as select v from t",
        "create sequence s",
        "comment on table t is 'text'",
        "create masking policy p as (x string) returns string -> '*'",
        "create tag cost",
    ],
    "Databases and schemas": [
        "create database other",
        "drop database other",
        "create database other clone shop",
        "create schema other",
        "create schema other clone public",
        "drop schema if exists other",
        "use schema public",
        "select count(*) from information_schema.columns",
        "show tables",
        "show schemas",
        "show columns in table t",
        "describe table t",
    ],
    "Sessions, roles, warehouses": [
        "select current_user(), current_role(), current_warehouse(), current_account(), current_database()",
        "select current_version()",
        "use role analyst",
        "use warehouse w",
        "show warehouses",
        "create warehouse w",
        "alter warehouse w suspend",
        "create role analyst",
        "grant select on table t to role analyst",
        "show grants",
        "create user ann",
        "set v = 1",
        "unset v",
        "alter session set query_tag = 'x'",
        "alter session set timezone = 'Europe/Berlin'",
    ],
    "Transactions": ["begin", "commit", "rollback", "begin; select 1; commit"],
    "Functions and procedures": [
        "create function twice(x int) returns int as 'x * 2'",
        "create function rows_(x int) returns table (a int) as 'select 1'",
        "create function py(x int) returns int language python handler = 'f' as 'def f(x): return x'",
        "create procedure p() returns int language sql as 'begin return 1; end'",
        "call system$wait(1)",
        "execute immediate 'select 1'",
        "begin let x := 1; return x; end",
    ],
    "Streams, tasks, pipes": [
        "create stream s on table t",
        "create task k warehouse = w schedule = '1 minute' as select 1",
        "execute task k",
        "create pipe p as copy into t from @files",
        "create alert a warehouse = w schedule = '1 minute' if (exists (select 1)) then select 1",
    ],
    "Stages and files": [
        "create stage other",
        "list @files",
        "copy into t from @files",
        "get @files file:///tmp/",
        "remove @files",
        "copy into t from 's3://bucket/t.csv'",
        "copy into @files from t",
        "create file format f type = csv",
    ],
    "The past": [
        "select * from t at(offset => -60)",
        "select * from t before(statement => 'id')",
        "select last_query_id()",
        "select * from table(result_scan(last_query_id()))",
    ],
}
LOGIN = {"account": "acme", "user": "ann", "password": "secret", "database": "mintdb", "schema": "public"}
WAYS_IN = {
    "snowflake.connector.connect(…)": lambda: connector().connect(**LOGIN).close(),
    "snowflake.connector.SnowflakeConnection(…)": lambda: connector().SnowflakeConnection(**LOGIN).close(),
    "await snowflake.connector.aio.connect(…)": lambda: asyncio.run(connect_async()),
}


def connector(module: str = "") -> Any:
    """The connector, which is imported when the account that answers it is there."""
    return import_module(f"snowflake.connector{module}")


async def connect_async() -> None:
    """What an asynchronous application does."""
    await connector(".aio").connect(**LOGIN)


def page() -> str:
    """The page as the emulation has it now."""
    lines = [PAGE.read_text(encoding="utf-8").partition(ROOM)[0] + ROOM]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "schema.sql").write_text(SCHEMA)
        with mintdb.open(folder, engine="snowflake", schema="sql:schema.sql") as mint:
            for topic, statements in STATEMENTS.items():
                lines += [
                    f"## {topic}",
                    "| statement | what happens |\n|---|---|\n" + "\n".join(rows(mint, statements)),
                ]
            with mint.lease():
                lines += ["## Ways in", "| call | what happens |\n|---|---|\n" + "\n".join(map(way_in, WAYS_IN))]
    return "\n\n".join(lines) + "\n"


def rows(mint: mintdb.Mint, statements: list[str]) -> list[str]:
    """One row of the table for each statement, each tried in mint condition."""
    found = []
    for statement in statements:
        with mint.lease() as lease, lease.connect(user="ann", role="r", warehouse="w") as connection:
            cursor = connection.cursor()
            cursor.execute("select 1")
            found.append(f"| `{statement.replace('|', chr(92) + '|')}` | {outcome(cursor, statement)} |")
    return found


def way_in(call: str) -> str:
    """The row of one way to connect."""
    try:
        WAYS_IN[call]()
    except NetworkRefused as refused:
        return f"| `{call}` | refused: {refused.why} |"
    return f"| `{call}` | works |"


def outcome(cursor: Any, statement: str) -> str:
    """What happens, in a few words."""
    try:
        cursor.execute(statement)
    except Exception as error:
        if isinstance(error.__cause__, NotEmulated):
            return f"refused: {error.__cause__.why}"
        said = re.sub(r"\s+", " ", str(error).splitlines()[0].partition("): ")[2] or str(error).splitlines()[0])
        return f"fails, `{type(error).__name__}`: {said[:90].replace('|', '/')}"
    return "works"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
