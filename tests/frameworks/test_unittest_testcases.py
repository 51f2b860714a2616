"""MintTestCase and its asynchronous twin: the same suite under unittest's own runner and under pytest."""

from __future__ import annotations

import pytest

from mintdb.unittest import MintTestCase, NoTestRuns
from tests.frameworks.suites import APP, Suite

TESTS = """
    import unittest

    from mintdb.unittest import MintAsyncTestCase, MintTestCase

    import app
    import asyncpg
    import psycopg


    def setUpModule():
        app.add("module")


    class WithClassData(MintTestCase):
        @classmethod
        def setUpClass(cls):
            with psycopg.connect(cls.url_for()) as connection:
                connection.execute("insert into account (owner) values ('class')")

        def setUp(self):
            app.add("test")

        def test_a(self):
            self.assertEqual(app.owners(), ["module", "class", "test"])
            with self.db.connect() as connection:
                connection.execute("delete from account")

        def test_b(self):
            self.test_a()

        def test_the_url_is_the_applications(self):
            self.assertEqual(self.db.url, app.URL)


    class WithoutClassData(MintTestCase):
        def test_the_other_classs_data_is_gone(self):
            self.assertEqual(app.owners(), ["module"])


    class Asynchronous(MintAsyncTestCase):
        async def asyncSetUp(self):
            self.connection = await asyncpg.connect(self.db.url)
            await self.connection.execute("insert into account (owner) values ('async')")

        async def asyncTearDown(self):
            await self.connection.close()

        async def test_a(self):
            self.assertEqual(await self.connection.fetchval("select count(*) from account"), 2)

        async def test_b(self):
            await self.test_a()


    class Ordinary(unittest.TestCase):
        def test_is_put_back_as_well(self):
            self.assertEqual(app.owners(), ["module"])
            app.add("ordinary")

        test_again = test_is_put_back_as_well
"""


def run_unittest(suite: Suite, *arguments: str) -> tuple[int, str]:
    ran = suite.run_python("-W", "error", "-m", "unittest", *arguments)
    return ran.code, ran.output


def test_unittests_own_runner(suite: Suite) -> None:
    suite.write(app=APP, test_unit=TESTS)
    code, printed = run_unittest(suite, "test_unit")
    assert code == 0, printed
    assert "Ran 8 tests" in printed
    assert "8 put back" in printed
    assert "LEAK" not in printed


def test_pytest_runs_the_same(suite: Suite) -> None:
    ran = suite.write(app=APP, test_unit=TESTS).run("-q")
    assert ran.outcomes == {"passed": 8}, ran.output
    assert "8 put back" in ran.output


def test_nothing_needs_to_be_configured_and_a_leak_is_named(suite: Suite) -> None:
    suite.write(
        **{"pyproject.toml": ""},
        test_unit="""
            import psycopg
            from mintdb.unittest import MintTestCase

            kept = []

            class Plain(MintTestCase):
                def test_a(self):
                    with self.db.connect() as connection:
                        connection.execute("create table t (x int)")
                    kept.append((self, psycopg.connect(self.db.url)))

                def test_b(self):
                    self.test_a()
        """,
    )
    code, printed = run_unittest(suite, "test_unit")
    assert code == 0, printed
    assert "LEAK  test_unit.Plain.test_a left 1 connection open" in printed
    assert suite.run("-q").outcomes == {"passed": 2}


def test_a_database_is_asked_for_outside_every_test() -> None:
    with pytest.raises(NoTestRuns) as caught:
        MintTestCase("run").db  # noqa: B018
    assert (
        str(caught.value)
        == """\
self.db was asked for, but no test has a database now
  1. ask for it in a test, in setUp or in setUpClass
  2. or let the application read its URL from a variable that `export` names"""
    )
