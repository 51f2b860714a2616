"""What fakesnow answered wrongly and silently is put right, or refused with the connector's own error."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from snowflake.connector import DictCursor
from snowflake.connector.errors import DatabaseError, InterfaceError, ProgrammingError
from snowflake.connector.pandas_tools import write_pandas

from mintdb.engines.snowflake.errors import NotEmulated


def one(cursor: Any, sql: str, *params: Any) -> Any:
    return cursor.execute(sql, *params).fetchone()


def test_a_division_has_the_scale_of_snowflakes(cursor: Any) -> None:
    assert one(cursor, "select 7/2, 1/3, 1::number(10,2)/3, 1::float/3") == (3.5, 0.333333, 0.33333333, 1 / 3)


@pytest.mark.parametrize("sql", ["select 1/0", "select 1.5::float / 0", "select total / 0 from orders"])
def test_a_division_by_zero_is_an_error(cursor: Any, sql: str) -> None:
    cursor.execute("insert into orders (id, total) values (1, 5)")
    with pytest.raises(ProgrammingError, match="Division by zero") as raised:
        cursor.execute(sql)
    assert (raised.value.errno, raised.value.sqlstate) == (100051, "22012")


def test_a_sum_of_whole_numbers_is_exact(cursor: Any) -> None:
    total = one(cursor, "select sum(x) from (values (9007199254740993), (2)) v(x)")[0]
    assert (total, type(total)) == (9007199254740995, int)


def test_a_sum_of_decimals_is_a_decimal(cursor: Any) -> None:
    cursor.execute("insert into orders (total) values (0.10), (0.20)")
    assert one(cursor, "select sum(total) from orders") == (Decimal("0.30"),)


def test_a_column_is_numbered_by_a_sequence(cursor: Any) -> None:
    cursor.execute("create sequence numbers start 10 increment 5")
    cursor.execute("create table numbered (id int default numbers.nextval, v varchar)")
    cursor.execute("insert into numbered (v) values ('a'), ('b')")
    assert cursor.execute("select id, v from numbered order by id").fetchall() == [(10, "a"), (15, "b")]


def test_a_text_that_is_too_long_is_refused_and_nothing_is_written(cursor: Any) -> None:
    with pytest.raises(ProgrammingError, match="String 'Archibaldine' is too long and would be truncated") as raised:
        cursor.execute("insert into customer (name) values ('Cid'), ('Archibaldine')")
    assert raised.value.errno == 100078
    assert one(cursor, "select count(*) from customer") == (2,)


@pytest.mark.parametrize(
    "sql",
    [
        "update customer set name = 'Archibaldine' where id = 1",
        "merge into customer c using (select 1 id, 'Archibaldine' n) s on c.id = s.id"
        " when matched then update set name = s.n",
        "insert into customer (name) select 'Archibaldine'",
    ],
)
def test_a_text_that_is_too_long_is_refused_on_every_way_in(cursor: Any, sql: str) -> None:
    with pytest.raises(ProgrammingError, match="too long"):
        cursor.execute(sql)
    assert cursor.execute("select name from customer order by id").fetchall() == [("Ann",), ("Ben",)]


@pytest.mark.parametrize(
    ("change", "table", "column"),
    [
        ("alter table customer rename column name to called", "customer", "called"),
        ("alter table customer rename to buyer", "buyer", "name"),
        ("alter table customer drop column joined", "customer", "name"),
        ("create table buyer like customer", "buyer", "name"),
        ("create table buyer clone customer", "buyer", "name"),
    ],
)
def test_a_length_stays_with_its_column_under_whatever_name(cursor: Any, change: str, table: str, column: str) -> None:
    cursor.execute(change)
    insert = f"insert into {table} (id, {column}) values (9, %s)"
    cursor.execute(insert, ("short",))
    with pytest.raises(ProgrammingError, match="too long"):
        cursor.execute(insert, ("far too long",))


def test_a_length_goes_with_its_column(cursor: Any) -> None:
    cursor.execute("alter table customer drop column name")
    cursor.execute("insert into customer (id) values (9)")
    cursor.execute("create or replace table customer as select 1 as id, 'a name that is long' as name")
    cursor.execute("insert into customer values (2, 'another long name')")
    cursor.execute("drop table customer")
    cursor.execute("create table customer (name int)")
    cursor.execute("insert into customer values (12345678901)")


def test_dual_has_one_row(cursor: Any) -> None:
    assert cursor.execute("select 1 + 1 from dual").fetchall() == [(2,)]


def test_ddl_commits_the_open_transaction(connection: Any, db: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("begin")
    cursor.execute("insert into customer (name) values ('Cid')")
    cursor.execute("create table other (id int)")
    cursor.execute("rollback")
    assert one(cursor, "select count(*) from customer") == (3,)


def test_a_merge_does_not_commit_the_open_transaction(connection: Any) -> None:
    connection.autocommit(False)
    cursor = connection.cursor()
    cursor.execute("insert into customer (name) values ('Cid')")
    cursor.execute("merge into customer c using (select 1 id) s on c.id = s.id when matched then delete")
    connection.rollback()
    assert one(cursor, "select count(*) from customer") == (2,)


def test_a_sql_function_is_computed(cursor: Any) -> None:
    cursor.execute("create function vat(net number(10,2)) returns number(10,2) language sql as 'net * 0.2'")
    assert one(cursor, "select vat(100), vat(50)") == (Decimal("20.00"), Decimal("10.00"))
    cursor.execute("create or replace function vat(net number(10,2)) returns number(10,2) as $$ net / 2 $$")
    assert one(cursor, "select vat(100)") == (Decimal("50.00"),)
    cursor.execute("drop function vat(number)")
    with pytest.raises(ProgrammingError):
        cursor.execute("select vat(100)")


def test_typeof_names_snowflakes_types(cursor: Any) -> None:
    sql = """select typeof(parse_json('1')), typeof(parse_json('1.5')), typeof(parse_json('"a"')),
                    typeof(parse_json('[]')), typeof(parse_json('{}')), typeof(1), typeof('a')"""
    assert one(cursor, sql) == ("INTEGER", "DECIMAL", "VARCHAR", "ARRAY", "OBJECT", "INTEGER", "VARCHAR")


def test_a_variable_within_quotes_is_text(cursor: Any) -> None:
    cursor.execute("set v = 3")
    assert one(cursor, "select '$v', $v, 'it costs $5 or $price' -- $nothing") == ("$v", 3, "it costs $5 or $price")
    with pytest.raises(ProgrammingError, match=r"Session variable '\$W' does not exist"):
        cursor.execute("select $w")


def test_columns_of_one_name_are_both_there(cursor: Any) -> None:
    assert one(cursor, "select 1 as a, 2 as a") == (1, 2)


def test_a_session_knows_who_and_where_it_is(db: Any) -> None:
    with db.connect(user="ann", role="analyst", warehouse="wh") as connection:
        sql = "select current_user(), current_role(), current_warehouse(), current_database(), current_schema()"
        assert one(connection.cursor(), sql) == ("ANN", "ANALYST", "WH", "SHOP", "PUBLIC")
        connection.cursor().execute("use role auditor")
        assert one(connection.cursor(), "select current_role()") == ("AUDITOR",)


def test_the_last_query_is_known(cursor: Any) -> None:
    cursor.execute("select name from customer order by id")
    first = cursor.sfqid
    assert one(cursor, "select last_query_id()") == (first,)
    cursor.execute("select name from customer order by id")
    assert cursor.execute("select * from table(result_scan(last_query_id()))").fetchall() == [("Ann",), ("Ben",)]


def test_several_statements_in_one_execute_are_refused_unless_announced(cursor: Any) -> None:
    with pytest.raises(ProgrammingError, match="Actual statement count 2 did not match the desired statement count 1"):
        cursor.execute("insert into customer (name) values ('Cid'); select 1")
    assert one(cursor, "select count(*) from customer") == (2,)
    cursor.execute("select 1; select 2", num_statements=2)
    assert cursor.fetchall() == [(1,)]
    assert cursor.nextset() is cursor
    assert cursor.fetchall() == [(2,)]
    assert cursor.nextset() is None


def test_a_frame_is_written_and_read(connection: Any) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"ID": [1, 2], "TOTAL": [1.5, None]})
    assert write_pandas(connection, frame, "ORDERS")[0] is True
    cursor = connection.cursor().execute("select id, total from orders order by id")
    assert cursor.fetchall() == [(1, Decimal("1.50")), (2, None)]
    assert list(cursor.execute("select id from orders order by id").fetch_pandas_all()["ID"]) == [1, 2]


def test_a_database_is_dropped_with_what_is_in_it(cursor: Any) -> None:
    cursor.execute("create database attic")
    cursor.execute("create schema attic.s")
    cursor.execute("drop database attic")
    assert "ATTIC" not in {row[1] for row in cursor.execute("show databases").fetchall()}
    cursor.execute("create database attic")
    with pytest.raises(ProgrammingError):
        cursor.execute("create table attic.s.t (id int)")


def test_a_refusal_is_an_error_of_the_connector_and_says_what_to_do(cursor: Any) -> None:
    with pytest.raises(DatabaseError) as raised:
        cursor.execute("create task nightly warehouse = wh schedule = '1 minute' as select 1")
    assert (raised.value.errno, raised.value.sqlstate) == (2, "0A000")
    assert isinstance(raised.value.__cause__, NotEmulated)
    assert str(raised.value.__cause__) == (
        """\
the emulated account does not do CREATE TASK: tasks do not run
  1. test this statement with a double:  mintdb.scripted()
  2. docs/reference/snowflake.md lists what works"""
    )


def test_a_closed_connection_refuses_work_as_the_real_one_does(db: Any) -> None:
    connection = db.connect()
    cursor = connection.cursor()
    connection.close()
    connection.close()
    assert (connection.is_closed(), cursor.is_closed(), cursor.close()) == (True, True, False)
    with pytest.raises(DatabaseError, match="Connection is closed") as raised:
        connection.cursor()
    assert (raised.value.errno, raised.value.sqlstate) == (250002, "08003")
    with pytest.raises(InterfaceError, match="Cursor is closed in execute") as refused:
        cursor.execute("select 1")
    assert refused.value.errno == 252006


def test_a_closed_cursor_refuses_work_and_its_connection_does_not(connection: Any) -> None:
    cursor = connection.cursor()
    assert cursor.close() is True
    assert cursor.close() is False
    with pytest.raises(InterfaceError, match="Cursor is closed"):
        cursor.execute("select 1")
    assert one(connection.cursor(), "select 1") == (1,)


def test_a_cursor_before_its_first_statement_has_nothing(cursor: Any) -> None:
    assert (cursor.description, cursor.rowcount, cursor.sfqid, cursor.query) == (None, None, None, None)
    with pytest.raises(TypeError, match="'NoneType' object is not an iterator"):
        cursor.fetchone()


def test_a_cursor_is_read_in_every_way(cursor: Any) -> None:
    assert cursor.execute("") is None
    cursor.execute("select id, name from customer order by id")
    assert [column.name for column in cursor.description] == ["ID", "NAME"]
    assert (cursor.rowcount, cursor.rownumber) == (2, None)
    assert cursor.fetchmany(1) == [(1, "Ann")]
    assert cursor.rownumber == 0
    assert list(cursor) == [(2, "Ben")]
    assert (cursor.fetchone(), cursor.fetchall()) == (None, [])
    assert cursor.executemany("insert into customer (name) values (%s)", [("Cid",), ("Dan",)]).rowcount == 2
    assert one(cursor, "select name from customer where id = %(id)s", {"id": 2}) == ("Ben",)
    assert one(cursor, "select %s", "it's one") == ("it's one",)


def test_numbers_go_on_whatever_schema_the_session_is_in(db: Any, cursor: Any) -> None:
    cursor.execute("create schema raw")
    cursor.execute("create schema mart")  # which is the current one now
    cursor.execute("create table raw.event (id int autoincrement start 10 increment 5, name varchar)")
    cursor.execute("create sequence numbers start = 7")
    cursor.execute("create table bill (no int default numbers.nextval, name varchar)")
    with db.connect(schema="raw") as other:
        elsewhere = other.cursor()
        for _ in range(2):
            elsewhere.execute("insert into event (name) values ('a')")
            elsewhere.execute("insert into shop.mart.bill (name) values ('b')")
        assert elsewhere.execute("select id from event order by id").fetchall() == [(10,), (15,)]
        assert elsewhere.execute("select no from mart.bill order by no").fetchall() == [(7,), (8,)]
        elsewhere.execute("select mart.numbers.nextval")
        assert elsewhere.fetchall() == [(9,)]
        assert [column.name for column in elsewhere.description] == ["NEXTVAL"]
        assert elsewhere.execute("select shop.mart.numbers.nextval as n").fetchone() == (10,)
        with pytest.raises(ProgrammingError):
            elsewhere.execute("select numbers.nextval")


def test_a_division_within_another_is_one_of_snowflakes_too(cursor: Any) -> None:
    assert one(cursor, "select (1/3)/2, 7/2/2") == (0.1666665, 1.75)
    for sql in ("select (1/0)/2", "select 1/(1/0)"):
        with pytest.raises(ProgrammingError, match="Division by zero"):
            cursor.execute(sql)


def test_a_result_without_a_name_has_the_text_of_its_expression(connection: Any) -> None:
    sql = "select count(*), max(id), sum(id) / 2, date_trunc('month', '2024-05-17'::date), current_role() from customer"
    columns = ["COUNT(*)", "MAX(ID)", "SUM(ID) / 2", "DATE_TRUNC('MONTH', CAST('2024-05-17' AS DATE))"]
    found = connection.cursor(DictCursor).execute(sql).fetchone()
    assert list(found) == [*columns, "CURRENT_ROLE()"]
    first = connection.cursor().execute("select count(*) from customer union all select 1")
    assert [column.name for column in first.description] == ["COUNT(*)"]


def test_a_text_within_a_variant_is_compared_without_its_quotes(cursor: Any) -> None:
    cursor.execute("""insert into orders (id, note) select 1, parse_json('{"s": "x", "f": 1.5, "o": {"p": "q"}}')""")
    true = "note:s = 'x' and note['s'] = 'x' and note:o.p in ('q', 'r') and note:s like 'x%' and note:f > 1"
    assert one(cursor, f"select note:s || 'y', 'y' || note:o.p from orders where {true}") == ("xy", "yq")


def test_letters_are_trimmed_on_the_side_that_was_named(cursor: Any) -> None:
    sql = "select ltrim('xax', 'x'), rtrim('xax', 'x'), trim('xax', 'x'), trim('  a '), ltrim(' a '), rtrim(' a ')"
    assert one(cursor, sql) == ("ax", "xa", "a", "a", "a ", " a")


def test_a_format_counts_for_columns_too(cursor: Any) -> None:
    cursor.execute("create table day (d date, t timestamp_ntz, n number(10,2))")
    cursor.execute("insert into day values ('2024-05-17', '2024-05-17 13:14:15', 1234.5)")
    sql = """select to_char(d, 'YYYY-MM'), to_varchar(t, 'YYYYMMDD"T"HH24:MI'), to_char(d), to_char(n) from day"""
    assert one(cursor, sql) == ("2024-05", "20240517T13:14", "2024-05-17", "1234.50")
    for sql, why in (("select to_char(n, '9,999.00') from day", "of a number"), ("select to_char(t, 'FF3')", "'FF3'")):
        with pytest.raises(ProgrammingError, match=why):
            cursor.execute(sql)


def test_a_date_plus_days_is_a_date_and_plus_hours_is_not(cursor: Any) -> None:
    cursor.execute("create table day (d date)")
    cursor.execute("insert into day values ('2024-01-31')")
    sql = "select dateadd(month, 1, d), d + interval '1 day', d - interval '1 year', dateadd(hour, 1, d) from day"
    assert one(cursor, sql) == (date(2024, 2, 29), date(2024, 2, 1), date(2023, 1, 31), datetime(2024, 1, 31, 1))


def test_an_array_is_text_whichever_function_made_it(cursor: Any) -> None:
    sql = "select array_distinct(array_construct(1, 1)), array_construct(1), object_keys(parse_json('{\"a\": 1}'))"
    assert one(cursor, sql) == ("[1]", "[1]", '["a"]')


def test_what_is_cut_from_a_date_is_a_date(cursor: Any) -> None:
    cursor.execute("create table day (d date, t timestamp_ntz)")
    cursor.execute("insert into day values ('2024-05-17', '2024-05-17 10:11:12')")
    cut = "select date_trunc('month', d), date_trunc(hour, t), trunc(d, 'year'), date_trunc('day', '2024-05-17 01:00')"
    assert cursor.execute(f"{cut} from day").fetchone() == (
        date(2024, 5, 1),
        datetime(2024, 5, 17, 10),
        date(2024, 1, 1),
        datetime(2024, 5, 17),
    )
