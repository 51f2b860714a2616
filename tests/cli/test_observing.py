"""`mintdb ps`, `kill`, `reap`, `template` and `explain`: what a person can see of a run, and do about it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from programs import Run, live_states
from tests.frameworks.suites import QUIET
from tests.waiting import wait_for

SLOW = """
import os
import threading
import psycopg

def hold(connection):
    connection.execute("select pg_advisory_xact_lock(7)")

def test_blocked(tmp_path):
    url = os.environ["DATABASE_URL"]
    with psycopg.connect(url) as first:
        hold(first)
        second = psycopg.connect(url)
        thread = threading.Thread(target=wait, args=[second], name="waiter")
        thread.start()
        thread.join()
        assert ended

ended = []

def wait(connection):
    try:
        hold(connection)
    except psycopg.Error:
        ended.append(connection)

def test_leaks():
    ended.append(psycopg.connect(os.environ["DATABASE_URL"]))
"""


@pytest.fixture
def suite(project: Path) -> Path:
    (project / "pyproject.toml").write_text('[tool.mintdb.databases.default]\nexport = "DATABASE_URL"\n')
    (project / "test_slow.py").write_text(SLOW)
    return project


def test_a_test_that_hangs_is_seen_killed_and_explained(suite: Path, run: Run) -> None:
    command = [sys.executable, "-m", "pytest", *QUIET, "-q"]
    with subprocess.Popen(command, cwd=suite, stdout=subprocess.PIPE, text=True) as pytest_run, ended(pytest_run):
        shown = wait_for(lambda: _blocked(run), "the lock is waited for")
        [waits] = [line for line in shown.splitlines() if "waits for" in line]
        assert re.search(r"active, waits for ExclusiveLock on an advisory lock, held by \d+", waits), waits
        assert "test_slow.py::test_blocked" in waits
        assert "test_slow.py:13 in test_blocked" in waits
        assert "select pg_advisory_xact_lock(7)" in waits

        killed = run("kill", waits.split()[0])
        assert killed.returncode == 0
        assert f"ended backend {waits.split()[0]}, process {pytest_run.pid} (" in killed.stderr
        assert "of test_slow.py::test_blocked" in killed.stderr
        output, _ = pytest_run.communicate(timeout=60)
    assert "2 passed" in output, output

    explained = run("explain").stdout
    assert "LEAK  1 x test_slow.py:28 in test_leaks" in explained
    assert "slowest to put back:" in explained
    of_one = run("explain", "test_leaks", "--html", "page.html").stdout
    assert of_one.startswith("test_slow.py::test_leaks: ")
    assert "\n  1 connection opened, at most 1 at once\n" in of_one
    assert "test_blocked" not in of_one
    assert (suite / "page.html").exists()
    of_none = run("explain", "nosuch", "neither")
    assert (of_none.returncode, of_none.stdout) == (3, "")
    assert of_none.stderr == "mintdb: no test of that run has 'nosuch' or 'neither' in its name\n"


@contextlib.contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[None]:
    """Whatever is asserted, nothing goes on after the block."""
    try:
        yield
    finally:
        process.kill()


def _blocked(run: Run) -> str:
    shown = run("ps").stdout
    return shown if "waits for" in shown else ""


def test_where_nothing_runs_each_command_says_so(project: Path, run: Run, own_home: Path) -> None:
    assert run("ps").stdout == "nobody is connected to a database that mintdb made\n"
    assert run("reap").stderr == "mintdb: nothing was left by dead runs\n"
    assert run("template", "list").stdout == "there are no templates\n"
    explained = run("explain")
    assert (explained.returncode, explained.stderr) == (
        3,
        "mintdb: no run of this project is known: run its tests first\n",
    )
    killed = run("kill", "postgres")
    assert killed.returncode == 3
    assert killed.stderr == "mintdb: nothing to end: postgres is no backend, database or test that mintdb ps shows\n"


def test_nobody_is_told_of_a_server_that_is_stopping(project: Path, run: Run) -> None:
    """From the first signal on it lets nobody in, until whoever is there has left, or it gets the second."""
    url = run("up").stdout.strip()
    [server] = [state.server for state in live_states()]
    os.kill(server, signal.SIGTERM)
    wait_for(lambda: _is_shutting_down(url), "the server stops")
    stop = threading.Timer(0.5, os.kill, [server, signal.SIGINT])
    stop.start()
    assert run("reap").stderr == "mintdb: nothing was left by dead runs\n"
    stop.join()
    assert live_states() == []


def _is_shutting_down(url: str) -> bool:
    with contextlib.suppress(psycopg.OperationalError):
        psycopg.connect(url).close()
        return False
    return True


def test_templates_are_built_listed_and_dropped(project: Path, run: Run) -> None:
    (project / "db.sql").write_text("create table pear (id int)")
    built = run("template", "build", "--schema", "sql:db.sql")
    assert "was built" in built.stderr, built.stderr
    [name] = re.findall(r"mint_orchard_\w+_template", built.stderr)
    assert "is there already" in run("template", "build", "--schema", "sql:db.sql").stderr
    assert name in run("template", "list").stdout
    assert f"dropped {name}" in run("template", "drop", name).stderr
    assert name not in run("template", "list").stdout
    again = run("template", "drop", name)
    assert (again.returncode, again.stderr) == (3, f"mintdb: there is no template {name}\n")


def test_what_has_no_server_and_what_is_protected_are_refused(project: Path, run: Run) -> None:
    for engine in ("sqlite", "snowflake"):
        refused = run("ps", "--url", f"{engine}://user@host/shop")
        assert (refused.returncode, refused.stderr) == (
            3,
            f"""\
mintdb: {engine} has no server that could be asked who is connected, or what mintdb keeps there
  1. what a run left open is told at its end, and by:  mintdb explain
""",
        )
    (project / "pyproject.toml").write_text(PROTECTED)
    for command in (["kill", "7"], ["reap"]):
        named = run(*command, "--url", "postgresql://ann@db.shop.example/orders")
        assert (named.returncode, "protected environment 'production'" in named.stderr) == (3, True), named.stderr
    for command in (["ps"], ["template", "drop", "--all"]):
        chosen = run(*command, env={**os.environ, "MINTDB_ENV": "production"})
        assert (chosen.returncode, "'production' is protected" in chosen.stderr) == (3, True), chosen.stderr


PROTECTED = """
[tool.mintdb.environments.production]
protected = true
[tool.mintdb.environments.production.databases.default]
url = "postgresql://ann@db.shop.example/shop"
"""


def test_reap_drops_what_a_killed_run_has_left(suite: Path, run: Run) -> None:
    (suite / "test_slow.py").write_text("import os\n\ndef test_dies():\n    os.kill(os.getpid(), 9)\n")
    died = subprocess.run([sys.executable, "-m", "pytest", *QUIET, "-q"], cwd=suite, capture_output=True, check=False)
    assert died.returncode == -9
    reaped = run("reap").stderr
    # The server's keeper may have been faster.
    assert "dropped mint_orchard_" in reaped or "nothing was left by dead runs" in reaped
    assert "nothing was left by dead runs" in run("reap").stderr
