"""`mintdb run -- python -m unittest`: each test is put back and each leak named, with no line added."""

from __future__ import annotations

from tests.frameworks.suites import APP, QUIET, WIDE_SET_UPS, Suite


def run_unittest(suite: Suite, *arguments: str) -> tuple[int, str]:
    ran = suite.run_under_mintdb("-m", "unittest", *arguments)
    return ran.code, ran.output


def test_each_test_is_put_back_and_wide_set_ups_live_as_long_as_their_class_or_module(suite: Suite) -> None:
    suite.write(
        app=APP,
        test_unit=WIDE_SET_UPS,
        test_zero="""
            import unittest
            import app

            class Last(unittest.TestCase):
                def test_the_other_module_is_gone(self):
                    self.assertEqual(app.owners(), [])
        """,
    )
    code, output = run_unittest(suite, "test_unit", "test_zero")
    assert code == 0, output
    assert "Ran 4 tests" in output
    assert "mintdb: 4 put back" in output


SEVERAL = """
[tool.mintdb]
rewind_examples = true

[tool.mintdb.databases.default]
schema = "sql:schema.sql"
export = "DATABASE_URL"

[tool.mintdb.databases.billing]
schema = "sql:schema.sql"
export = "BILLING_URL"

[tool.mintdb.databases.notes]
engine = "sqlite"
schema = "sql:notes.sql"
export = { NOTES = "path" }
"""


def test_every_configured_database_is_put_back_and_every_example_where_that_is_set(suite: Suite) -> None:
    suite.write(
        **{"pyproject.toml": SEVERAL, "notes.sql": "create table note (id integer primary key, text text);"},
        test_several="""
            import asyncio
            import os
            import sqlite3
            import unittest
            import psycopg
            from hypothesis import given, settings, strategies as st

            BILLING, NOTES = os.environ["BILLING_URL"], os.environ["NOTES"]  # read before the first test

            def bill():
                with psycopg.connect(BILLING) as connection:
                    return connection.execute("insert into account (owner) values ('x') returning id").fetchone()[0]

            def note():
                connection = sqlite3.connect(NOTES)
                with connection:
                    found = connection.execute("insert into note (text) values ('x')").lastrowid
                connection.close()
                return found

            class Several(unittest.TestCase):
                def setUp(self):
                    self.assertEqual(note(), 1)

                def test_one(self):
                    self.assertEqual((bill(), note()), (1, 2))

                def test_two(self):
                    self.assertEqual((bill(), note()), (1, 2))

                @settings(max_examples=4, database=None, deadline=None)
                @given(st.integers())
                def test_each_example(self, n):
                    self.assertEqual((bill(), note()), (1, 2))

            class Asynchronous(unittest.IsolatedAsyncioTestCase):
                async def asyncSetUp(self):
                    self.assertEqual(note(), 1)

                async def test_one(self):
                    self.assertEqual((bill(), note()), (1, 2))

                @settings(max_examples=4, database=None, deadline=None)
                @given(st.integers())
                def test_each_example(self, n):
                    self.assertEqual((bill(), note()), (1, 2))

                def execute_example(self, example):  # Hypothesis leaves the loop to the test case
                    result = example()
                    return asyncio.run(result) if asyncio.iscoroutine(result) else result

                @settings(max_examples=4, database=None, deadline=None)
                @given(st.integers())
                async def test_each_coroutine(self, n):
                    self.assertEqual((bill(), note()), (1, 2))
        """,
    )
    code, output = run_unittest(suite, "test_several")
    assert code == 0, output
    assert "Ran 6 tests" in output


def test_a_leak_is_named_and_the_exit_code_stays(suite: Suite) -> None:
    suite.write(
        app=APP,
        test_leak="""
            import os
            import unittest
            import psycopg

            kept = []

            class Leaks(unittest.TestCase):
                def test_leaks(self):
                    kept.append(psycopg.connect(os.environ["DATABASE_URL"]))
        """,
    )
    code, output = run_unittest(suite, "test_leak")
    assert code == 0, output
    assert "LEAK  test_leak.Leaks.test_leaks left 1 connection open" in output
    assert "test_leak.py:10 in test_leaks" in output


def test_leaks_error_fails_the_guilty_test(suite: Suite) -> None:
    suite.environment["MINTDB_LEAKS"] = "error"
    suite.write(
        test_leak="""
            import os
            import unittest
            import psycopg

            kept = []

            class Leaks(unittest.TestCase):
                def test_clean(self):
                    psycopg.connect(os.environ["DATABASE_URL"]).close()

                def test_leaks(self):
                    kept.append(psycopg.connect(os.environ["DATABASE_URL"]))
        """,
    )
    code, output = run_unittest(suite, "test_leak")
    assert code == 1, output
    assert "FAIL: test_leaks (test_leak.Leaks.test_leaks)" in output
    assert "FAILED (failures=1)" in output


def test_pytest_under_run_starts_where_every_warning_is_an_error(suite: Suite) -> None:
    suite.write(test_it="def test_it(mintdb): ...\n")
    run = suite.run_under_mintdb("-W", "error", "-m", "pytest", *QUIET)
    assert run.code == 0, run.output
    assert "1 passed" in run.output
