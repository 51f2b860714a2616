"""Evolutions as users of pytest, xdist and the command line meet them, each in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mintdb.address import parse_url
from tests.evolutions.conftest import Write
from tests.frameworks.suites import Suite

Tables = Callable[[], list[str]]

CONFTEST = """
import mintdb.play

schema = mintdb.play.evolutions_fixture("conf/evolutions/default", url={url!r})
"""
MODULE = """
import psycopg
import pytest


@pytest.mark.parametrize("n", range(2))
def test_the_tables_are_there(schema, n):
    with psycopg.connect(schema.url) as connection:
        connection.execute("insert into b values (%s)", [n])
        assert connection.execute("select count(*) from a").fetchone() == (1,)


def test_a_failure():
    assert not "on purpose"


def test_each_module_has_its_own(schema):
    with psycopg.connect(schema.url) as connection:
        assert connection.execute("select count(*) from b").fetchone()[0] <= 2
"""
SETTINGS = """
[tool.mintdb.databases.default]
export = "DATABASE_URL"
"""


@pytest.mark.parametrize("options", [[], ["-n", "2"]], ids=["alone", "with xdist"])
def test_modules_have_their_evolutions_on_one_database_by_url(
    two: Path, tmp_path: Path, url: str, tables: Tables, options: list[str]
) -> None:
    suite = Suite(tmp_path).write(conftest=CONFTEST.format(url=url), test_a=MODULE, test_b=MODULE)
    distribution = ["--dist", "loadfile"] if options else []
    ran = suite.run("-q", *options, *distribution)
    assert ran.outcomes == {"passed": 6, "failed": 2}, ran.output
    assert tables() == []


def test_modules_have_their_evolutions_on_the_leased_database(two: Path, tmp_path: Path) -> None:
    """Also with workers: each has a database of its own. What a test writes is put back, what the ups made stays."""
    suite = Suite(tmp_path).write(conftest=CONFTEST.format(url=None), test_a=MODULE, test_b=MODULE)
    ran = suite.write(**{"pyproject.toml": SETTINGS}).run("-q", "-n", "2")
    assert ran.outcomes == {"passed": 6, "failed": 2}, ran.output


@pytest.fixture
def run(tmp_path: Path, url: str) -> Callable[..., tuple[int, str]]:
    """Run `mintdb evolutions` on the test's database."""

    def run(*arguments: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "mintdb.cli", "evolutions", *arguments, "--url", url]
        ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        return ran.returncode, ran.stdout + ran.stderr

    return run


Run = Callable[..., tuple[int, str]]
FOLDER = "conf/evolutions/default"


def test_plan_apply_resolve_and_clean_on_the_command_line(write: Write, two: Path, run: Run, tables: Tables) -> None:
    assert run("plan", FOLDER) == (0, f"up      1  {FOLDER}/1.sql\nup      2  {FOLDER}/2.sql\n")
    assert tables() == []
    assert run("apply", FOLDER) == (0, f"up      1  {FOLDER}/1.sql\nup      2  {FOLDER}/2.sql\n")
    assert run("apply", FOLDER) == (0, "mintdb: nothing was to be done\n")
    write(n2=("create table c (id int); select 1/0;", ""))
    code, said = run("apply", FOLDER)
    assert code == 3
    assert "2.sql:2 failed: division by zero" in said
    assert run("resolve", "2") == (0, "evolution 2 was applying_up, and is applied now\n")
    assert run("clean") == (0, "down    2  stored in play_evolutions\ndown    1  stored in play_evolutions\n")
    assert tables() == ["c"]
    assert run("plan", FOLDER, "--define", "nothing")[0] == 2


def test_only_a_database_that_mintdb_made_is_dropped_and_made_anew(
    two: Path, tmp_path: Path, run: Run, tables: Tables, url: str
) -> None:
    run("apply", FOLDER)
    code, said = run("clean", "--drop")
    assert (code, tables()) == (3, ["a", "b"])
    assert "mintdb never touches a database that it did not make" in said
    mintdb = [sys.executable, "-m", "mintdb.cli"]
    kept = subprocess.run([*mintdb, "up"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout.strip()
    write_it = ["evolutions", "apply", FOLDER, "--url", kept]
    subprocess.run([*mintdb, *write_it], cwd=tmp_path, capture_output=True, check=True)
    undone = [*mintdb, "evolutions", "clean", "--drop", "--url", kept]
    ran = subprocess.run(undone, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stdout == f"{parse_url(kept).redacted} is empty now\n"
    again = subprocess.run([*mintdb, *write_it], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert len(re.findall("^up", again.stdout, re.MULTILINE)) == 2
