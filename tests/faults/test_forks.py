"""A forked child holds nothing of mintdb's: it keeps no dead owner alive, and ends nothing of its parent's."""

from __future__ import annotations

import textwrap
from pathlib import Path

import psutil
import pytest

from tests.faults import watching
from tests.faults.conftest import Start
from tests.frameworks.suites import Ran, Suite, new_suite
from tests.waiting import wait_for


@pytest.fixture
def suite(tmp_path: Path, server_home: Path) -> Suite:
    """A project on the server of this test session."""
    return new_suite(tmp_path / "project")


def test_a_forked_child_does_not_keep_a_killed_run_alive(project: Suite, start: Start) -> None:
    project.environment["MINTDB_LINGER"] = "20"
    project.write(
        test_it="""
            import os, pathlib, time
            import app

            def test_it():
                app.add()
                if os.fork() == 0:
                    pathlib.Path("child").write_text(str(os.getpid()))
                    time.sleep(600)
                    os._exit(0)
                while not pathlib.Path("child").exists(): time.sleep(0.02)
                app.mark_and_wait("here")
        """
    )
    run = start(project)
    wait_for((project.folder / "here").exists, "the test")
    child = psutil.Process(int((project.folder / "child").read_text()))
    watching.kill(run.pid)
    try:
        wait_for(lambda: not watching.leftovers(), "an end of the killed run's databases")
        assert child.is_running()
    finally:
        child.kill()


CHILDREN = {
    "leaves by its own way out": "sys.exit(0)",
    "runs to its end": "pass",
    "collects garbage": "del lease; mint = None; gc.collect(); os._exit(0)",
}
SCRIPT = """
import gc, os, sys, warnings
import mintdb

warnings.simplefilter("error")
with mintdb.open(schema="sql:schema.sql") as mint:
    with mint.lease() as lease:
        url = lease.url
        with lease.connect() as connection:
            connection.execute("insert into account (owner) values ('ann')")
        child = os.fork()
        if child == 0:
            {child}
        else:
            status = os.waitpid(child, 0)[1]
            assert os.waitstatus_to_exitcode(status) == 0, status
            with lease.connect() as connection:
                assert connection.execute("select count(*) from account").fetchone() == (1,)
    if child:
        with mint.lease() as lease, lease.connect() as connection:
            assert lease.url == url
            assert connection.execute("select count(*) from account").fetchone() == (0,)
if child:
    print("parent done")
"""


@pytest.mark.parametrize("child", CHILDREN)
def test_a_forked_child_ends_nothing_of_its_parents(suite: Suite, child: str) -> None:
    (suite.folder / "script.py").write_text(SCRIPT.replace("{child}", CHILDREN[child]))
    assert suite.run_python("script.py") == Ran(0, "parent done\n")


def test_tests_that_fork_workers_by_multiprocessing_are_put_back(suite: Suite) -> None:
    suite.write(
        app=textwrap.dedent(
            """
            import os, psycopg

            def add(owner):
                with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
                    return connection.execute(
                        "insert into account (owner) values (%s) returning id", [owner]
                    ).fetchone()[0]
            """
        ),
        test_it="""
            import multiprocessing
            import app, pytest

            @pytest.mark.parametrize("n", range(3))
            def test_it(n, mintdb):
                assert app.add("parent") == 1
                with multiprocessing.get_context("fork").Pool(2) as pool:
                    assert sorted(pool.map(app.add, ["a", "b", "c"])) == [2, 3, 4]
                with mintdb.connect() as connection:
                    assert connection.execute("select count(*) from account").fetchone() == (4,)
        """,
    )
    ran = suite.run()
    assert ran.outcomes == {"passed": 3}, ran.output


def test_a_child_that_outlives_its_parent_leaves_no_file_of_mintdbs_open(suite: Suite) -> None:
    script = """
        import os
        import mintdb

        with mintdb.open(schema="sql:schema.sql") as mint, mint.lease() as lease:
            def sockets():
                links = [f"/proc/self/fd/{n}" for n in os.listdir("/proc/self/fd")]
                return [os.readlink(link) for link in links if os.path.exists(link) or os.path.islink(link)]

            def count():
                return sum("socket" in name for name in sockets())

            assert count()
            if os.fork() == 0:
                print(count(), flush=True)
                os._exit(0)
            os.wait()
    """
    (suite.folder / "script.py").write_text(textwrap.dedent(script))
    assert suite.run_python("script.py") == Ran(0, "0\n")
