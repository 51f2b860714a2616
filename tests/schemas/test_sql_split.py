"""Splitting a script as psql does."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mintdb.address import Address
from mintdb.schemas.sql_files import SqlFiles
from mintdb.schemas.sql_split import MetaCommandFound, TextAfterCopy, split


def texts(script: str) -> list[str]:
    return [statement.text for statement in split(script)]


@pytest.mark.parametrize(
    "statement",
    [
        "select ';'",
        "select 'it''s; ok'",
        r"select E'\'; --'",
        r"select E'a' -- goes on" + "\n" + r"'\';b'",
        r"select '\', 1",
        'select 1 as "a;""b"',
        'select 1 as U&"a;b"',
        "select $$;$$",
        "select $a$;$b$;$$;$a$",
        "select a$b$, c$b$ from t",
        "select $1",
        "select /* ; /* ; */ ; */ 1",
        "select 1 -- ;\n+ 1",
        "select 1 +-- ;\n 2",
        "create rule r as on insert to t do (select 1; select 2)",
        "create function f() returns int begin atomic select 1; select case when true then 1 end; end",
        "create or replace procedure p() begin atomic insert into t values (1); end",
        "select N';', B'1', X'F', U&';'",
        "select array[1,2][1:2]",
        "select 'ünïcode;' as é",
        "select 1 as été$a$",
    ],
)
def test_a_semicolon_that_ends_nothing_splits_nothing(statement: str) -> None:
    assert texts(f"{statement};\nselect 2;") == [statement, "select 2"]


def test_a_function_named_begin_does_not_swallow_what_follows() -> None:
    assert texts("begin; create table t (x int); end; select 1") == [
        "begin",
        "create table t (x int)",
        "end",
        "select 1",
    ]


def test_empty_statements_and_comments_are_nothing() -> None:
    assert texts("; ;\n-- only\n/* a; */;\n") == []


def test_the_last_statement_needs_no_semicolon() -> None:
    assert texts("select 1;\nselect 2\n") == ["select 1", "select 2\n"]


@pytest.mark.parametrize("open_end", ["'a;", "$$;", '"a;', "/* ;", r"E'\'", "(select 1;", "$a$ $b$;"])
def test_what_is_never_closed_stays_whole_for_the_server_to_name(open_end: str) -> None:
    assert texts(f"select 1; {open_end}") == ["select 1", open_end]


def test_a_statement_knows_the_line_of_its_first_token() -> None:
    script = "-- one\n\nselect\n1; select 2;\n/* four\n*/ select 3;\n"
    assert [statement.line for statement in split(script)] == [3, 4, 6]


def test_data_below_copy_is_no_sql() -> None:
    script = "copy t from stdin;\n1\t;'\n\\N\t/*\n\\.\nselect 1;"
    copied, following = split(script)
    assert (copied.text, copied.data) == ("copy t from stdin", "1\t;'\n\\N\t/*\n")
    assert (following.text, following.line) == ("select 1", 5)


@pytest.mark.parametrize("head", ["COPY public.t (a, b) FROM stdin WITH (format csv)", "copy t from\n STDIN"])
def test_copy_is_known_in_every_spelling(head: str) -> None:
    assert [statement.data for statement in split(f"{head}; -- data\n1,2\n\\.\n")] == ["1,2\n"]


@pytest.mark.parametrize("line", ["copy t to stdout", "copy t from '/stdin'", "select 'copy t from stdin'"])
def test_other_statements_have_no_data(line: str) -> None:
    assert [statement.data for statement in split(f"{line};\nselect 1;")] == [None, None]


def test_data_that_never_ends_reaches_to_the_end_as_in_psql() -> None:
    assert [statement.data for statement in split("copy t from stdin;\n1\n2\n")] == ["1\n2\n"]


def test_data_with_windows_line_ends_ends_too() -> None:
    assert texts("copy t from stdin;\r\n1\r\n\\.\r\nselect 1;") == ["copy t from stdin", "select 1"]


def test_text_after_copy_in_its_own_line_is_refused() -> None:
    with pytest.raises(TextAfterCopy):
        texts("copy t from stdin; select 1;\n\\.\n")


@pytest.mark.parametrize("command", [r"\i", r"\connect", r"\gexec", r"\;", r"\."])
def test_a_command_for_psql_is_named_with_its_line(command: str) -> None:
    with pytest.raises(MetaCommandFound) as found:
        texts(f"select 1;\nselect '{command}' {command} other\n")
    assert (found.value.command, found.value.line) == (command, 2)


def test_the_commands_that_pg_dump_writes_do_no_harm() -> None:
    assert texts("\\restrict Abc1;\nselect 1;\n\\unrestrict Abc1;\n") == ["select 1"]


# Fragments that mean something to the lexer: most results are nonsense, and must still be split without loss.
FRAGMENTS = [
    "'",
    '"',
    ";",
    "$$",
    "$a$",
    "--",
    "/*",
    "*/",
    "\n",
    "(",
    ")",
    "E'",
    "a",
    " ",
    "1",
    "copy ",
    "from stdin",
    "é",
]
LAYOUT = re.compile(r"(?:[ \t\n\r\f\v;]|--[^\n]*|/\*.*)*", re.DOTALL)


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join))
def test_splitting_and_joining_loses_nothing(script: str) -> None:
    try:
        statements = list(split(script))
    except TextAfterCopy:
        return
    edges = [0, *(edge for s in statements for edge in (s.start, s.end)), len(script)]
    assert edges == sorted(edges)
    between = [script[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True)]
    assert all(LAYOUT.fullmatch(text) for text in between)
    assert all(script[s.start : s.end].startswith(s.text) for s in statements)


LITERALS = [
    "';'",
    "'''; --'",
    r"E'\';'",
    r"E'\\'';'",
    "$$;$$",
    "$a$;$$'$a$",
    "U&'\\0061;'",
    "'/*'",
    "'--'",
    "'a'\n';b'",
]
COMMENTS = ["", " ", "\n", "-- it's; (\n", "/* ' ; */", "/* /* ; */ $$ */", "\r\n"]
BODY = "begin atomic insert into log values ({0}); select case when true then 1 end; end"
literal, comment = st.sampled_from(LITERALS), st.sampled_from(COMMENTS)
statement = st.one_of(
    st.builds("insert into log values {1}({0}{1})".format, literal, comment),
    st.builds("insert into{1} log values ({0}),{1}({0} )".format, literal, comment),
    st.builds('insert into log select {0}{1} as "a;"'.format, literal, comment),
    st.builds("do {1}$do$ begin insert into log values ({0}); end; $do$".format, literal, comment),
    st.builds(("create or replace function f() returns int " + BODY).format, literal),
    st.builds("create or replace rule r as on delete to log do {1}(select 1;{1} select {0})".format, literal, comment),
    st.builds("copy log from stdin{1};\n{0}\n;\n\\.\n".format, st.sampled_from(["it's;", "$$", "--"]), st.just("")),
    st.builds("insert into nowhere values ({0})".format, literal),
)


def _psql(psql: Path, database: Address, file: Path) -> bool:
    command = [psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", file, database.url_for("libpq")]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _mintdb(database: Address, file: Path) -> bool:
    from mintdb.schemas.errors import StatementError

    try:
        SqlFiles("sql:", file, file.parent).build(database)
    except StatementError:
        return False
    return True


def _start(database: Address) -> None:
    with psycopg.connect(database.url_for("libpq"), autocommit=True) as connection:
        connection.execute("drop table if exists log cascade; drop function if exists f; create table log (x text)")


def _outcome(database: Address) -> list[object]:
    with psycopg.connect(database.url_for("libpq"), autocommit=True) as connection:
        rows = connection.execute("select x from log").fetchall()
        functions = connection.execute("select prosrc, prosqlbody::text from pg_proc where proname = 'f'").fetchall()
        rules = connection.execute("select definition from pg_rules where schemaname = 'public'").fetchall()
    # A stored tree names the table by its oid, and says where in the text each part stood.
    stable = re.compile(r":(location|stmt_location|stmt_len|relid|resorigtbl) \S+")
    return [rows, [(source, stable.sub("", body or "")) for source, body in functions], rules]


@settings(max_examples=60)
@given(
    script=st.lists(st.tuples(comment, statement, st.sampled_from([";", "; ", ";\n", ";;\n"])), min_size=1, max_size=6)
)
def test_a_file_does_what_it_does_under_psql(
    database: Address, psql: Path, tmp_path: Path, script: list[tuple[str, str, str]]
) -> None:
    file = tmp_path / "script.sql"
    file.write_bytes("".join(a + b + ("" if b.endswith("\\.\n") else c) for a, b, c in script).encode())
    outcomes = []
    for run in (partial(_psql, psql), _mintdb):
        _start(database)
        outcomes.append((run(database, file), _outcome(database)))
    assert outcomes[0] == outcomes[1]


def test_a_large_script_is_split_in_linear_time() -> None:
    script = "insert into t values ('a''b', 1.5, E'\\'x'); -- why\n" * 20_000
    assert sum(1 for _ in split(script)) == 20_000


def test_the_fixture_server_is_real(database: Address, fetch: Callable[[str], list[tuple[object, ...]]]) -> None:
    assert fetch("select current_database()") == [(database.database,)]
