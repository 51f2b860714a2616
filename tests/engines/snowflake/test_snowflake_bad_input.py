"""What cannot be used is refused, in full sentences, and before anything is touched."""

from __future__ import annotations

import multiprocessing
import os
import re
from datetime import date
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from snowflake.connector import connect
from snowflake.connector.errors import ProgrammingError

import mintdb
import mintdb.snowflake
from mintdb import Lease
from mintdb.engines.snowflake import compat, reserve_running
from mintdb.engines.snowflake.errors import (
    AnotherAccount,
    EmulationMissing,
    ForkedAccount,
    NotHere,
    OnlyThisProcess,
    UnsupportedVersions,
)
from mintdb.engines.snowflake.server import LockTimeout
from mintdb.snowflake import ConnectorMissing


def said(error: BaseException) -> str:
    return re.sub(r":\d+ in", ":N in", str(error))


def test_credentials_of_a_real_account_are_never_used(db: Lease) -> None:
    assert os.environ["SNOWFLAKE_ACCOUNT"] == "acme-production"
    with connect() as connection:
        facts = connection.cursor().execute("select current_account(), current_user()").fetchone()
        assert (connection.database, connection.schema) == (None, None)
    assert facts == (db.params["account"].upper(), None)  # type: ignore[union-attr]  # a text
    assert "of-production" not in repr(vars(connection))


@pytest.mark.parametrize(
    ("sql", "params", "error"),
    [
        ("select ?", (1,), TypeError),
        ("select %s", (1, 2), TypeError),
        ("select %s, %s", (1,), TypeError),
        ("select %(a)s", {"b": 1}, KeyError),
        ("select %s", (object(),), ProgrammingError),
    ],
)
def test_parameters_of_the_wrong_style_fail_as_in_the_connector(
    cursor: Any, sql: str, params: Any, error: type[Exception]
) -> None:
    with pytest.raises((error, ProgrammingError)):
        cursor.execute(sql, params)
    assert cursor.execute("select 1").fetchone() == (1,)


def test_question_marks_are_bound_where_they_were_asked_for(db: Lease) -> None:
    with db.connect(paramstyle="qmark") as connection:
        assert connection.cursor().execute("select ?, ?", (1, "it's")).fetchone() == (1, "it's")
        moved = connection.cursor().execute("select dateadd(day, 1, to_date(?))::date", ("2024-05-17",))
        assert moved.fetchone() == (date(2024, 5, 18),)
    with pytest.raises(ProgrammingError, match="Invalid paramstyle: 'dollar'"):
        db.connect(paramstyle="dollar")


def test_a_second_account_is_refused_and_the_same_one_in_other_spellings_is_not(db: Lease) -> None:
    first = connect(account="acme_prod.eu-west-1", database="shop")
    connect(account="ACME-PROD", database="shop").close()
    with pytest.raises(AnotherAccount) as raised:
        connect(account="partner", database="shop")
    first.close()
    assert said(raised.value) == (
        """\
the accounts 'acme-prod' and 'partner' would be one and the same emulated account
  asked at tests/engines/snowflake/test_snowflake_bad_input.py:N in test_a_second_account_is_refused_and_the_same_one_in_other_spellings_is_not
  1. give the second one a database of its own:  [tool.mintdb.databases.partner]  engine = "snowflake"
  2. or spell the account in one way"""  # noqa: E501
    )


def test_threads_work_over_one_connection_and_over_many(db: Lease, connection: Any) -> None:
    failed: list[BaseException] = []

    def work(number: int) -> None:
        try:
            connection.cursor().execute("insert into orders (id) values (%s)", (number,))
            with db.connect() as other:
                other.cursor().execute("insert into orders (id) values (%s)", (number + 100,))
        except BaseException as error:
            failed.append(error)

    threads = [Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert connection.cursor().execute("select count(distinct id) from orders").fetchone() == (16,)


def _use(connection: Any, queue: Any) -> None:
    try:
        connection.cursor().execute("select 1")
    except ForkedAccount as error:
        queue.put(str(error))


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_is_told_that_it_cannot_use_the_account(connection: Any) -> None:
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_use, args=(connection, queue))
    child.start()
    found = queue.get(timeout=30)
    child.join()
    assert found == (
        """\
a forked child process cannot use its parent's emulated Snowflake account: DuckDB does not survive a fork
  1. use a thread, or let the child have a mint of its own"""
    )


def test_a_url_of_a_real_account_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotHere) as raised:
        mintdb.open(tmp_path, engine="snowflake", url="snowflake://u:p@acme/shop").reserve()
    assert str(raised.value) == (
        """\
the engine snowflake cannot use the setting 'url': the account is emulated, and no real one is ever connected to
  1. leave it out"""
    )


def test_another_process_cannot_be_given_an_emulated_account() -> None:
    with pytest.raises(OnlyThisProcess) as raised:
        reserve_running("snowflake://acme", own_url="")
    assert str(raised.value) == (
        """\
an emulated Snowflake account lives in the process that tests, and no other can reach it
  1. run the tests themselves: pytest, or python -m unittest, with  engine = "snowflake"  in the settings"""
    )


@pytest.mark.parametrize(("package", "found"), [(compat.CONNECTOR, "4.7.2"), (compat.CONNECTOR, "6.0.0")])
def test_another_version_is_refused_and_the_supported_ones_are_named(
    monkeypatch: pytest.MonkeyPatch, package: str, found: str
) -> None:
    monkeypatch.setattr(compat, "version", lambda name: found if name == package else "0.12.1")
    with pytest.raises(UnsupportedVersions) as raised:
        compat.check()
    assert str(raised.value) == (
        f"""\
the engine snowflake works with snowflake-connector-python 4.8 to 5.x and fakesnow 0.12.1 to 0.12.x; found {package} {found}
  the emulation answers in the place of the connector's own classes, which change from line to line
  1. python -m pip install 'mintdb[snowflake]'"""  # noqa: E501
    )


def test_missing_libraries_and_locks_that_are_held_are_named() -> None:
    assert str(EmulationMissing(library="fakesnow")) == (
        """\
the engine snowflake needs fakesnow, which cannot be imported
  1. python -m pip install 'mintdb[snowflake]'"""
    )
    assert str(ConnectorMissing(why="No module named 'snowflake'")) == (
        """\
cannot answer Snowflake connections: No module named 'snowflake'
  1. python -m pip install 'mintdb[snowflake]'"""
    )
    assert str(LockTimeout(name="template x", seconds=600, file="/cache/x.lock")) == (
        """\
another process has held 'template x' for 600 s
  1. wait for the run that builds it
  2. or end it; the lock is /cache/x.lock"""
    )
