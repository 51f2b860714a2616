"""What was recorded from a real database answers in its place, from a file that people can read."""

from __future__ import annotations

import sqlite3
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from snowflake.connector import connect
from snowflake.connector.connection import SnowflakeConnection
from snowflake.connector.errors import ProgrammingError

import mintdb
import mintdb.snowflake
from mintdb.script.answers import Answer, Asked
from mintdb.script.errors import BadRecording, UnexpectedStatement
from mintdb.script.exchange import Exchange, read


def work_with_sqlite() -> list[Any]:
    with sqlite3.connect(":memory:") as connection:
        connection.execute("create table t (id int, name text)")
        connection.cursor().executemany("insert into t values (?, ?)", [(1, "a"), (2, "--> row [3]\nit's")])
        found = connection.execute("select id, name from t order by id").fetchall()
        try:
            connection.execute("select * from gone")
        except sqlite3.OperationalError as error:
            found.append(str(error))
    connection.close()
    return found


def test_a_recording_of_a_real_database_answers_as_it_did(tmp_path: Path) -> None:
    file = tmp_path / "exchange.sql"
    with mintdb.record(file, driver="sqlite3") as exchange:
        first = work_with_sqlite()
    assert first == [(1, "a"), (2, "--> row [3]\nit's"), "no such table: gone"]
    assert len(exchange.answered) == 4
    with mintdb.replay(file):
        assert work_with_sqlite() == first


def test_the_emulated_account_is_recorded_without_secrets_and_replayed_without_it(
    tmp_path: Path, server_home: Path
) -> None:
    file = tmp_path / "orders.sql"

    def work() -> Any:
        with connect(account="acme", user="ann", password="pwd-1234", database="shop") as connection:
            cursor = connection.cursor()
            cursor.execute("select 1 as id, 2.50::number(5,2) as total, '2024-01-02'::date as day where 1 = %s", (1,))
            found = cursor.fetchall()
            with pytest.raises(ProgrammingError, match="does not exist") as raised:
                cursor.execute("select * from gone.gone.gone")
            return found, raised.value.errno

    with mintdb.open(tmp_path, engine="snowflake") as mint, mint.lease(), mintdb.record(file):
        first = work()
    assert first == ([(1, Decimal("2.50"), date(2024, 1, 2))], first[1])
    text = file.read_text()
    assert "pwd-1234" not in text
    assert text.startswith(
        """\
-- mintdb recording 1 of snowflake.connector
--> connect {"account": "acme", "user": "ann", "database": "shop"}

select 1 as id, 2.50::number(5,2) as total, '2024-01-02'::date as day where 1 = %s
--> params {"tuple": [1]}
--> columns ["ID", "TOTAL", "DAY"]
--> row [1, {"decimal": "2.50"}, {"date": "2024-01-02"}]
--> rowcount 1
"""
    )
    with mintdb.replay(file):
        assert work() == first
    with pytest.raises(UnexpectedStatement), mintdb.replay(file) as script:
        script.connection().cursor().execute("select 2")


class Real(SnowflakeConnection):
    """The connector's own class, with a login that succeeds without a network."""

    def __init__(self, **arguments: Any) -> None:
        self.sqlite = sqlite3.connect(":memory:")

    def cursor(self, *args: Any) -> Any:
        return self.sqlite.cursor()

    def close(self, *args: Any, **kwargs: Any) -> None:
        self.sqlite.close()

    def __del__(self) -> None:
        """There is nothing of the connector's to end."""


def test_a_real_account_is_recorded_where_the_door_is_open(tmp_path: Path) -> None:
    mintdb.snowflake.reopen()
    file = tmp_path / "real.sql"
    with mintdb.record(file):
        connection = Real(account="acme", password="pwd-1234")
        assert connection.cursor().execute("select 7").fetchone() == (7,)
        connection.close()
    with mintdb.replay(file) as script:
        assert connect(account="acme").cursor().execute("select 7").fetchone() == (7,)
    assert script.connects == [{"account": "acme"}]


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.dates(),
    st.datetimes(),
    st.times(),
    st.builds(lambda: {"decimal": "not one"}),
)


@given(st.text(), st.lists(st.tuples(values, values), max_size=3), st.one_of(st.none(), st.lists(values)))
def test_whatever_is_written_is_read_again(tmp_path_factory: Any, text: str, rows: Any, params: Any) -> None:
    file = tmp_path_factory.mktemp("recordings") / "any.sql"
    statement = "select " + "".join(c for c in text if c.isprintable()) + "\n--> row [1]\nend"
    exchange = Exchange("sqlite3", [{"database": "x"}])
    exchange.answered.append((Asked(statement, params), Answer(["A", "B"], rows, len(rows))))
    exchange.write(file)
    found = read(file)
    assert found.connects == exchange.connects
    [(asked, answer)] = found.answered
    assert asked == Asked(statement.replace("\n--> ", "\n --> "), params)
    assert answer == Answer(["A", "B"], rows, len(rows))


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("select 1\n", 1, "it does not begin with '-- mintdb recording 1 of DRIVER'"),
        ("-- mintdb recording 1 of sqlite3\n\nselect 1\n--> row [1\n", 3, "JSONDecodeError"),
        ("-- mintdb recording 1 of sqlite3\n\nselect 1\n--> row [1]\n", 3, "KeyError: 'rowcount'"),
    ],
)
def test_a_damaged_recording_is_refused_with_its_line(tmp_path: Path, text: str, line: int, why: str) -> None:
    file = tmp_path / "damaged.sql"
    file.write_text(text)
    with pytest.raises(BadRecording) as raised:
        mintdb.replay(file)
    assert str(raised.value).startswith(f"cannot read the recording {file}, line {line}: {why}")
