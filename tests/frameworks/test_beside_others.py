"""Accounts stay right beside the tools that suites replace time, files, sockets and event loops with."""

from __future__ import annotations

import pytest

from tests.frameworks.suites import SETTINGS, Suite

# eventlet warns of its own end when it is imported, and coverage of modules that were imported early.
WARNINGS_ALLOWED = SETTINGS.replace('filterwarnings = ["error"]', 'filterwarnings = ["ignore"]')
# A list of the application's own might be a pool.
APP = """
import os, sys
import psycopg

sys.kept = []

def leave_open():
    sys.kept.append(psycopg.connect(os.environ["DATABASE_URL"]))

def count():
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        return connection.execute("select count(*) from account").fetchone()[0]

def add(owner):
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        connection.execute("insert into account (owner) values (%s)", [owner])
"""


def test_under_coverage_freezegun_pyfakefs_pytest_socket_and_uvloop(suite: Suite) -> None:
    suite.write(
        **{"pyproject.toml": WARNINGS_ALLOWED},
        app=APP,
        test_tools="""
            import asyncio
            import os
            import asyncpg
            import freezegun
            import pytest
            import uvloop
            import app

            @freezegun.freeze_time("2001-01-01")
            def test_frozen():
                app.add("Ann")
                app.leave_open()

            def test_after_frozen():
                assert app.count() == 0

            def test_fake_files(fs):
                fs.create_file("/nowhere/file", contents="x")
                app.add("Ann")
                app.leave_open()

            def test_after_fake_files():
                assert app.count() == 0

            @pytest.mark.disable_socket
            def test_no_python_sockets():
                app.add("Ann")
                app.leave_open()

            def test_uvloop():
                async def leave_open():
                    app.sys.kept.append(await asyncpg.connect(os.environ["DATABASE_URL"]))
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    runner.run(leave_open())

            def test_last():
                assert app.count() == 0
        """,
        test_wider="""
            import os, subprocess, sys, time
            import freezegun, psycopg, pytest
            import app

            @pytest.fixture(autouse=True, scope="module", params=["freezegun", "by hand"])
            def frozen(request):
                with pytest.MonkeyPatch.context() as patch:
                    if request.param == "freezegun":
                        with freezegun.freeze_time("2020-01-01"):
                            yield
                        return
                    for name in ("time", "monotonic", "perf_counter"):
                        patch.setattr(time, name, lambda: 5.0)
                    patch.setattr(time, "sleep", lambda seconds: pytest.fail("slept"))
                    yield

            JOB = "import psycopg, sys; psycopg.connect(sys.argv[1]).execute('select pg_sleep(60), 42')"

            def test_starts_a_job():
                subprocess.Popen([sys.executable, "-c", JOB, os.environ["DATABASE_URL"]], stderr=subprocess.DEVNULL)
                with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
                    at_work = "select 1 from pg_stat_activity where query = 'select pg_sleep(60), 42'"
                    while not connection.execute(at_work).fetchone():
                        pass
        """,
    )
    suite.environment["MINTDB_SETTLE"] = "0.3"
    ran = suite.run("-q", "-p", "fakefs", "-p", "socket", "-p", "pytest_cov", "--cov=app", "--cov-report=term")
    assert ran.outcomes == {"passed": 9}, ran.output
    assert "app.py" in ran.output
    assert "100%" in ran.output
    told = [line for line in ran.output.splitlines() if line.startswith("LEAK")]
    # The connection of uvloop's is none: its loop closed what it had when it was closed itself.
    assert told == ["LEAK  test_tools.py::test_frozen left 1 connection open"], ran.output
    # Both of them: nobody waited for what they had started until it ended by itself.
    assert "\nFOREIGN  1 connection of other processes on the database of test_wider.py::" in ran.output
    assert "likewise 1 more test: test_wider.py::test_starts_a_job[" in ran.output
    assert "median 0.0 ms" not in ran.output
    assert "likewise 2 more tests: test_tools.py::test_fake_files, test_tools.py::test_no_python_sockets" in ran.output


def test_a_leak_of_an_attempt_that_is_run_again_is_told_at_the_end(suite: Suite) -> None:
    suite.write(
        app=APP,
        test_flaky="""
            import pytest
            import app

            @pytest.mark.flaky(reruns=2)
            def test_passes_in_the_end():
                if len(app.sys.kept) < 2:
                    app.leave_open()
                    raise AssertionError("not yet")
        """,
    )
    suite.environment["PYTEST_PLUGINS"] = "mintdb.pytest_plugin,pytest_rerunfailures"
    ran = suite.run("-q", "--mintdb-leaks=error")
    assert ran.output.splitlines()[-1].startswith("1 passed, "), ran.output
    assert ran.output.count("LEAK  test_flaky.py::test_passes_in_the_end left 1 connection open\n") == 1
    assert "  opened   app.py:8 in leave_open\n" in ran.output


GREEN = {
    "gevent": "import gevent.monkey\ngevent.monkey.patch_all()\n",
    "eventlet": "import eventlet\neventlet.monkey_patch(thread=False)\n",
}
SPAWN = {"gevent": "gevent.joinall([gevent.spawn(job)])", "eventlet": "eventlet.spawn(job).wait()"}


@pytest.mark.parametrize("library", ["gevent", "eventlet"])
def test_with_green_threads(suite: Suite, library: str) -> None:
    suite.write(
        **{"pyproject.toml": WARNINGS_ALLOWED},
        app=APP,
        conftest=GREEN[library],
        test_green=f"""
            import {library}
            import app

            def test_leaks_in_a_green_thread():
                def job():
                    app.add("Ann")
                    app.leave_open()
                {SPAWN[library]}

            def test_next():
                assert app.count() == 0
        """,
    )
    ran = suite.run("-q")
    assert ran.outcomes == {"passed": 2}, ran.output
    assert ran.output.count("LEAK  ") == 1
    assert "LEAK  test_green.py::test_leaks_in_a_green_thread left 1 connection open" in ran.output
    assert "app.py:8 in leave_open" in ran.output


def test_eventlets_threads_are_refused_with_what_to_do(suite: Suite) -> None:
    suite.write(
        **{"pyproject.toml": WARNINGS_ALLOWED},
        conftest="import eventlet\neventlet.monkey_patch()\n",
        test_any="def test_any(): pass\n",
    )
    ran = suite.run("-q")
    assert ran.code == 4
    assert (
        """\
ERROR: eventlet.monkey_patch() has replaced threads and locks: those that were made before it do not work any more
  1. leave them as they are:  eventlet.monkey_patch(thread=False)
  2. or use gevent, with which mintdb works:  gevent.monkey.patch_all()
"""
        in ran.output
    )


def test_whoever_sits_at_a_debuggers_prompt_longer_than_a_server_lingers_goes_on_where_it_stopped(suite: Suite) -> None:
    suite.environment["MINTDB_LINGER"] = "0.2"
    suite.write(
        app=APP,
        test_debugged="""
            import sys
            import time
            import app

            def test_stops():
                app.add("Ann")
                app.leave_open()
                app.sys.kept[-1].execute("insert into account (owner) values ('Bob')")
                breakpoint()
                app.sys.kept[-1].commit()
                assert app.count() == 2

            def test_fails():
                assert app.count() == 0
                app.add("Cid")
                assert not "found out why"

            def test_traced():
                assert app.count() == 0
                called = []
                sys.settrace(lambda frame, event, argument: called.append(frame.f_code.co_name))
                app.leave_open()
                sys.settrace(None)
                assert "leave_open" in called
        """,
    )
    stopped = "p 'committed', app.count()\ntime.sleep(1)\np 'still', app.count()\nc\n"
    failed = "p 'failed with', app.count()\ntime.sleep(1)\np 'after all', app.count()\nc\n"
    ran = suite.run("--pdb", typed=stopped + failed)
    assert ran.outcomes == {"passed": 2, "failed": 1}, ran.output
    for said in ("('committed', 1)", "('still', 1)", "('failed with', 1)", "('after all', 1)"):
        assert said in ran.output, ran.output
    assert "LEAK  test_debugged.py::test_stops left 1 connection open" in ran.output
    assert "likewise 1 more test: test_debugged.py::test_traced" in ran.output
