"""Dumps of every format as a schema source: made and restored by the real programs."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from mintdb.address import Address
from mintdb.contract import SchemaSource
from mintdb.schemas.errors import (
    NewerDumpError,
    NoDumpError,
    PathMissingError,
    RestoreFailedError,
    StatementError,
)

Write = Callable[[str, str | bytes], Path]
Source = Callable[[str], SchemaSource]
Fetch = Callable[[str], list[tuple[object, ...]]]
Digest = Callable[[str], bytes]
Dumper = Callable[..., Path]

FORMATS = ["plain", "custom", "tar", "directory"]
WORLD = """
create schema shop;
create table shop.t (id int generated always as identity primary key, x text, e int[]);
insert into shop.t (x) values ('it''s; ok'), (E'a\\tb\\n\\\\.'), (null), ('$$');
create table child (t_id int references shop.t deferrable, big bigserial);
create function f() returns trigger language plpgsql as $f$ begin return new; end; $f$;
create procedure p() begin atomic insert into shop.t (x) values ('x;y'); end;
create trigger tr before insert on child for each row execute function f();
create view v as select 'alter table t owner to me' as x from shop.t;
select setval('child_big_seq', 41);
"""


def text_of(psql: Path, database: Address) -> list[str]:
    """A database as pg_dump sees it, without what differs from dump to dump."""
    command = [psql.with_name("pg_dump"), "--no-owner", "--no-privileges", database.url_for("libpq")]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [line for line in text.splitlines() if not line.startswith(("\\restrict", "\\unrestrict", "--"))]


@pytest.fixture(scope="module")
def world(make_database: Callable[[], Address]) -> Address:
    """A database with one of everything, and a role that owns some of it."""
    database = make_database()
    with psycopg.connect(database.url_for("libpq"), autocommit=True) as connection:
        connection.execute(WORLD)
        connection.execute("create role keeper")
        connection.execute("alter table child owner to keeper")
        connection.execute("grant select on shop.t to keeper")
        connection.execute("alter default privileges in schema shop grant select on tables to keeper")
    return database


@pytest.fixture
def dump(psql: Path, tmp_path: Path) -> Dumper:
    """Dump a database to tmp_path / "dump"."""

    def dump(database: Address, *options: str) -> Path:
        path = tmp_path / "dump"
        subprocess.run([psql.with_name("pg_dump"), *options, "-f", path, database.url_for("libpq")], check=True)
        return path

    return dump


@pytest.fixture
def without_role(world: Address) -> Iterator[Callable[[], None]]:
    """Rename the role, so that a dump names one that does not exist; it gets its name back after the test."""

    def rename(old: str, new: str) -> None:
        with psycopg.connect(world.url_for("libpq"), autocommit=True) as connection:
            connection.execute(f"alter role {old} rename to {new}")

    renamed = []

    def leave() -> None:
        rename("keeper", "gone")
        renamed.append(True)

    yield leave
    if renamed:
        rename("gone", "keeper")


@pytest.mark.parametrize("form", FORMATS)
def test_a_dump_is_restored_whole_without_the_roles_it_names(
    database: Address,
    world: Address,
    dump: Dumper,
    without_role: Callable[[], None],
    source: Source,
    psql: Path,
    form: str,
) -> None:
    dump(world, "--format", form)
    without_role()
    source("dump:dump").build(database)
    assert text_of(psql, database) == text_of(psql, world)


@pytest.mark.parametrize("form", ["plain", "custom"])
def test_a_dump_that_brings_the_schema_public_finds_room(
    database: Address,
    make_database: Callable[[], Address],
    dump: Dumper,
    source: Source,
    fetch: Fetch,
    form: str,
) -> None:
    origin = make_database()
    with psycopg.connect(origin.url_for("libpq")) as connection:
        connection.execute("create table t as select 7 as x")
    dump(origin, "--format", form, "--schema", "public")
    source("dump:dump").build(database)
    assert fetch("select x from t") == [(7,)]


def test_a_plain_dump_that_fails_names_its_line(database: Address, write: Write, source: Source) -> None:
    write("dump.sql", "--\n-- PostgreSQL database dump\n--\n\nselect 1;\n\nselect nothing;\n")
    with pytest.raises(StatementError) as caught:
        source("dump:dump.sql").build(database)
    assert (caught.value.file, caught.value.line) == ("dump.sql", 7)


def test_pg_restore_comes_in_where_a_password_is_asked_for(
    database: Address, login: Address, world: Address, dump: Dumper, source: Source, fetch: Fetch
) -> None:
    dump(world, "--format", "custom")
    source("dump:dump").build(login.with_database(database.database))
    assert fetch("select count(*) from shop.t") == [(4,)]


def test_a_damaged_archive_shows_what_pg_restore_says(
    database: Address, world: Address, dump: Dumper, source: Source
) -> None:
    path = dump(world, "--format", "custom")
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(RestoreFailedError, match="pg_restore: error: could not read from input file"):
        source("dump:dump").build(database)


def test_a_failing_dump_of_a_newer_server_says_so(database: Address, write: Write, source: Source) -> None:
    write("dump.sql", "-- Dumped from database version 99.1\n\nset transaction_luck = 0;\n")
    with pytest.raises(NewerDumpError) as caught:
        source("dump:dump.sql").build(database)
    assert (caught.value.dumped, caught.value.server.startswith("18")) == ("99.1", True)
    assert "dump.sql:3 failed" in caught.value.message


def test_a_plain_dump_that_windows_has_touched_works(
    database: Address, write: Write, source: Source, fetch: Fetch
) -> None:
    text = b"--\r\n-- PostgreSQL database dump\r\n--\r\n\r\nCREATE TABLE public.t (\r\n    x text\r\n);\r\n"
    rows = b"COPY public.t (x) FROM stdin;\r\none\r\n\\.\r\n"
    write("schema.sql", b"\xef\xbb\xbf" + text + rows)
    source("dump:schema.sql").build(database)
    assert fetch("select x from t") == [("one",)]


def test_a_dump_of_a_newer_server_that_works_is_fine(
    database: Address, write: Write, source: Source, fetch: Fetch
) -> None:
    write("dump.sql", "-- Dumped from database version 99.1\n\ncreate table t (id int);\n")
    source("dump:dump.sql").build(database)
    assert fetch("select * from t") == []


def test_a_folder_that_is_no_dump_and_a_missing_file_are_different_errors(write: Write, digest: Digest) -> None:
    write("folder/1.sql", "select 1")
    with pytest.raises(NoDumpError):
        digest("dump:folder")
    with pytest.raises(PathMissingError):
        digest("dump:nowhere")


@pytest.mark.parametrize("form", FORMATS)
def test_the_fingerprint_follows_the_files_and_nothing_else(
    world: Address, dump: Dumper, digest: Digest, form: str
) -> None:
    path = dump(world, "--format", form)
    first = digest("dump:dump")
    file = next(iter(path.glob("*.dat*"))) if path.is_dir() else path
    file.touch()
    assert digest("dump:dump") == first
    file.write_bytes(file.read_bytes() + b"\n")
    assert digest("dump:dump") != first
