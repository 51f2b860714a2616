"""What becomes of a run, its server and its keeper when one of them is killed or interrupted."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from mintdb.engines.places import find_places
from tests.conftest import LINGER
from tests.faults import watching
from tests.faults.conftest import Start
from tests.frameworks.suites import QUIET, TIMEOUT, Suite
from tests.waiting import PATIENCE, wait_for

WAITS = """
    import app

    def test_it():
        app.add()
        app.mark("here")
        while not app.exists("go"): pass
        app.add("bob")

    def test_next():
        assert app.add() == 1
"""


@pytest.fixture
def waiting(project: Suite, start: Start) -> subprocess.Popen[str]:
    """A run whose first test waits for the file `go`."""
    app = (project.folder / "app.py").read_text()
    project.write(app=app + "\ndef exists(name):\n    time.sleep(0.02)\n    return pathlib.Path(name).exists()\n")
    project.write(test_it=WAITS)
    process = start(project)
    wait_for((project.folder / "here").exists, "the first test")
    return process


def keeper_of_the_home() -> psutil.Process:
    state = watching.state()
    assert state is not None
    return psutil.Process(state.keeper)


def test_a_run_whose_keeper_is_killed_goes_on_and_the_server_stops_in_the_end(
    project: Suite, waiting: subprocess.Popen[str]
) -> None:
    keeper = keeper_of_the_home()
    watching.kill(keeper.pid)
    keeper.wait(PATIENCE)
    (project.folder / "go").touch()
    output, _ = waiting.communicate(timeout=TIMEOUT)
    assert "2 passed" in output, output
    watching.server_stops(linger=LINGER)


def test_a_run_after_keeper_and_run_were_both_killed_sends_another_keeper(
    project: Suite, waiting: subprocess.Popen[str]
) -> None:
    keeper = keeper_of_the_home()
    watching.kill(keeper.pid)
    watching.kill(waiting.pid)
    keeper.wait(PATIENCE)
    (project.folder / "go").touch()
    ran = project.run()
    assert ran.outcomes == {"passed": 2}, ran.output
    watching.server_stops(linger=LINGER)


def test_a_server_that_dies_under_way_is_told_and_the_next_run_recovers(
    project: Suite, waiting: subprocess.Popen[str]
) -> None:
    state = watching.state()
    assert state is not None
    watching.kill(state.server)
    wait_for(lambda: not watching.state(), "the server's end")
    (project.folder / "go").touch()
    output, _ = waiting.communicate(timeout=TIMEOUT)
    assert waiting.returncode == 1
    (told,) = re.findall(r"^_+ ERROR at .*\n(?:.*\n){3}", output, re.MULTILINE)  # once, and no line of mintdb's own
    assert told.splitlines()[1].endswith("went away under way"), output
    assert told.splitlines()[2].startswith("  it said "), output
    assert "1 failed, 1 error" in output, output  # the next test was not even begun
    assert "INTERNALERROR" not in output, output
    assert "could not clean up" not in output, output  # for the same reason: it is told above
    ran = project.run()
    assert ran.outcomes == {"passed": 2}, ran.output
    watching.server_stops(linger=LINGER)


def test_ctrl_c_ends_a_run_cleanly(project: Suite, waiting: subprocess.Popen[str]) -> None:
    waiting.send_signal(signal.SIGINT)
    output, _ = waiting.communicate(timeout=TIMEOUT)
    assert waiting.returncode == pytest.ExitCode.INTERRUPTED
    assert "KeyboardInterrupt" in output
    assert "Exception ignored" not in output
    assert not watching.leftovers()


def test_ctrl_c_in_a_terminal_does_not_reach_the_server(project: Suite) -> None:
    project.write(test_it="import app\n\ndef test_it():\n    app.add()\n    app.mark_and_wait('here')\n")
    project.environment["MINTDB_LINGER"] = "20"
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(project.folder)
        os.execve(
            sys.executable,
            [sys.executable, "-m", "pytest", *QUIET],
            os.environ | project.environment,
        )
    wait_for((project.folder / "here").exists, "the test")
    before = watching.state()
    os.write(terminal, b"\x03")
    output = read_all(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == pytest.ExitCode.INTERRUPTED, output
    assert watching.state() == before is not None
    assert psutil.pid_exists(before.keeper)
    assert not watching.leftovers()


def read_all(terminal: int) -> str:
    text = b""
    while True:
        try:
            chunk = os.read(terminal, 65536)
        except OSError:  # the last process of the terminal is gone
            chunk = b""
        if not chunk:
            os.close(terminal)
            return text.decode(errors="replace")
        text += chunk


def test_a_pipe_ends_when_pytest_ends(project: Suite) -> None:
    project.write(test_it="import app\n\ndef test_it(): app.add()\n")
    project.environment["MINTDB_LINGER"] = "120"
    command = f"{sys.executable} -m pytest {' '.join(QUIET)} | cat"
    subprocess.run(
        ["sh", "-c", command],
        cwd=project.folder,
        env=os.environ | project.environment,
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=TIMEOUT,
    )
    assert watching.state() is not None, "the server was to linger"


def test_the_keeper_and_the_server_inherit_nothing(project: Suite) -> None:
    project.write(
        conftest="""
            import os

            def pytest_configure():
                reader, writer = os.pipe()
                os.set_inheritable(writer, True)
                os.set_inheritable(os.open("inherited", os.O_CREAT | os.O_RDWR), True)
        """,
        **{
            "tests/test_it.py": "import app\n\ndef test_it(): app.add()\n",
            "tests/operator.py": "raise SystemExit('the module of that name is the interpreter's own')\n",
        },
    )
    project.environment |= {"MINTDB_LINGER": "20", "LANG": "de_DE.UTF-8", "SECRET_OF_THE_CALLER": "x"}
    ran = project.run()
    assert ran.outcomes == {"passed": 1}, ran.output
    state = watching.state()
    assert state is not None
    keeper = psutil.Process(state.keeper)
    for process in (keeper, psutil.Process(state.server)):
        held = [os.readlink(link) for link in Path(f"/proc/{process.pid}/fd").iterdir() if link.exists()]
        assert not [name for name in held if "inherited" in name or "pytest" in name], held
        assert "SECRET_OF_THE_CALLER" not in process.environ()
        assert os.getsid(process.pid) != os.getsid(0)
        assert process.cwd() == "/" or "data" in process.cwd()
        assert process.terminal() is None
    standard = {os.readlink(f"/proc/{keeper.pid}/fd/{number}") for number in (0, 1, 2)}
    assert standard == {"/dev/null", str(Path(state.sockets).parent / "keeper.log")}


def test_no_thread_of_ours_runs_in_the_users_process(project: Suite) -> None:
    project.write(
        test_it="""
            import threading
            import app

            def names(): return [thread.name for thread in threading.enumerate()]

            def test_it(mintdb):
                app.add()
                mintdb.connect().execute("drop table entry")
                assert names() == ["MainThread"]

            def test_after_a_swap(mintdb, mintdb_lease):
                mintdb_lease()
                assert names() == ["MainThread"]
        """
    )
    ran = project.run()
    assert ran.outcomes == {"passed": 2}, ran.output


def test_a_stopped_server_keeps_no_log_in_memory_and_starts_again(project: Suite) -> None:
    project.write(
        test_it="import app\n\ndef test_it(): app.add()\n",
        test_wal="""
            import os, psycopg

            def test_wal():
                with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
                    connection.execute("create table wide (text text)")
                    connection.commit()  # what fills a table of its own transaction is not logged
                    connection.execute("insert into wide select repeat('x', 1000) from generate_series(1, 200000)")
                    assert connection.execute("select sum(size) / 1048576 from pg_ls_waldir()").fetchone()[0] > 150
        """,
    )
    ran = project.run()
    assert ran.outcomes == {"passed": 2}, ran.output
    watching.server_stops(linger=LINGER)
    (log,) = find_places().live.glob("*/data/pg_wal")
    wait_for(lambda: size(log) <= 112 << 20, "the log's end")  # min_wal_size, 80 MB, and the newest files
    ran = project.run()
    assert ran.outcomes == {"passed": 2}, ran.output


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
