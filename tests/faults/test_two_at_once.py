"""Two checkouts of one suite, started together, share a server and a template and never meet otherwise."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg

from tests.faults import watching
from tests.faults.conftest import APP, Start
from tests.frameworks.suites import TIMEOUT, Suite, new_suite
from tests.waiting import wait_for

TESTS = 30
SUITE = f"""
    import app
    import pathlib
    import pytest

    @pytest.mark.parametrize("n", range({TESTS}))
    def test_alone(n):
        assert app.add() == 1
        assert app.add("bob") == 2
        with app.connect() as connection:
            assert connection.execute("select count(*) from account").fetchone() == (2,)
            pathlib.Path(f"server-{{n}}").write_text(
                str(connection.execute("select pg_postmaster_start_time()").fetchone()[0])
            )
            if n % 10 == 0:
                connection.execute("drop table entry")
"""


def checkout(folder: Path) -> Suite:
    suite = new_suite(folder / "project").write(app=APP, test_it=SUITE)
    suite.environment["MINTDB_LINGER"] = "60"
    return suite


def test_two_checkouts_with_two_workers_each_share_one_server_and_one_template(
    tmp_path: Path, own_home: Path, start: Start
) -> None:
    suites = [checkout(tmp_path / name) for name in ("first", "second")]
    runs = [start(suite, "-n", "2") for suite in suites]
    outputs = [run.communicate(timeout=TIMEOUT)[0] for run in runs]
    for output in outputs:
        assert re.search(rf"{TESTS} passed", output), output
    servers = {path.read_text() for suite in suites for path in suite.folder.glob("server-*")}
    assert len(servers) == 1
    assert len([name for name in watching.databases() if name.endswith("_template")]) == 1
    assert not watching.leftovers()


def test_a_run_that_is_killed_disturbs_nothing_of_the_other(tmp_path: Path, own_home: Path, start: Start) -> None:
    killed, other = (checkout(tmp_path / name) for name in ("first", "second"))
    run = start(killed, "-n", "2")
    wait_for(lambda: [*killed.folder.glob("server-*")], "the first test")
    survivor = start(other, "-n", "2")
    wait_for(lambda: [*other.folder.glob("server-*")], "the other run's first test")
    watching.kill(run.pid)
    output, _ = survivor.communicate(timeout=TIMEOUT)
    assert re.search(rf"{TESTS} passed", output), output


def test_a_template_is_built_once_by_all_who_want_it_at_the_same_moment(
    tmp_path: Path, own_home: Path, start: Start
) -> None:
    suites = [checkout(tmp_path / name) for name in ("first", "second")]
    for suite in suites:
        suite.write(
            schema="""
                import pathlib, os, psycopg

                def create(url):
                    pathlib.Path(f"built-{os.getpid()}").touch()
                    with psycopg.connect(url, autocommit=True) as connection:
                        connection.execute(pathlib.Path("schema.sql").read_text())
                        connection.execute("select pg_sleep(0.5)")
            """,
            test_it="import app\n\ndef test_it(): assert app.add() == 1\n\ndef test_two(): assert app.add() == 1\n",
        )
        text = (suite.folder / "pyproject.toml").read_text()
        (suite.folder / "pyproject.toml").write_text(text.replace("sql:schema.sql", "python:schema:create"))
    for run in [start(suite, "-n", "2") for suite in suites]:
        output, _ = run.communicate(timeout=TIMEOUT)
        assert "2 passed" in output, output
    assert len([path for suite in suites for path in suite.folder.glob("built-*")]) == 1


def test_a_live_runs_clone_is_never_reaped(tmp_path: Path, own_home: Path, start: Start) -> None:
    suite = checkout(tmp_path / "first").write(
        test_it="""
            import os, app

            def test_it(mintdb):
                app.add()
                open("url", "w").write(mintdb.url)
                app.mark_and_wait("here")
        """
    )
    run = start(suite)
    wait_for((suite.folder / "here").exists, "the test")
    other = checkout(tmp_path / "second").write(test_it="import app\n\ndef test_it(): assert app.add() == 1\n")
    assert other.run().outcomes == {"passed": 1}
    with psycopg.connect((suite.folder / "url").read_text()) as connection:
        assert connection.execute("select owner from account").fetchall() == [("ann",)]
    watching.kill(run.pid)
