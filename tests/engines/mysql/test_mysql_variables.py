"""Global variables of an embedded server that a test has set: the next run does not meet them."""

from __future__ import annotations

from pathlib import Path

from tests.engines.mysql.mariadb import require_mysql, root_of, run, stay

SET = (
    "set global sql_mode = 'ANSI_QUOTES'",
    "set global auto_increment_increment = 7",
    "set global max_connections = 11",
    "set global long_query_time = 0.5",
    "set global read_only = 1",
)
ASKED = "select " + ", ".join(f"@@global.{each.split()[2]}" for each in SET)


def check(**chosen: str) -> None:
    settings = {"max_connections": "77"}
    with stay(settings, **chosen) as server:
        at_first = run(root_of(server), ASKED)
        run(root_of(server), *SET)
        with stay(settings, **chosen):
            assert run(root_of(server), ASKED) != at_first
    with stay(settings, **chosen) as server:
        assert run(root_of(server), ASKED) == at_first


def test_they_are_what_the_server_was_started_with_as_soon_as_nobody_else_is_at_work(server_home: Path) -> None:
    check()


def test_so_are_those_of_mysql(server_home: Path) -> None:
    check(binaries=require_mysql())
