"""Alembic migrations as a schema source, on a real server."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from mintdb.address import Address
from mintdb.contract import SchemaSource
from mintdb.schemas import alembic
from mintdb.schemas.errors import (
    MigratedNothingError,
    MigrationElsewhereError,
    MigrationFailedError,
    RevisionMissingError,
    ScriptsMissingError,
    SeveralHeadsError,
)

Write = Callable[[str, str | bytes], Path]
Source = Callable[[str], SchemaSource]
Fetch = Callable[[str], list[tuple[object, ...]]]
Digest = Callable[[str], bytes]

INI = """\
[alembic]
script_location = %(here)s/migrations
sqlalchemy.url = driver://user:pass@localhost/dbname

[loggers]
keys = root
[handlers]
keys =
[formatters]
keys =
[logger_root]
level = ERROR
handlers =
"""
SYNC = """\
from logging.config import fileConfig
from alembic import context
from sqlalchemy import engine_from_config, pool

fileConfig(context.config.config_file_name)
section = context.config.get_section("alembic")
with engine_from_config(section, prefix="sqlalchemy.", poolclass=pool.NullPool).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
ASYNC = """\
import asyncio
from alembic import context
from sqlalchemy import pool
from sqlalchemy.ext.asyncio import async_engine_from_config

def upgrade(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()

async def main():
    section = context.config.get_section("alembic")
    engine = async_engine_from_config(section, prefix="sqlalchemy.", poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(upgrade)
    await engine.dispose()

asyncio.run(main())
"""
OWN_URL = """\
import os
from alembic import context
from sqlalchemy import create_engine

with create_engine({url}).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
OFFLINE = """\
from alembic import context

context.configure(url="postgresql://", literal_binds=True, dialect_name="postgresql", as_sql=True)
with context.begin_transaction():
    context.run_migrations()
"""


def revision(name: str, above: str | None, statement: str) -> str:
    return (
        f"from alembic import op\nrevision = {name!r}\ndown_revision = {above!r}\n"
        f"def upgrade():\n    op.execute({statement!r})\ndef downgrade():\n    pass\n"
    )


@pytest.fixture
def project(write: Write) -> Write:
    """A project with two revisions."""
    write("alembic.ini", INI)
    write("migrations/env.py", SYNC)
    write("migrations/versions/1_first.py", revision("aaa1", None, "create table first (id int)"))
    write("migrations/versions/2_second.py", revision("bbb2", "aaa1", "create table second (id int)"))
    return write


TABLES = "select tablename from pg_tables where schemaname = 'public' and tablename <> 'alembic_version' order by 1"


@pytest.mark.parametrize("environment", [SYNC, ASYNC], ids=["sync", "async"])
def test_the_database_is_upgraded_to_the_head(
    database: Address, project: Write, source: Source, fetch: Fetch, environment: str
) -> None:
    project("migrations/env.py", environment)
    source("alembic:alembic.ini").build(database)
    assert fetch(TABLES) == [("first",), ("second",)]
    assert fetch("select version_num from alembic_version") == [("bbb2",)]


def test_an_async_driver_that_the_ini_names_is_kept(
    database: Address, project: Write, source: Source, fetch: Fetch
) -> None:
    project("alembic.ini", INI.replace("driver://", "postgresql+asyncpg://"))
    project(
        "migrations/env.py",
        ASYNC.replace("asyncio.run", "assert 'asyncpg' in str(context.config.get_section('alembic'))\nasyncio.run"),
    )
    source("alembic:alembic.ini").build(database)
    assert fetch(TABLES) == [("first",), ("second",)]


def test_a_revision_stops_the_upgrade_there(database: Address, project: Write, source: Source, fetch: Fetch) -> None:
    source("alembic:alembic.ini@aaa1").build(database)
    assert fetch(TABLES) == [("first",)]


def test_several_version_folders_are_found(database: Address, project: Write, source: Source, fetch: Fetch) -> None:
    locations = "version_locations = %(here)s/migrations/versions %(here)s/more\npath_separator = space\n"
    project("alembic.ini", INI.replace("sqlalchemy.url", locations + "sqlalchemy.url"))
    project("more/3.py", revision("ccc3", "bbb2", "create table third (id int)"))
    source("alembic:alembic.ini").build(database)
    assert fetch(TABLES) == [("first",), ("second",), ("third",)]


def test_a_relative_script_location_begins_beside_the_ini(
    database: Address, project: Write, source: Source, fetch: Fetch, tmp_path: Path
) -> None:
    for name in ("alembic.ini", "migrations"):
        (tmp_path / "backend").mkdir(exist_ok=True)
        (tmp_path / name).rename(tmp_path / "backend" / name)
    project("backend/alembic.ini", INI.replace("%(here)s/", ""))
    source("alembic:backend/alembic.ini").build(database)
    assert fetch(TABLES) == [("first",), ("second",)]


def test_env_py_may_read_an_exported_variable_in_the_form_it_has(
    database: Address, project: Write, source: Source, fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_DB", database.with_database("the_clone_of_tests").url_for("postgresql+psycopg"))
    project("migrations/env.py", OWN_URL.format(url="os.environ['SHOP_DB']"))
    source("alembic:alembic.ini").build(database)
    assert fetch(TABLES) == [("first",), ("second",)]


def test_another_database_that_env_py_names_is_never_touched(
    database: Address, make_database: Callable[[], Address], project: Write, source: Source
) -> None:
    other = make_database()
    project("migrations/env.py", OWN_URL.format(url=repr(other.url_for("postgresql+psycopg"))))
    with pytest.raises(MigrationElsewhereError) as caught:
        source("alembic:alembic.ini").build(database)
    assert caught.value.where.startswith("migrations/env.py:5 in <module>")
    with psycopg.connect(other.url_for("libpq")) as connection:
        assert connection.execute(TABLES.encode()).fetchall() == []


def test_this_process_keeps_its_logging_and_its_environment(database: Address, project: Write, source: Source) -> None:
    logger, environment, path = logging.getLogger("kept"), dict(os.environ), list(sys.path)
    source("alembic:alembic.ini").build(database)
    assert (logger.disabled, dict(os.environ), sys.path) == (False, environment, path)


def test_two_heads_are_an_error_and_heads_runs_both(
    database: Address, project: Write, source: Source, fetch: Fetch
) -> None:
    project("migrations/versions/3.py", revision("ccc3", "aaa1", "create table third (id int)"))
    with pytest.raises(SeveralHeadsError) as caught:
        source("alembic:alembic.ini").build(database)
    assert set(caught.value.heads.split(", ")) == {"bbb2", "ccc3"}
    source("alembic:alembic.ini@heads").build(database)
    assert fetch(TABLES) == [("first",), ("second",), ("third",)]


def test_a_missing_revision_is_named(database: Address, project: Write, source: Source) -> None:
    with pytest.raises(RevisionMissingError) as caught:
        source("alembic:alembic.ini@zzz9").build(database)
    assert (caught.value.revision, caught.value.heads) == ("zzz9", "bbb2")


def test_a_migration_that_fails_shows_its_line(database: Address, project: Write, source: Source) -> None:
    project("migrations/versions/3.py", revision("ccc3", "bbb2", "nonsense"))
    with pytest.raises(MigrationFailedError) as caught:
        source("alembic:alembic.ini").build(database)
    assert caught.value.where == "migrations/versions/3.py:5 in upgrade\n    op.execute('nonsense')"
    assert 'syntax error at or near "nonsense"' in caught.value.error


def test_a_process_that_dies_is_an_error(database: Address, project: Write, source: Source) -> None:
    project("migrations/env.py", "import os, sys\nprint('last words', file=sys.stderr, flush=True)\nos._exit(7)\n")
    with pytest.raises(MigrationFailedError) as caught:
        source("alembic:alembic.ini").build(database)
    assert (caught.value.error, caught.value.where) == ("the process ended with 7", "last words")


def test_a_migration_that_never_ends_is_ended(
    database: Address, project: Write, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alembic, "UPGRADE_TIMEOUT", 10.0)  # a busy machine takes seconds to import Alembic
    project("migrations/env.py", "import sys, time\nprint('waiting', file=sys.stderr, flush=True)\ntime.sleep(600)\n")
    with pytest.raises(MigrationFailedError) as caught:
        source("alembic:alembic.ini").build(database)
    assert (caught.value.error, caught.value.where) == ("not done after 10 s", "waiting")


@pytest.mark.parametrize("environment", [OFFLINE, "pass\n"], ids=["offline", "nothing"])
def test_an_env_py_that_does_nothing_online_is_an_error(
    database: Address, project: Write, source: Source, environment: str
) -> None:
    project("migrations/env.py", environment)
    with pytest.raises(MigratedNothingError):
        source("alembic:alembic.ini").build(database)


def test_an_ini_without_migrations_is_an_error(write: Write, digest: Digest, tmp_path: Path) -> None:
    write("alembic.ini", INI)
    with pytest.raises(ScriptsMissingError) as caught:
        digest("alembic:alembic.ini")
    assert caught.value.path == tmp_path / "migrations"


def test_the_fingerprint_follows_migrations_and_nothing_else(project: Write, digest: Digest) -> None:
    start = digest("alembic:alembic.ini")
    project("migrations/versions/__pycache__/x.pyc", b"cache")
    project("migrations/README", "read me")
    project("alembic.ini", INI.replace("level = ERROR", "level = DEBUG").replace("localhost", "elsewhere"))
    assert digest("alembic:alembic.ini") == start
    seen = {start, digest("alembic:alembic.ini@aaa1")}
    project("migrations/versions/seed.sql", "select 1")
    seen.add(digest("alembic:alembic.ini"))
    project("migrations/versions/2_second.py", revision("bbb2", "aaa1", "create table other (id int)"))
    seen.add(digest("alembic:alembic.ini"))
    project("migrations/env.py", ASYNC)
    seen.add(digest("alembic:alembic.ini"))
    assert len(seen) == 5


def test_the_fingerprint_imports_no_alembic_and_runs_no_migration(project: Write, digest: Digest) -> None:
    before = set(sys.modules)
    project("migrations/versions/2_second.py", "raise AssertionError\n")
    digest("alembic:alembic.ini")
    assert not {name for name in set(sys.modules) - before if name.startswith(("alembic", "sqlalchemy"))}
