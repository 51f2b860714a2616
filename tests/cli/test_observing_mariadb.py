"""`mintdb ps`, `kill`, `reap`, `template`, `status` and `down` know MariaDB's servers as they know PostgreSQL's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from programs import Run
from tests.engines.mysql.mariadb import require_mariadb
from tests.frameworks.suites import QUIET
from tests.waiting import wait_for

SETTINGS = """
[tool.mintdb.databases.default]
engine = "mysql"
schema = "sql:db.sql"
export = { "MYSQL*" = "libpq" }
"""
SUITE = """
import os
import pymysql

def test_hangs():
    names = {"host": "HOST", "user": "USER", "password": "PASSWORD", "database": "DATABASE"}
    given = {key: os.environ[f"MYSQL_{name}"] for key, name in names.items()}
    connection = pymysql.connect(**given, port=int(os.environ["MYSQL_PORT"]), ssl_disabled=True)
    try:
        connection.cursor().execute("insert into pear select sleep(60)")
    except pymysql.MySQLError:
        os.kill(os.getpid(), 9)
"""


@pytest.fixture
def suite(project: Path) -> Path:
    require_mariadb()
    (project / "pyproject.toml").write_text(SETTINGS)
    (project / "db.sql").write_text("create table pear (id int)")
    (project / "test_hangs.py").write_text(SUITE)
    return project


def test_a_test_that_hangs_is_seen_and_killed_and_what_it_leaves_is_reaped(suite: Path, run: Run) -> None:
    def shown() -> str:
        lines = run("ps").stdout.splitlines()
        return next((line for line in lines if "sleep(60)" in line), "")

    command = [sys.executable, "-m", "pytest", *QUIET, "-q"]
    environment = {**os.environ, "MINTDB_LINGER": "60"}  # `down` stops the server
    with subprocess.Popen(command, cwd=suite, stdout=subprocess.DEVNULL, env=environment) as pytest_run:
        try:
            hangs: str = wait_for(shown, "the test is seen")
            assert re.match(r"\d+ +mint_orchard_\w+_main +active ", hangs)
            assert "test_hangs.py::test_hangs  test_hangs.py:8 in test_hangs  insert into pear select" in hangs
            owner = hangs.split("_")[2]
            status = run("status").stdout
            assert re.search(rf"^MariaDB \S+ on port \d+, .*\n  data .*\n  runs +{owner}\n", status, re.M), status
            in_use = run("down")
            assert in_use.returncode == 3
            assert re.search(rf"^mintdb: the server on port \d+ is in use\n  by +{owner}\n", in_use.stderr, re.M)
            killed = run("kill", "test_hangs.py::test_hangs")
            assert re.search(r"ended backend \d+, .* of test_hangs.py::test_hangs\n", killed.stderr), killed.stderr
            assert pytest_run.wait(60) == -9
        finally:
            pytest_run.kill()

    run("reap")  # unless the server's keeper was faster
    assert "nothing was left by dead runs" in run("reap").stderr
    [template] = re.findall(r"mint_orchard_\w+_template", run("template", "list").stdout)
    assert f"dropped {template}" in run("template", "drop", template).stderr
    assert template not in run("template", "list").stdout
    port = re.search(r"^MariaDB \S+ on port (\d+)", run("status").stdout, re.M)
    assert port is not None
    assert f"the server on port {port[1]} has stopped\n" in run("down").stderr
    assert "MariaDB" not in run("status").stdout
