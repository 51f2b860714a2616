"""Signals reach the command exactly once, whoever sent them, and a killed `mintdb run` is cleared up after."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from programs import MINTDB, Start, Terminal, databases, live_states
from tests.waiting import PATIENCE, wait_for

from mintdb.engines.processes import is_alive

PYTHON = sys.executable
# Says which signals it gets as they come; ends a second after the first one, by when a second one would have come.
COUNTS = """
import os, signal, time
got = []
for name in ("INT", "TERM", "HUP", "USR1"):
    signal.signal(getattr(signal, "SIG" + name), lambda number, frame: got.append(signal.Signals(number).name))
print("ready", os.getpid(), flush=True)
said, end = 0, None
while end is None or time.monotonic() < end:
    if got[said:]:
        print(*got[said:], flush=True)
        said, end = len(got), end or time.monotonic() + 1
    time.sleep(0.01)
raise SystemExit(5)
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"])
def test_a_signal_to_mintdb_reaches_the_command_once(start: Start, name: str) -> None:
    running = start("run", "--", PYTHON, "-c", COUNTS)
    assert running.stdout is not None
    running.stdout.readline()
    running.send_signal(getattr(signal, name))
    assert running.communicate(timeout=PATIENCE)[0] == f"{name}\n"
    assert running.returncode == 5
    assert databases() == set()


@pytest.fixture
def terminal(project: Path) -> Iterator[Terminal]:
    terminal = Terminal(MINTDB, "run", "--", PYTHON, "-c", COUNTS, cwd=project)
    yield terminal
    terminal.close()


def test_ctrl_c_in_a_terminal_reaches_the_command_once(terminal: Terminal) -> None:
    terminal.read_until("ready")
    # Asleep, so that what it passes on comes late enough to be counted: two signals at once look like one.
    terminal.process.send_signal(signal.SIGSTOP)
    os.write(terminal.keys, b"\x03")
    terminal.read_until("SIGINT\r\n")
    terminal.process.send_signal(signal.SIGCONT)
    assert terminal.process.wait(PATIENCE) == 5
    terminal.read_to_end()
    assert terminal.shown.count("SIGINT") == 1
    assert databases() == set()


def test_ctrl_c_in_a_terminal_does_not_reach_the_server(
    project: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINTDB_LINGER", "60")
    with contextlib.closing(Terminal(MINTDB, "run", "--", PYTHON, "-c", COUNTS, cwd=project)) as terminal:
        terminal.read_until("ready")
        before = {state.server for state in live_states()}
        os.write(terminal.keys, b"\x03")
        terminal.process.wait(PATIENCE)
    assert before
    assert before == {state.server for state in live_states()}


def test_ctrl_c_ends_a_command_that_does_not_catch_it(project: Path) -> None:
    # exec: dash loses a Ctrl-C that comes while it starts a child
    terminal = Terminal(MINTDB, "run", "--", "sh", "-c", "echo ready; exec sleep 60", cwd=project)
    try:
        terminal.read_until("ready")
        os.write(terminal.keys, b"\x03")
        assert terminal.process.wait(PATIENCE) == 128 + signal.SIGINT
        assert "Traceback" not in terminal.shown
        assert databases() == set()
    finally:
        terminal.close()


def test_a_signal_while_the_database_is_made_leaves_nothing(start: Start, project: Path) -> None:
    (project / "slow.sql").write_text(f"select {time.time_ns()}, pg_sleep(30);")
    running = start("run", "--schema", "sql:slow.sql", "--", "true")
    assert running.stderr is not None
    assert "building the template" in running.stderr.readline()
    wait_for(lambda: any("_building" in name for name in databases()), "the template is being built")
    running.send_signal(signal.SIGTERM)
    assert running.wait(PATIENCE) == 128 + signal.SIGTERM
    # A signal that comes while the server still answers `create database` leaves the drop to the keeper.
    wait_for(lambda: databases() == set(), "what was half made is dropped")


def test_what_a_killed_run_leaves_is_cleared_up(start: Start) -> None:
    running = start("run", "--", PYTHON, "-c", COUNTS)
    assert running.stdout is not None
    pid = int(running.stdout.readline().split()[1])
    assert len(databases()) == 1
    running.kill()
    running.wait()
    wait_for(lambda: databases() == set(), "the keeper drops the clone of a killed run")
    os.kill(pid, signal.SIGTERM)


def test_no_server_process_survives_the_linger(start: Start) -> None:
    running = start("run", "--", PYTHON, "-c", COUNTS)
    assert running.stdout is not None
    running.stdout.readline()
    (state,) = live_states()
    processes = [state.keeper, state.server, *(p.pid for p in psutil.Process(state.server).children())]
    running.terminate()
    running.wait(PATIENCE)
    wait_for(lambda: not any(is_alive(pid) for pid in processes), "keeper and server end after the linger")
    assert live_states() == []


def test_a_signal_to_the_whole_group_ends_mintdb_cleanly(start: Start) -> None:
    running = start("run", "--", "sleep", "60", start_new_session=True)
    wait_for(databases, "the clone is there")
    wait_for(lambda: psutil.Process(running.pid).children(), "the command runs")
    os.killpg(running.pid, signal.SIGTERM)
    assert running.wait(PATIENCE) == 128 + signal.SIGTERM
    assert databases() == set()


def test_a_run_that_was_stopped_for_a_while_goes_on_and_passes_on_what_was_sent_alone(start: Start) -> None:
    running = start("run", "--", PYTHON, "-c", COUNTS)
    assert running.stdout is not None
    running.stdout.readline()
    wait_for(lambda: psutil.Process(running.pid).status() == psutil.STATUS_SLEEPING, "it waits for the command")
    running.send_signal(signal.SIGSTOP)
    wait_for(lambda: psutil.Process(running.pid).status() == psutil.STATUS_STOPPED, "it is stopped")
    time.sleep(0.6)  # longer than what waits with a limit waits at a time
    running.send_signal(signal.SIGCONT)
    wait_for(lambda: psutil.Process(running.pid).status() == psutil.STATUS_SLEEPING, "it goes on")
    running.send_signal(signal.SIGUSR1)
    shown, said = running.communicate(timeout=PATIENCE)
    assert (running.returncode, shown) == (5, "SIGUSR1\n"), said


SIMPLE = """
import signal, sys
del signal.sigwaitinfo  # as on Windows and macOS
from mintdb.cli import main
sys.argv = ["mintdb", "run", "--", sys.executable, "-c", sys.argv[1]]
main()
"""


def test_without_siginfo_ctrl_c_is_left_to_the_terminal(project: Path) -> None:
    terminal = Terminal(PYTHON, "-c", SIMPLE, COUNTS, cwd=project)
    try:
        terminal.read_until("ready")
        os.write(terminal.keys, b"\x03")
        assert terminal.process.wait(PATIENCE) == 5
        terminal.read_to_end()
        assert terminal.shown.count("SIGINT") == 1
    finally:
        terminal.close()


def test_without_siginfo_a_request_to_end_is_passed_on(project: Path) -> None:
    running = subprocess.Popen([PYTHON, "-c", SIMPLE, COUNTS], stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    running.stdout.readline()
    running.terminate()
    assert running.communicate(timeout=PATIENCE)[0] == "SIGTERM\n"
    assert running.returncode == 5
    assert databases() == set()


THREADED = """
import os, sys, threading, time
from mintdb.cli import main
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()  # it takes every signal that we have blocked
spawn = os.posix_spawn
os.posix_spawn = lambda *a, **k: (spawn(*a, **k), time.sleep(0.5))[0]  # the command ends before we wait for it
sys.argv = ["mintdb", "run", "--", "sh", "-c", "exit 5"]
main()
"""


def test_the_end_of_the_command_is_seen_though_another_thread_takes_the_signal(project: Path) -> None:
    assert subprocess.run([PYTHON, "-c", THREADED], timeout=PATIENCE, check=False).returncode == 5
