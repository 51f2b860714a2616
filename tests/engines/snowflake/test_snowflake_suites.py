"""A user's suite: its wrapper binds `connect` at import, and one line of settings is all that is added."""

from __future__ import annotations

from pathlib import Path

from tests.frameworks.suites import QUIET, Suite

APP = """
import functools
from snowflake.connector import SnowflakeConnection, connect

logged_in = functools.partial(connect, role="analyst")


class Wrapper:
    def __init__(self, opener=connect):
        self.connection = opener(account="acme", user="ann", password="pwd", database="shop", schema="public")

    def count(self):
        return self.connection.cursor().execute("select count(*) from customer").fetchone()[0]

    def add(self, name):
        self.connection.cursor().execute("insert into customer (name) values (%s)", (name,))


AT_IMPORT = Wrapper()
"""
TESTS = """
import threading
from unittest.mock import MagicMock, patch

import app
import fakesnow
import pytest


@pytest.fixture(scope="module")
def premium():
    app.AT_IMPORT.add("of the module")
    yield
    app.AT_IMPORT.connection.cursor().execute("select 1")


@pytest.mark.parametrize("again", range(3))
def test_starts_from_the_schema(again):
    wrapper = app.Wrapper(app.SnowflakeConnection)
    assert wrapper.count() == app.AT_IMPORT.count() == 1
    wrapper.add("Ben")
    assert app.AT_IMPORT.count() == 2
    wrapper.connection.close()


def test_closes_nothing():
    app.Wrapper(app.logged_in)


def test_threads():
    def work():
        wrapper = app.Wrapper()
        wrapper.add("Dan")
        wrapper.connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert app.AT_IMPORT.count() == 5


def test_the_fixture_is_the_same_account(mintdb):
    with mintdb.connect() as connection:
        connection.cursor().execute("delete from customer")
    assert app.AT_IMPORT.count() == 0


def test_a_patch_where_connect_is_defined_reaches_it_where_it_was_bound():
    with patch("snowflake.connector.connect") as connect:
        assert app.Wrapper().connection is connect.return_value
    connect.assert_called_once_with(account="acme", user="ann", password="pwd", database="shop", schema="public")


def test_a_mock_in_the_place_of_the_whole_connector_is_what_answers():
    connector = MagicMock()
    with patch.dict("sys.modules", {"snowflake": MagicMock(), "snowflake.connector": connector}):
        assert app.Wrapper().connection is connector.connect.return_value


@pytest.mark.filterwarnings("ignore:Arrow output")
def test_fakesnows_own_patch_reaches_connect_where_it_was_bound_and_has_an_account_of_its_own():
    with fakesnow.patch():
        wrapper = app.Wrapper()
        wrapper.connection.cursor().execute("create table customer (name varchar)")
        assert wrapper.count() == 0
    assert app.AT_IMPORT.count() == 1


class TestWide:
    def test_sees_the_module(self, premium):
        assert app.AT_IMPORT.count() == 2
        app.AT_IMPORT.add("Eve")

    def test_sees_it_again(self, premium):
        assert app.AT_IMPORT.count() == 2


def test_two_accounts_are_refused():
    app.Wrapper().connection.close()
    with pytest.raises(Exception, match="would be one and the same emulated account"):
        app.connect(account="other", database="shop")
"""


def test_a_suite_is_answered_put_back_and_told_who_never_closed(tmp_path: Path, server_home: Path) -> None:
    suite = Suite(tmp_path).write(
        **{
            "mintdb.toml": '[databases.default]\nengine = "snowflake"\nname = "shop"\nschema = "sql:db.sql"\n',
            "db.sql": "create table customer (id int autoincrement, name varchar);\n"
            "insert into customer (name) values ('Ann');\n",
            "app": APP,
            "test_app": TESTS,
        }
    )
    ran = suite.run("-W", "error", *QUIET)
    assert ran.outcomes == {"passed": 12}, ran.output
    assert "ABANDONED  test_app.py::test_closes_nothing never closed 1 connection" in ran.output
    assert "app.py:10 in __init__" in ran.output
    assert ran.output.count("never closed") == 1
    assert "LEAK" not in ran.output


def test_a_statement_that_fails_in_the_schema_is_named_with_its_line(tmp_path: Path, server_home: Path) -> None:
    suite = Suite(tmp_path).write(
        **{
            "mintdb.toml": '[databases.default]\nengine = "snowflake"\nschema = "sql:db.sql"\n',
            "db.sql": "create table t (id int);\n\n-- the next one is wrong\ninsert into u values (1);\n",
            "test_app": "def test_nothing(): pass\n",
        }
    )
    ran = suite.run(*QUIET)
    assert ran.code == 4
    assert "db.sql:4" in ran.output
    assert "Table with name U does not exist" in ran.output


def test_a_source_in_python_fills_the_account_whatever_account_it_names(tmp_path: Path, server_home: Path) -> None:
    source = """
        from snowflake.connector import connect

        def create():
            with connect(account="production", database="mintdb", schema="public") as connection:
                connection.cursor().execute("create table made (id int)")
    """
    tests = """
        from snowflake.connector import connect

        def test_made():
            with connect(account="acme", database="mintdb", schema="public") as connection:
                assert connection.cursor().execute("select * from made").fetchall() == []
    """
    suite = Suite(tmp_path).write(
        **{
            "mintdb.toml": '[databases.default]\nengine = "snowflake"\nschema = "python:source:create"\n',
            "source": source,
            "test_app": tests,
        }
    )
    assert suite.run(*QUIET).outcomes == {"passed": 1}
