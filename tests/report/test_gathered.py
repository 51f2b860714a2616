"""A run's report, from all its processes, on the terminal and in files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.frameworks.suites import TIMEOUT, Suite, new_suite

from mintdb.contract import Restored, Way
from mintdb.report import facts
from mintdb.report.ending import find_last
from mintdb.report.files import BadReportFile, PageNeedsJinja, check, make, read, write
from mintdb.report.summary import Summary

LEAKS = """
import aiosqlite
import os
import sys
import psycopg
import pytest

sys.kept = []  # no list of the application's

def worker():
    sys.kept.append(psycopg.connect(os.environ["DATABASE_URL"]))

@pytest.mark.parametrize("number", range(180))
def test_one_line(number):
    worker()

@pytest.mark.parametrize("number", range(20))
def test_a_line_each(number, tmp_path):
    path = tmp_path / "app.py"
    path.write_text(chr(10) * number + "def leave_open():" + chr(10) + "    kept.append(connect())")
    names = {"kept": sys.kept, "connect": lambda: psycopg.connect(os.environ["DATABASE_URL"])}
    exec(compile(path.read_text(), str(path), "exec"), names)
    names["leave_open"]()

def test_clean():
    psycopg.connect(os.environ["DATABASE_URL"]).close()
"""
UNSEEN = """
mintdb: connections of aiosqlite cannot be seen, or not all of them, and what they leave open is not told \
(aiosqlite.Connection has no stop(): 0.22 or newer is needed); another release of aiosqlite, or a newer one of mintdb, \
may help
"""


@pytest.fixture
def suite(tmp_path: Path, server_home: Path) -> Suite:
    return new_suite(tmp_path / "project")


def test_200_leaks_on_two_workers_are_told_once_for_each_line_and_the_files_have_them_all(suite: Suite) -> None:
    suite.write(test_leaks=LEAKS, aiosqlite="class Connection: pass  # its entry points moved")
    ran = suite.run("-q", "-n", "2", "--mintdb-report", "out/run.json", "--mintdb-report", "run.html")
    assert ran.outcomes == {"passed": 201}, ran.output
    assert "mintdb: 201 put back" in ran.output
    assert "test_leaks.py:11 in worker" in ran.output
    assert "likewise 179 more tests: test_leaks.py::test_one_line[" in ran.output
    assert ran.output.count("LEAK  ") <= 15
    assert len(ran.output.splitlines()) < 130
    assert ran.output.count(UNSEEN) == 1, ran.output
    assert "mintdb: the report is in run.html" in ran.output

    report = read(suite.folder / "out" / "run.json")
    assert len(report.tests) == 201
    assert len(report.findings) == 200
    assert sum("test_leaks.py:11 in worker" in found["place"] for found in report.findings) == 180
    assert {worker.name for worker in report.workers} == {"gw0", "gw1"}
    assert sum(worker.opened for worker in report.workers) >= 201
    assert all(tested.opened == tested.peak == 1 for tested in report.tests)
    assert (suite.folder / "run.html").read_text().count("test_leaks.py:11 in worker") == 1


def test_unittest_below_mintdb_run_is_in_the_report_of_the_command(suite: Suite) -> None:
    suite.write(
        test_unit="""
            import os
            import unittest
            import psycopg

            kept = []

            class Orders(unittest.TestCase):
                def test_leaks(self):
                    kept.append(psycopg.connect(os.environ["DATABASE_URL"]))

                def test_prepared(self):
                    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
                        connection.execute("begin")
                        connection.execute("insert into account (owner) values ('Ann')")
                        connection.execute("prepare transaction 'half'")
        """
    )
    mintdb = [sys.executable, "-m", "mintdb.cli"]
    done = subprocess.run(
        [*mintdb, "run", "--report", "run.json", "--", sys.executable, "-m", "unittest", "-q", "test_unit"],
        cwd=suite.folder,
        env=os.environ | suite.environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = read(suite.folder / "run.json")
    assert [(tested.test, len(tested.findings)) for tested in report.tests] == [
        ("test_unit.Orders.test_leaks", 1),
        ("test_unit.Orders.test_prepared", 0),
    ]
    assert report.findings[0]["place"] == "test_unit.py:10 in test_leaks"
    prepared = "PREPARED  test_unit.Orders.test_prepared left prepared transactions, which were rolled back: 'half'"
    assert prepared in done.stderr


def test_a_page_that_cannot_be_made_is_refused_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mintdb.report.files.find_spec", lambda name: None)
    check(["run.json"])
    with pytest.raises(PageNeedsJinja) as raised:
        check(["run.html"])
    assert (
        str(raised.value)
        == """\
run.html cannot be written: the HTML page needs jinja2, which is not installed
  1. install it:  python -m pip install 'mintdb[report]'
  2. or ask for the same as JSON:  a file whose name ends in .json"""
    )


def test_what_is_no_report_is_not_read_as_one(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_text(json.dumps({"format": 99}))
    with pytest.raises(BadReportFile) as raised:
        read(file)
    assert (
        str(raised.value)
        == f"""\
{file} is no report of mintdb's: its format is 99, and 1 is known here
  1. write it anew:  pytest --mintdb-report {file}"""
    )


@pytest.mark.parametrize("wanted", ["run.json", "run.html"])
def test_a_path_whose_bytes_are_no_characters_is_no_obstacle(tmp_path: Path, wanted: str) -> None:
    odd = os.fsdecode(b"test_\xff.py::test_x")
    summary = Summary()
    summary.note(facts.Tested.of(odd, "main", "default", summary.began, Restored(Way.REWIND, 0.0)), [], "warn")
    assert write(make(summary, odd), [wanted], root=tmp_path) == []
    if wanted.endswith(".json"):
        assert [tested.test for tested in read(tmp_path / wanted).tests] == [odd]
    assert find_last(tmp_path / odd) is None


def test_a_suite_that_makes_its_tables_for_each_test_is_told_what_that_costs() -> None:
    summary = Summary()
    for number in range(6):
        changed = Restored(Way.SWAP, 0.07, reason="the schema was changed: tables or types (pg_type)")
        summary.count(changed if number % 2 else Restored(Way.REWIND, 0.001))
    told = (
        "a fixture that makes or drops the tables around each test costs that: "
        "name what makes them as the setting schema, and leave it out"
    )
    assert told in summary.notes()
    summary.count(Restored(Way.REWIND, 0.001))
    assert told not in summary.notes()
