"""Play evolutions as a schema source, on a real server."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from mintdb.address import Address
from mintdb.contract import SchemaSource
from mintdb.schemas.errors import PathMissingError
from mintdb.schemas.evolutions.errors import (
    EvolutionError,
    EvolutionSyntaxError,
    NoEvolutionsError,
    SubstitutionError,
)
from mintdb.schemas.evolutions.files import parse

Write = Callable[[str, str | bytes], Path]
Source = Callable[[str], SchemaSource]
Fetch = Callable[[str], list[tuple[object, ...]]]
Digest = Callable[[str], bytes]

TABLES = "select tablename from pg_tables where schemaname = 'public' and tablename <> 'play_evolutions' order by 1"
FOOS = """\
# Foos schema

# --- !Ups

CREATE TABLE foos (
    id BIGSERIAL PRIMARY KEY,
    bar VARCHAR(255) NOT NULL
);
INSERT INTO foos (bar) VALUES ('semi;;colon');

# --- !Downs

DROP TABLE foos;
"""
TOUCH = """\
-- Baz column and a trigger function

-- !Ups

ALTER TABLE foos ADD COLUMN baz INTEGER NOT NULL DEFAULT 0;
CREATE FUNCTION foos_touch() RETURNS trigger AS $$
BEGIN
    NEW.baz := NEW.baz + 1;;
    RETURN NEW;;
END;;
$$ LANGUAGE plpgsql;
CREATE TRIGGER foos_touch BEFORE UPDATE ON foos FOR EACH ROW EXECUTE FUNCTION foos_touch();

-- !Downs

DROP TRIGGER foos_touch ON foos;
DROP FUNCTION foos_touch();
"""


def test_ups_run_as_in_play(database: Address, write: Write, source: Source, fetch: Fetch) -> None:
    write("conf/1.sql", FOOS)
    write("conf/2.sql", TOUCH)
    source("evolutions:conf").build(database)
    assert fetch("update foos set bar = bar returning bar, baz") == [("semi;colon", 1)]


def test_play_finds_nothing_left_to_do(database: Address, write: Write, source: Source, fetch: Fetch) -> None:
    write("conf/1.sql", FOOS)
    source("evolutions:conf").build(database)
    table = "CREATE TABLE foos (\nid BIGSERIAL PRIMARY KEY,\nbar VARCHAR(255) NOT NULL\n);"
    ups = f"{table}\nINSERT INTO foos (bar) VALUES ('semi;;colon');"
    downs = "DROP TABLE foos;"
    stored = "select id, hash, apply_script, revert_script, state, last_problem from play_evolutions"
    digest = hashlib.sha1((downs + ups).encode()).hexdigest()
    assert fetch(stored) == [(1, digest, ups, downs, "applied", "")]


def test_files_count_up_to_the_first_gap_and_it_is_said(
    database: Address, write: Write, source: Source, fetch: Fetch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("1", "02", "3", "03", "5", "notes"):
        write(f"conf/{name}.sql", f"# !Ups\ncreate table e{name} (id int);\n")
    with caplog.at_level(logging.WARNING, "mintdb"):
        source("evolutions:conf").build(database)
    assert fetch(TABLES) == [("e02",), ("e1",), ("e3",)]
    assert [record.message.partition(" ")[0].rpartition("/")[2] for record in caplog.records] == ["03.sql", "5.sql"]


def test_a_byte_order_mark_hides_nothing_and_is_mentioned(
    database: Address, write: Write, source: Source, fetch: Fetch, caplog: pytest.LogCaptureFixture
) -> None:
    write("conf/1.sql", b"\xef\xbb\xbf-- !Ups\r\ncreate table e (id int);\r\n-- !Downs\r\ndrop table e;\r\n")
    source("evolutions:conf").build(database)
    assert fetch(TABLES) == [("e",)]
    assert "byte order mark" in caplog.text


@pytest.mark.parametrize("marker", ["# --- !Ups", "-- !Ups", "--- !Ups", "#!Ups", "  # it goes !Ups here"])
def test_every_line_that_play_takes_for_a_marker_is_one(marker: str) -> None:
    ups, downs = parse(f"create table never_run (id int);\n{marker}\nselect 1;\n# a word on !Downs\nselect 2;")
    assert (ups.text, downs.text) == ("select 1;", "select 2;")


@pytest.mark.parametrize("line", ["# --- !ups", "!Ups", "select '-- !Ups'", "/* !Ups */"])
def test_other_lines_are_no_markers(line: str) -> None:
    ups, downs = parse(f"{line}\nselect 1;")
    assert (ups.text, downs.text) == ("", "")


def test_sections_come_again_and_in_any_order() -> None:
    ups, downs = parse("# !Downs\nd1;\n# !Ups\nu1;\n# !Ups\nu2;")
    assert (ups.text, downs.text) == ("u1;\nu2;", "d1;")


def test_a_lone_semicolon_ends_a_statement_and_each_knows_its_line() -> None:
    ups, _ = parse("# !Ups\n\n  a 'x;;y';  b\n-- only a comment\n;\n;;;\nc")
    assert list(ups.statements()) == [(3, "a 'x;y'"), (3, "b\n-- only a comment"), (6, ";;\nc")]


def test_an_escaped_substitution_is_kept_and_another_is_refused(
    database: Address, write: Write, source: Source, fetch: Fetch
) -> None:
    write("conf/1.sql", "# !Ups\ncreate table t as select '!$evolutions{{{name}}}' as x;")
    source("evolutions:conf").build(database)
    assert fetch("select x from t") == [("$evolutions{{{name}}}",)]
    write("conf/2.sql", "# !Ups\n\ncreate table $evolutions{{{table}}} (id int);")
    with pytest.raises(SubstitutionError) as caught:
        source("evolutions:conf").build(database)
    assert (caught.value.place, caught.value.line, caught.value.name) == ("conf/2.sql", 3, "table")


def test_a_statement_that_fails_is_named_with_its_line(
    database: Address, write: Write, source: Source, fetch: Fetch
) -> None:
    write("conf/1.sql", "# !Ups\ncreate table b1 (id int);")
    write("conf/2.sql", "# --- !Ups\n\ncreate table b2 (id int);\ninsert into no_such_table\nvalues (1);\n# !Downs\n")
    with pytest.raises(EvolutionError) as caught:
        source("evolutions:conf").build(database)
    error = caught.value
    assert (error.file, error.line, error.revision, error.code) == ("conf/2.sql", 4, 2, "42P01")
    assert fetch("select id, state from play_evolutions order by id") == [(1, "applied"), (2, "applying_up")]


def test_a_semicolon_that_should_be_doubled_gets_the_hint(database: Address, write: Write, source: Source) -> None:
    write("conf/1.sql", "# !Ups\ndo $$ begin perform 1; end $$;\n")
    with pytest.raises(EvolutionSyntaxError) as caught:
        source("evolutions:conf").build(database)
    assert caught.value.statement == "  | do $$ begin perform 1"


def test_a_missing_folder_and_one_without_a_first_file_are_different_errors(write: Write, digest: Digest) -> None:
    write("conf/2.sql", "# !Ups\nselect 1;")
    with pytest.raises(NoEvolutionsError):
        digest("evolutions:conf")
    with pytest.raises(PathMissingError):
        digest("evolutions:nowhere")


def test_the_fingerprint_follows_what_is_run_and_stored_and_nothing_else(write: Write, digest: Digest) -> None:
    write("conf/1.sql", FOOS)
    first = digest("evolutions:conf")
    write("conf/1.sql", FOOS.replace("# Foos schema", "# Foos").replace("    bar", "\tbar"))
    write("conf/notes.sql", "-- nothing")
    assert digest("evolutions:conf") == first
    write("conf/1.sql", FOOS.replace("DROP TABLE foos", "DROP TABLE IF EXISTS foos"))
    second = digest("evolutions:conf")
    write("conf/2.sql", TOUCH)
    assert len({first, second, digest("evolutions:conf")}) == 3
