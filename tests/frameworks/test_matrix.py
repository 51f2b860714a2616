"""One suite on several engines, and one SQLAlchemy engine for each URL and process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from mintdb.pytest_plugin.matrix import Ran, compare
from mintdb.pytest_plugin.outcomes import Outcome
from tests.frameworks.suites import Suite

SETTINGS = """
[tool.mintdb]
env = "dev"

[tool.mintdb.databases.default]
schema = "metadata:app:metadata"
extensions = ["hstore"]
export = { DATABASE_URL = "sqlalchemy" }

[tool.mintdb.databases.notes]
engine = "sqlite"

[tool.mintdb.databases.replica]
mirror = "default"

[tool.mintdb.environments.dev.databases.default]
engine = "sqlite"

[tool.mintdb.environments.production]
protected = true
databases.default.url = "${PRODUCTION_URL}"

[tool.pytest.ini_options]
filterwarnings = ["error"]
"""
APP = """
import mintdb
import sqlalchemy as sa

metadata = sa.MetaData()
customer = sa.Table("customer", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", sa.String(5)))


def add(name):
    with mintdb.engine("default").begin() as connection:
        connection.execute(customer.insert().values(n=name))
"""
TESTS = """
import os

import mintdb
import pytest
import sqlalchemy as sa

from app import add


def test_a_short_name():
    add("Ann")


def test_a_name_that_is_too_long():
    add("Anastasia")


def test_a_dialect():
    with mintdb.engine().begin() as connection:
        connection.execute(sa.text("insert or ignore into customer (id) values (1)"))


def test_there_is_one_engine_and_a_forked_child_starts_with_an_empty_pool():
    engine = mintdb.engine()
    assert engine is mintdb.engine("default")
    add("A")
    with engine.connect() as connection:
        assert connection.scalar(sa.text("select id from customer")) == 1
    child = os.fork()
    if child == 0:
        os._exit(0 if mintdb.engine() is engine and engine.pool.checkedin() == 0 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_other_options_are_refused():
    with pytest.raises(mintdb.MintdbError, match="exists already, with other options"):
        mintdb.engine(pool_size=7)
"""


def test_the_matrix_says_where_engines_differ(suite: Suite) -> None:
    suite.write(**{"pyproject.toml": SETTINGS, "app": APP, "test_it": TESTS})
    ran = suite.run("--mintdb-matrix", "dev, postgresql", "-q", "--tb=no")
    assert ran.code == 1, ran.output
    assert "\nmintdb: dev\n" in ran.output
    assert "\nmintdb: postgresql, as the engine of default; as they are: notes\n" in ran.output
    report = ran.output.partition("mintdb: the matrix\n")[2].splitlines()
    assert report[:4] == [
        "  dev         5 passed",
        "  postgresql  3 passed, 2 failed",
        "mintdb: 2 of 5 tests have outcomes that differ",
        "  test_it.py::test_a_name_that_is_too_long",
    ]
    assert report[4:6] == [
        "    dev         passed",
        "    postgresql  failed: sqlalchemy.exc.DataError: (psycopg.errors.StringDataRightTruncation)"
        " value too long for type character varying(5)",
    ]
    ran = suite.run("--mintdb-matrix=dev", "-n", "2", "-k", "short", "-q")
    assert ran.code == 0, ran.output
    assert ran.output.endswith("mintdb: 1 tests, and each has the same outcome everywhere\n")
    ran = suite.run("--mintdb-matrix=dev,mysqll", "-q")
    assert ran.code == 4
    assert (
        """\
--mintdb-matrix names 'mysqll', which is neither an environment nor an engine; did you mean 'mysql'?
"""
        in ran.output
    )
    suite.write(**{"pyproject.toml": '[tool.mintdb.databases.billing]\nengine = "sqlite"\n'})
    ran = suite.run("--mintdb-matrix=sqlite", "-q")
    assert ran.code == 4
    assert (
        """\
--mintdb-matrix names the engine 'sqlite', which is for the database 'default', and there is none: only billing
  1. say in an environment which databases have which engine:  [tool.mintdb.environments.NAME.databases.billing]
  2. and name that:  --mintdb-matrix NAME
"""
        in ran.output
    )


def test_what_ran_in_one_place_only_differs_and_what_did_not_run_at_all_does_not() -> None:
    passed, failed = Outcome("passed"), Outcome("failed", "boom")
    ran = [Ran("a", 1, {"t1": passed, "t2": failed}), Ran("b", 0, {"t1": passed}), Ran("c", 4, {})]
    assert list(compare(ran)) == [
        "\nmintdb: the matrix",
        "  a  1 passed, 1 failed",
        "  b  1 passed",
        "  c  exit code 4",
        "mintdb: 1 of 2 tests have outcomes that differ",
        "  t2",
        "    a  failed: boom",
        "    b  absent",
    ]


def test_outside_of_tests_the_engine_leads_where_the_environment_says(suite: Suite) -> None:
    suite.write(**{"pyproject.toml": SETTINGS})
    program = "import mintdb; print(mintdb.engine().url)"
    production = {"MINTDB_ENV": "production", "PRODUCTION_URL": "postgresql://me:secret@prod:5433/shop"}
    assert said(program, suite.folder, production).stdout == "postgresql+psycopg://me:***@prod:5433/shop\n"
    assert (
        said(program, suite.folder, {"DATABASE_URL": "sqlite:////tmp/x.db"}).stdout == "sqlite+pysqlite:////tmp/x.db\n"
    )
    assert said(program, suite.folder, {}).stderr.endswith("""\
database 'default' has no URL here: no test run leases it, and the settings give it none
  1. run the program under mintdb:  mintdb run -- CMD
  2. or give the database a URL in the environment's table:  url = "${DATABASE_URL}"
  3. see where each setting comes from:  mintdb env
""")


def said(program: str, folder: Path, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """What a program prints, with no other variable of ours or of a database."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MINTDB", "DATABASE", "PG"))}
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=plain | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
