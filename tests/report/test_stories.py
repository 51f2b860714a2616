"""What the terminal says of many tests: each line of source once, and each program by its own name."""

from __future__ import annotations

import re
from collections.abc import Sequence

from runs import run_of

from mintdb.cli.explain import lines
from mintdb.connections.explain import tell
from mintdb.connections.finding import Finding
from mintdb.connections.stack import Site
from mintdb.connections.verdict import Kind
from mintdb.report import stories
from mintdb.report.stories import Story


def left_open(*lines: int) -> list[Finding]:
    return [Finding(Kind.LEAK, driver="psycopg", opened=Site("helpers.py", line, "open_it")) for line in lines]


def started(program: str, query: str) -> Finding:
    return Finding(Kind.FOREIGN, process=7, command_line=program, query=query)


def said_of(*tests: Sequence[Finding]) -> str:
    return "\n".join(stories.tell([Story(tell(found, test=f"test_{i}"), f"test_{i}") for i, found in enumerate(tests)]))


def test_a_line_is_told_once_whatever_else_the_tests_that_meet_it_leave_open() -> None:
    said = said_of(*(left_open(*range(1, 1 + number)) for number in range(1, 31)), *[left_open(1)] * 9)
    lines = [int(line) for line in re.findall(r"opened   helpers.py:(\d+) ", said)]
    assert sorted(lines) == list(range(1, len(lines) + 1))
    assert "likewise 9 more tests: test_30, test_31, test_32, …" in said
    assert said.count("of lines that are told above") == said.count("LEAK") - 1
    assert said.endswith("--mintdb-report FILE has them all")


def test_twenty_lines_of_one_test_are_told_in_full_where_another_leaves_them_too() -> None:
    said = said_of(left_open(*range(20)), left_open(*range(20), 20))
    assert sorted(map(int, re.findall(r"opened   helpers.py:(\d+) ", said))) == list(range(20))
    assert "  … and 10 connections more, opened in 10 other places\n" in said
    assert "  … and 1 connection more, opened in 1 other place\n  … and 10 more of lines that are told above" in said


def test_explain_shows_what_a_connection_waits_for_and_what_it_holds() -> None:
    said = "\n".join(lines(run_of(3)))
    waits = (
        "  waits for AccessShareLock on a relation\n  held by  backend 7 (opened shop/db.py:5 in connect), backend 8\n"
    )
    assert waits + "  holds    temporary table basket\n" in said


def test_another_program_is_another_story_and_the_same_one_with_another_number_is_not() -> None:
    said = said_of(
        [started("export --port 1", "select 1")], [started("import", "insert")], [started("export --port 2", "")]
    )
    assert said.count("FOREIGN  ") == 2
    assert "process  7, export --port 1\n  last ran select 1\n  likewise 1 more test: test_2\n" in said
    assert "process  7, import\n  last ran insert" in said
