"""Mirrors, roles, seeds, extensions and search paths, through pytest, its workers and `mintdb run`."""

from __future__ import annotations

import pytest

from tests.frameworks.suites import QUIET, Suite

SETTINGS = """
[tool.mintdb.databases.default]
schema = "sql:db/"
seed = ["sql:seed.sql", "python:more:fill"]
extensions = ["hstore", "vector"]
export = { DATABASE_URL = "libpq", ASYNC_URL = "postgresql+asyncpg" }
role = "app"
roles = ["keeper_of_all"]

[tool.mintdb.databases.replica]
mirror = "default"
role = "reader"
export = "REPLICA_URL"

[tool.mintdb.databases.tenant]
mirror = "default"
search_path = '"tenant one", public'
export = "TENANT_URL"

[tool.mintdb.databases.archive]
schema = "sql:archive.sql"
leaks = "error"
export = "ARCHIVE_URL"

[tool.pytest.ini_options]
filterwarnings = ["error"]
"""
SCHEMA = """
create table customer (id serial primary key, name text, tags hstore);
alter table customer owner to keeper_of_all;
grant select, insert on customer to app;
grant usage on sequence customer_id_seq to app;
grant select on customer to reader;
create schema "tenant one";
create table "tenant one".thing (n int);
grant usage on schema "tenant one" to app;
grant all on "tenant one".thing to app;
"""
MORE = """
import os
import psycopg

def fill(url):
    assert os.environ["DATABASE_URL"] == url
    # It names the database that is being built, by whatever login tests have.
    assert url.rpartition("/")[2] == os.environ["ASYNC_URL"].rpartition("/")[2]
    with psycopg.connect(url) as connection:
        connection.execute("insert into customer (name) values ('Bob')")
"""
TESTS = """
import os

import psycopg
import pytest


def ask(variable, statement):
    with psycopg.connect(os.environ[variable]) as connection:
        return connection.execute(statement).fetchone()


@pytest.mark.parametrize("attempt", range(3))
def test_the_application_has_its_role_and_its_rows(attempt):
    assert ask("DATABASE_URL", "select current_user, session_user") == ("app", "app")
    assert ask("DATABASE_URL", "insert into customer (name) values ('C') returning id") == (3,)
    assert ask("REPLICA_URL", "select count(*), current_user from customer") == (3, "reader")
    assert ask("TENANT_URL", "select count(*), current_user from thing") == (0, "app")
    assert ask("ARCHIVE_URL", "insert into paper default values returning id") == (1,)


def test_rights_that_were_not_granted_are_missed():
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        ask("DATABASE_URL", "delete from customer returning id")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        ask("REPLICA_URL", "insert into customer (name) values ('C') returning id")


@pytest.mark.mintdb("replica")
def test_the_fixture_is_the_mirror(mintdb, mintdb_lease):
    assert mintdb.url == os.environ["REPLICA_URL"]
    with mintdb.connect() as connection:
        assert connection.execute("select current_user, count(*) from customer").fetchone() == ("reader", 2)
    with mintdb_lease("tenant").connect() as connection:
        connection.execute("insert into thing values (1)")
    assert ask("TENANT_URL", "select count(*) from thing") == (0,)
"""
LEAKING = """
import os

import psycopg

kept = []


def test_on_both():
    kept.append(psycopg.connect(os.environ["DATABASE_URL"]))
    kept.append(psycopg.connect(os.environ["ARCHIVE_URL"]))
"""
# What would lead a client elsewhere, whatever URL it is given.
ELSEWHERE = {"PGSERVICE": "nosuch", "PGHOSTADDR": "203.0.113.1", "PGSSLMODE": "require", "PGOPTIONS": "-c work_mem=1"}


@pytest.fixture
def shop(suite: Suite) -> Suite:
    for name, text in (("db/1.sql", SCHEMA), ("seed.sql", "insert into customer (name) values ('Ann');")):
        (suite.folder / name).parent.mkdir(exist_ok=True)
        (suite.folder / name).write_text(text)
    suite.environment.update(ELSEWHERE)
    return suite.write(
        **{"pyproject.toml": SETTINGS, "archive.sql": "create table paper (id serial);", "more": MORE, "test_it": TESTS}
    )


def test_mirrors_roles_and_layers_in_one_process_and_in_several(shop: Suite) -> None:
    ran = shop.write(test_leaking=LEAKING).run()
    assert ran.outcomes == {"passed": 6, "error": 1}, ran.output
    told = ran.output.partition("ERROR at teardown of test_on_both")[2].partition("short test summary")[0]
    failure, _, end = told.partition("mintdb: ")
    assert ("test_leaking.py:11" in failure, "test_leaking.py:10" in failure) == (True, False), ran.output
    assert ("test_leaking.py:11" in end, "test_leaking.py:10" in end) == (False, True), ran.output
    (shop.folder / "test_leaking.py").unlink()
    assert "building the template from sql:db/" in ran.output
    assert ran.output.count("next layer from") == 2
    (shop.folder / "seed.sql").write_text("insert into customer (name) values ('Anna');")
    ran = shop.run("-n", "2")
    assert ran.outcomes == {"passed": 5}, ran.output
    ran = shop.run_under_mintdb("-m", "pytest", *QUIET, environment=ELSEWHERE)
    assert "5 passed" in ran.output, ran.output
    assert "building" not in ran.output, "a template of the run before was there"
