"""A script answers what was written down and nothing else, and its doubles have what the real classes have."""

from __future__ import annotations

import re
import sqlite3
from contextlib import suppress
from typing import Any

import pytest
from snowflake.connector import DictCursor, SnowflakeConnection, connect
from snowflake.connector.cursor import SnowflakeCursor
from snowflake.connector.errors import DatabaseError, InterfaceError, ProgrammingError

import mintdb
from mintdb.script.errors import (
    BadAnswer,
    NeverAsked,
    NotADriver,
    NotOfTheDriver,
    NotScripted,
    UnexpectedStatement,
    WrongParameters,
)
from mintdb.script.matching import normalise

ACCOUNT = {"account": "acct.eu-west-1", "user": "user", "password": "pwd", "warehouse": "wh", "database": "db"}


def count_orders(**arguments: Any) -> int:
    """What an application does: `connect` was bound long before any script."""
    connection = connect(**arguments)
    try:
        return int(connection.cursor().execute("select count(*) from orders").fetchone()[0])
    finally:
        connection.close()


def test_connect_is_answered_under_the_name_it_was_bound_to_and_its_arguments_are_kept() -> None:
    with mintdb.scripted() as script:
        script.on("select count(*) from orders").rows([(2,)])
        assert count_orders(**ACCOUNT) == 2
    assert script.connects == [ACCOUNT]
    assert (script.closes, script.commits) == (1, 0)


def test_a_connection_can_be_handed_over_without_any_connect() -> None:
    script = mintdb.scripted()
    script.on("select 1").rows([(1,)], columns=["ONE"])
    connection = script.connection(account="acme", role="analyst")
    assert isinstance(connection, SnowflakeConnection)
    assert (connection.account, connection.role) == ("acme", "analyst")
    cursor = connection.cursor()
    assert isinstance(cursor, SnowflakeCursor)
    assert cursor.execute("select 1").fetchall() == [(1,)]
    assert [column.name for column in cursor.description] == ["ONE"]
    script.verify()


@pytest.mark.parametrize(
    ("executed", "scripted"),
    [
        ("SELECT  id\n FROM Orders ;", "select id from orders"),
        ("select id -- the key\nfrom orders", "select id from orders"),
        ("select f( a , b )", "select f(a,b)"),
        ("select id /* all */ from orders", "select id from orders"),
    ],
)
def test_statements_that_differ_in_spaces_case_and_comments_are_one(executed: str, scripted: str) -> None:
    assert normalise(executed) == normalise(scripted)


@pytest.mark.parametrize(
    ("executed", "scripted"),
    [
        ("select 'A'", "select 'a'"),
        ('select "A"', 'select "a"'),
        ("select 'a  b'", "select 'a b'"),
        ("select ab", "select a b"),
    ],
)
def test_quoted_texts_and_separate_words_are_kept_apart(executed: str, scripted: str) -> None:
    assert normalise(executed) != normalise(scripted)


def test_a_pattern_has_to_match_all_of_a_statement() -> None:
    script = mintdb.scripted()
    script.on(re.compile(r"insert into orders values \(\d+\)")).affects(1)
    cursor = script.connection().cursor()
    assert cursor.execute("insert into orders values (7)").rowcount == 1
    with pytest.raises(UnexpectedStatement):
        cursor.execute("insert into orders values (7), (8)")


def test_an_exact_statement_is_compared_letter_by_letter() -> None:
    script = mintdb.scripted()
    script.on("select 1", exactly=True).rows([(1,)])
    with pytest.raises(UnexpectedStatement):
        script.connection().cursor().execute("SELECT 1")


def test_answers_are_given_in_order_and_the_last_one_for_ever() -> None:
    script = mintdb.scripted()
    script.on("select state").rows([("waiting",)]).rows([("done",)])
    cursor = script.connection().cursor()
    assert [cursor.execute("select state").fetchone() for _ in range(3)] == [("waiting",), ("done",), ("done",)]


def test_rows_are_read_in_every_way() -> None:
    script = mintdb.scripted()
    script.on("select n").rows([(1,), (2,), (3,), (4,)], columns=["N"])
    cursor = script.connection().cursor()
    assert (cursor.description, cursor.rowcount, cursor.sfqid) == (None, None, None)
    with pytest.raises(TypeError, match="'NoneType' object is not an iterator"):
        cursor.fetchone()
    assert cursor.execute("select n") is cursor
    assert (cursor.fetchone(), cursor.fetchmany(2), list(cursor), cursor.fetchone()) == (
        (1,),
        [(2,), (3,)],
        [(4,)],
        None,
    )
    assert (cursor.fetchall(), cursor.rowcount, cursor.rownumber) == ([], 4, 3)
    assert len(cursor.sfqid) == 36


def test_dicts_are_answered_as_the_cursor_is_asked_for() -> None:
    script = mintdb.scripted()
    script.on("select * from t").dicts([{"ID": 1, "NAME": "a"}])
    connection = script.connection()
    assert connection.cursor(DictCursor).execute("select * from t").fetchall() == [{"ID": 1, "NAME": "a"}]
    assert connection.cursor().execute("select * from t").fetchall() == [(1, "a")]


def test_a_frame_is_answered_whole_and_row_by_row() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"ID": [1, 2]})
    script = mintdb.scripted()
    script.on("select id").frame(frame)
    cursor = script.connection().cursor()
    assert cursor.execute("select id").fetch_pandas_all().equals(frame)
    assert cursor.execute("select id").fetchall() == [(1,), (2,)]


def test_an_error_of_the_driver_is_raised_with_a_query_id() -> None:
    script = mintdb.scripted()
    script.on("select * from gone").fails(ProgrammingError(msg="does not exist", errno=2003, sqlstate="42S02"))
    with pytest.raises(ProgrammingError) as raised:
        script.connection().cursor().execute("select * from gone")
    assert (raised.value.errno, raised.value.sqlstate) == (2003, "42S02")
    assert raised.value.sfqid


def test_an_error_that_the_driver_would_never_raise_cannot_be_scripted() -> None:
    with pytest.raises(BadAnswer) as raised:
        mintdb.scripted().on("select 1").fails(ValueError("no"))
    assert str(raised.value) == (
        "cannot script ValueError: it is no snowflake.connector.Error, so no code that catches the driver's errors"
        " would meet it"
    )


def test_an_unexpected_statement_is_told_even_if_the_application_swallows_it() -> None:
    with pytest.raises(UnexpectedStatement) as raised, mintdb.scripted() as script:  # noqa: PT012  # raised at its end
        script.on("select count(*) from orders").rows([(2,)])
        script.on("select name from customer").rows([("Ann",)])
        with suppress(Exception):
            connect().cursor().execute("select count(*) from order_s", (1,))
    assert re.sub(r":\d+ in", ":N in", str(raised.value)) == (
        """\
a statement was executed that is not in the script
  executed  select count(*) from order_s
  with      (1,)
  nearest   select count(*) from orders
  asked at  tests/script/test_scripted.py:N in test_an_unexpected_statement_is_told_even_if_the_application_swallows_it
  1. script it:  script.on('select count(*) from order_s').rows([…])"""
    )


def test_parameters_are_compared_a_list_and_a_tuple_being_one() -> None:
    script = mintdb.scripted()
    script.on("select name from t where id = %s", (1,)).rows([("one",)])
    script.on("select name from t where id = %s", (2,)).rows([("two",)])
    cursor = script.connection().cursor()
    assert cursor.execute("select name from t where id = %s", [2]).fetchone() == ("two",)
    with pytest.raises(WrongParameters) as raised:
        cursor.execute("select name from t where id = %s", (3,))
    assert re.sub(r":\d+ in", ":N in", str(raised.value)) == (
        """\
a scripted statement was executed with other parameters
  executed  select name from t where id = %s
  with      (3,)
  scripted  (1,) or (2,)
  asked at  tests/script/test_scripted.py:N in test_parameters_are_compared_a_list_and_a_tuple_being_one"""
    )


def test_what_was_scripted_and_never_executed_is_told() -> None:
    with pytest.raises(NeverAsked) as raised, mintdb.scripted() as script:  # noqa: PT012  # raised at its end
        script.on("select 1").rows([(1,)])
        script.on(re.compile("delete .*")).affects(1)
    assert str(raised.value) == (
        """\
scripted and never executed: 2
  select 1
  re.compile('delete .*')
  1. take out of the script what the application does not ask"""
    )


def test_a_failing_test_is_not_hidden_by_what_was_never_executed() -> None:
    with pytest.raises(ZeroDivisionError), mintdb.scripted() as script:  # noqa: PT012  # through it
        script.on("select 1").rows([(1,)])
        _ = 1 / 0


def test_what_the_real_class_does_not_have_cannot_be_called() -> None:
    cursor = mintdb.scripted().connection().cursor()
    with pytest.raises(NotOfTheDriver) as raised:
        cursor.fetch_al()
    assert (
        str(raised.value)
        == "SnowflakeCursor has no attribute 'fetch_al', and so its double has none; did you mean 'fetchall'?"
    )
    assert not hasattr(cursor, "copy")


def test_arguments_that_the_real_method_refuses_are_refused() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'parameters'"):
        mintdb.scripted().connection().cursor().fetchmany(parameters=3)


def test_what_the_real_class_has_and_the_double_does_not_is_said_so() -> None:
    with pytest.raises(NotScripted) as raised:
        mintdb.scripted().connection().cursor().get_result_batches()
    assert str(raised.value) == (
        "the double of SnowflakeCursor cannot do 'get_result_batches': what it can do is in docs/how-to/scripted.md"
    )


def test_a_closed_double_refuses_work_as_the_real_one_does() -> None:
    script = mintdb.scripted()
    connection = script.connection()
    cursor = connection.cursor()
    assert (cursor.close(), cursor.close()) == (True, False)
    with pytest.raises(InterfaceError, match="Cursor is closed"):
        cursor.execute("select 1")
    connection.close()
    with pytest.raises(DatabaseError, match="Connection is closed"):
        connection.cursor()


def test_another_driver_is_doubled_too_and_connects_wherever_it_was_bound() -> None:
    with mintdb.scripted("sqlite3") as script:
        script.on("select name from t where id = ?", (1,)).rows([("one",)], columns=["name"])
        script.on("insert into t values (?)").affects(2)
        with early_connect("file.db") as connection:
            assert isinstance(connection, sqlite3.Connection)
            assert connection.execute("select name from t where id = ?", (1,)).fetchone() == ("one",)
            assert connection.cursor().executemany("insert into t values (?)", [(1,), (2,)]).rowcount == 2
    assert (script.connects, script.commits) == ([{"0": "file.db"}], 1)
    assert sqlite3.connect is early_connect
    with sqlite3.connect(":memory:") as real:
        assert real.execute("select 1").fetchone() == (1,)


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "pymysql"])
def test_the_usual_drivers_are_known_and_their_own_classes_are_the_measure(driver: str) -> None:
    pytest.importorskip(driver)
    script = mintdb.scripted(driver)
    script.on("select 1").rows([(1,)])
    connection = script.connection()
    cursor = connection.cursor()
    cursor.execute("select 1")
    assert cursor.fetchall() == [(1,)]
    with pytest.raises(NotOfTheDriver):
        _ = cursor.sfqid
    connection.rollback()
    assert script.rollbacks == 1


def test_rows_are_what_the_application_has_told_its_driver_to_make_of_them() -> None:
    def rows(driver: str, *cursor: Any, **connect: Any) -> Any:
        script = mintdb.scripted(driver)
        script.on("select 1 as a").rows([(1,), (None,)], columns=["a"])
        opened = script.connection(**connect).cursor(*cursor)
        opened.execute("select 1 as a")
        return opened.fetchall()

    from psycopg.rows import class_row, dict_row, namedtuple_row, scalar_row
    from psycopg2.extras import NamedTupleCursor, RealDictCursor
    from pymysql.cursors import DictCursor as MyDictCursor

    assert [rows("psycopg", row_factory=made) for made in (dict_row, scalar_row)] == [
        [{"a": 1}, {"a": None}],
        [1, None],
    ]
    assert rows("psycopg", row_factory=namedtuple_row)[0].a == 1
    assert rows("psycopg2", cursor_factory=RealDictCursor) == rows("pymysql", MyDictCursor) == [{"a": 1}, {"a": None}]
    assert rows("psycopg2", cursor_factory=NamedTupleCursor)[0].a == 1
    with pytest.raises(NotScripted, match="the double of a row factory cannot do"):
        rows("psycopg", row_factory=class_row(dict))


def test_sqlites_row_factories_are_followed_and_columns_have_their_names() -> None:
    script = mintdb.scripted("sqlite3")
    script.on("select 1 as a").rows([(1,)], columns=["a"])
    connection = script.connection()
    connection.row_factory = sqlite3.Row
    row = connection.execute("select 1 as a").fetchone()
    assert (type(row), row["a"]) == (sqlite3.Row, 1)
    connection.row_factory = lambda cursor, row: {
        column[0].upper(): cell for column, cell in zip(cursor.description, row, strict=True)
    }
    assert connection.execute("select 1 as a").fetchall() == [{"A": 1}]
    script = mintdb.scripted("psycopg")
    script.on("select 1 as a").rows([(1,)], columns=["a"])
    assert [column.name for column in script.connection().execute("select 1 as a").description] == ["a"]


def test_a_module_that_is_no_driver_is_refused() -> None:
    with pytest.raises(NotADriver) as raised:
        mintdb.scripted("json")
    assert str(raised.value) == (
        """\
cannot make a double of 'json': it has no connect() or no Error
  1. name a module with connect(), as PEP 249 has it: "snowflake.connector", "psycopg2", "sqlite3"
  2. or name its classes:  mintdb.scripted('json', connection=…, cursor=…)"""
    )


early_connect = sqlite3.connect
