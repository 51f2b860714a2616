"""SQL files as a schema source, on a real server."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mintdb.address import Address
from mintdb.contract import SchemaSource
from mintdb.schemas.errors import (
    EmptyFolderError,
    EncodingError,
    OpenTransactionError,
    PathMissingError,
    StatementError,
)

Write = Callable[[str, str | bytes], Path]
Source = Callable[[str], SchemaSource]
Fetch = Callable[[str], list[tuple[object, ...]]]
Digest = Callable[[str], bytes]


def test_a_folder_runs_in_natural_order(database: Address, write: Write, source: Source, fetch: Fetch) -> None:
    write("db/10_c.sql", "insert into t values (10);")
    write("db/2_b.sql", "insert into t values (2);")
    write("db/001_a.sql", "create table t (id int);")
    write("db/notes.txt", "no sql")
    source("sql:db/").build(database)
    assert fetch("select id from t") == [(2,), (10,)]


def test_copy_data_quotes_and_bodies_reach_the_server_whole(
    database: Address, write: Write, source: Source, fetch: Fetch
) -> None:
    script = (
        "create table t (id int primary key, x text);\n"
        "copy t (id, x) from stdin;\n1\tit's; $$\n2\t\\N\n\\.\n"
        "create function f() returns int language plpgsql as $f$ begin return 1; end $f$;\n"
        "create procedure p() begin atomic insert into t values (3, 'p;'); end;\n"
        "call p();\n"
    )
    write("schema.sql", script)
    source("sql:schema.sql").build(database)
    assert fetch("select * from t order by id") == [(1, "it's; $$"), (2, None), (3, "p;")]


def test_a_percent_sign_is_no_placeholder(database: Address, write: Write, source: Source, fetch: Fetch) -> None:
    write("a.sql", "create table t as select '%s %(a)s 100%' as x")
    source("sql:a.sql").build(database)
    assert fetch("select x from t") == [("%s %(a)s 100%",)]


def test_statements_that_need_no_transaction_work(
    database: Address, write: Write, source: Source, fetch: Fetch
) -> None:
    write("a.sql", "create table t (id int); create index concurrently i on t (id); vacuum t;")
    source("sql:a.sql").build(database)
    assert fetch("select indexname from pg_indexes where tablename = 't'") == [("i",)]


def test_a_transaction_in_a_file_is_the_files_own(
    database: Address, write: Write, source: Source, fetch: Fetch
) -> None:
    write("a.sql", "begin; create table a (x int); rollback; begin; create table b (x int); commit;")
    source("sql:a.sql").build(database)
    assert fetch("select tablename from pg_tables where schemaname = 'public'") == [("b",)]


def test_a_setting_in_one_file_does_not_reach_the_next(
    database: Address, write: Write, source: Source, fetch: Fetch
) -> None:
    write("db/1.sql", "select pg_catalog.set_config('search_path', '', false); create temp table u (x int);")
    write("db/2.sql", "create table u (x int);")
    source("sql:db").build(database)
    assert fetch("select schemaname from pg_tables where tablename = 'u'") == [("public",)]


@pytest.mark.parametrize("change", [b"\xef\xbb\xbf", b""])
def test_windows_files_work(database: Address, write: Write, source: Source, fetch: Fetch, change: bytes) -> None:
    write(
        "a.sql",
        change + b"create table t (x text);\r\ncopy t from stdin;\r\n1\r\n\\.\r\ninsert into t values ('a\r\nb');",
    )
    source("sql:a.sql").build(database)
    assert fetch("select x from t") == [("1",), ("a\r\nb",)]


def test_an_error_names_file_statement_line_and_line_at_fault(database: Address, write: Write, source: Source) -> None:
    write("db/1.sql", "create table t (id int);\n\n-- why\ncreate view v as\n  select id,\n  nothing\nfrom t;\n")
    with pytest.raises(StatementError) as caught:
        source("sql:db").build(database)
    error = caught.value
    assert (error.file, error.line, error.at, error.code) == ("db/1.sql", 4, 6, "42703")


def test_what_a_schema_creates_on_the_whole_server_is_refused_the_second_time_with_a_way_out(
    database: Address, write: Write, source: Source
) -> None:
    write("db.sql", "create role gardener;")
    source("sql:db.sql").build(database)
    with pytest.raises(StatementError) as role:
        source("sql:db.sql").build(database)
    assert (
        str(role.value)
        == """\
db.sql:1 failed: role "gardener" already exists
  a role belongs to the whole server: an earlier build has made it, or another project
  name it in the settings, and leave it out of the schema:  roles = ["gardener"]
  or create it only where it is missing:  do $$ begin create role "gardener"; exception when duplicate_object then null; end $$;
  at line 1, SQLSTATE 42710
  | create role gardener"""  # noqa: E501  # one line, to be copied
    )
    write("db.sql", re.findall("do .* end [$][$];", str(role.value))[0] + "create database shed;")
    source("sql:db.sql").build(database)
    with pytest.raises(StatementError) as taken:
        source("sql:db.sql").build(database)
    assert taken.value.facts["message"] == (
        'database "shed" already exists\n'
        "  a database belongs to the whole server: an earlier build has made it, or another project\n"
        "  leave it out of the schema\n"
        '  or, if nobody but an earlier build has made it, drop it by hand once:  drop database "shed";'
    )


def test_an_error_in_copy_data_names_the_line_of_the_data(database: Address, write: Write, source: Source) -> None:
    write("a.sql", "create table t (id int);\ncopy t\n from stdin;\n1\nnot a number\n\\.\n")
    with pytest.raises(StatementError) as caught:
        source("sql:a.sql").build(database)
    assert (caught.value.line, caught.value.at) == (2, 5)


def test_an_error_after_characters_of_several_bytes_names_the_right_line(
    database: Address, write: Write, source: Source
) -> None:
    write("a.sql", "select 'üüüüüüüüü',\n 'éé',\n nothing")
    with pytest.raises(StatementError) as caught:
        source("sql:a.sql").build(database)
    assert caught.value.at == 3


def test_nothing_runs_where_a_later_file_cannot_be_read(
    database: Address, write: Write, source: Source, fetch: Fetch
) -> None:
    write("db/1.sql", "create table t (id int);")
    write("db/2.sql", "select 'é'".encode("latin1"))
    with pytest.raises(EncodingError) as caught:
        source("sql:db").build(database)
    assert (caught.value.file, caught.value.byte, caught.value.guess) == ("db/2.sql", "0xe9", "latin1")
    assert fetch("select 1 from pg_tables where tablename = 't'") == []


@pytest.mark.parametrize(("content", "guess"), [("select 1".encode("utf-16"), "utf-16"), (b"select '\0'", "latin1")])
def test_what_is_no_text_is_refused(
    database: Address, write: Write, source: Source, content: bytes, guess: str
) -> None:
    write("a.sql", content)
    with pytest.raises(EncodingError) as caught:
        source("sql:a.sql").build(database)
    assert caught.value.guess == guess


def test_a_transaction_that_is_never_ended_is_an_error(database: Address, write: Write, source: Source) -> None:
    write("a.sql", "create table t (x int);\nbegin;\ninsert into t values (1);\n")
    with pytest.raises(OpenTransactionError) as caught:
        source("sql:a.sql").build(database)
    assert caught.value.line == 2


def test_a_missing_file_and_an_empty_folder_are_different_errors(source: Source, write: Write, tmp_path: Path) -> None:
    write("empty/deeper/1.sql", "select 1")
    with pytest.raises(EmptyFolderError):
        list(source("sql:empty").fingerprint())
    with pytest.raises(PathMissingError) as caught:
        list(source("sql:nowhere.sql").fingerprint())
    assert caught.value.path == tmp_path / "nowhere.sql"


def test_the_fingerprint_follows_content_names_and_nothing_else(write: Write, digest: Digest) -> None:
    first = write("db/1.sql", "select 1")
    start = digest("sql:db")
    first.touch()
    write("db/readme.md", "other")
    assert digest("sql:db") == start
    first.rename(first.with_name("2.sql"))
    renamed = digest("sql:db")
    write("db/2.sql", "select 2")
    assert len({start, renamed, digest("sql:db")}) == 3


def test_the_fingerprint_does_not_depend_on_where_the_checkout_lies(write: Write, digest: Digest) -> None:
    write("here/1.sql", "select 1")
    write("there/1.sql", "select 1")
    assert digest("sql:here") == digest("sql:there")
