"""How many connections an application may hold, and where its pools come from."""

from __future__ import annotations

from tests.frameworks.suites import Suite

TWO_ENGINES = """
import os
import time
from sqlalchemy import create_engine, text

first = create_engine(os.environ["SQLALCHEMY_URL"])
second = create_engine(os.environ["SQLALCHEMY_URL"])

def backends(engine):
    with engine.connect() as connection:
        query = "select count(*) from pg_stat_activity where datname = current_database() and application_name = ''"
        return connection.scalar(text(query))

def soon(expected):
    "A backend ends a moment after its client."
    deadline = time.monotonic() + 60
    while (found := backends(second)) != expected and time.monotonic() < deadline:
        pass
    return found
"""
PSYCOPG_POOL = """
import os
import pytest
from psycopg_pool import ConnectionPool, PoolTimeout

def test_it_is_ready():
    with ConnectionPool(os.environ["DATABASE_URL"], min_size=2, open=False) as pool:
        pool.open(wait=True, timeout=60)
        pool.wait()
        assert pool.get_stats()["pool_available"] == 0

def test_it_never_is():
    pool = ConnectionPool(os.environ["DATABASE_URL"] + "_is_missing", min_size=1, open=False)
    with pytest.raises(PoolTimeout):
        pool.open(wait=True, timeout=0.2)
    assert pool.closed
"""
TESTS = """
import app

def test_both():
    app.backends(app.first)
    assert app.soon({expected}) == {expected}
"""


def test_several_pools_for_one_database_are_told_with_the_place_of_each(suite: Suite) -> None:
    suite.write(app=TWO_ENGINES, test_both=TESTS.replace("{expected}", "2"))
    ran = suite.run()
    assert ran.outcomes == {"passed": 1}, ran.output
    assert "SPRAWL  2 pools of one process lead to postgresql://" in ran.output
    assert "app.py:6 in <module>, SQLAlchemy engine" in ran.output
    assert "app.py:7 in <module>, SQLAlchemy engine" in ran.output


def test_with_keep_idle_false_pools_close_what_is_given_back(suite: Suite) -> None:
    suite.environment["MINTDB_KEEP_IDLE"] = "false"
    suite.write(app=TWO_ENGINES, test_both=TESTS.replace("{expected}", "1"), test_psycopg_pool=PSYCOPG_POOL)
    ran = suite.run()
    assert ran.outcomes == {"passed": 3}, ran.output


def test_an_opener_beyond_the_budget_is_told_who_holds_the_connections(suite: Suite) -> None:
    suite.environment |= {"MINTDB_MAX_CONNECTIONS": "2", "MINTDB_CONNECTION_TIMEOUT": "0.3"}
    suite.write(
        test_budget="""
            import os
            import psycopg
            import pytest

            def test_the_third_waits_and_fails():
                url = os.environ["DATABASE_URL"]
                with psycopg.connect(url), psycopg.connect(url):
                    with pytest.raises(Exception) as raised:
                        psycopg.connect(url)
                assert type(raised.value).__name__ == "ConnectionBudgetExceeded"
                assert "2 connections are open and 2 are allowed" in str(raised.value)
                assert "test_budget.py:8 in test_the_third_waits_and_fails" in str(raised.value)

            def test_the_next_is_not_hindered():
                with psycopg.connect(os.environ["DATABASE_URL"]):
                    pass
        """,
    )
    ran = suite.run()
    assert ran.outcomes == {"passed": 2}, ran.output
