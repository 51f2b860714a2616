"""A lock file has one holder at a time, and none that is dead."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest

from mintdb.locks import StillLocked, locked

HOLD = """
import sys
from pathlib import Path
from mintdb.locks import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "lock"


def hold_elsewhere(file: Path) -> subprocess.Popen[bytes]:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    return holder


def test_another_process_keeps_everybody_out_until_it_is_killed(file: Path) -> None:
    with hold_elsewhere(file) as holder:
        with (
            pytest.raises(StillLocked, match=r"lock was held by somebody else for"),
            locked(file, timeout=0.05),
        ):
            pytest.fail("held twice")
        holder.kill()
        holder.wait()
        with locked(file, timeout=0):
            assert file.exists()


def test_a_waiting_thread_gets_it_when_another_lets_go(file: Path) -> None:
    order: list[str] = []

    def wait() -> None:
        with locked(file, timeout=30):
            order.append("second")

    with locked(file):
        thread = Thread(target=wait)
        thread.start()
        with pytest.raises(StillLocked), locked(file, timeout=0):
            pytest.fail("a thread of the same process got in")
        order.append("first")
    thread.join(30)
    assert order == ["first", "second"]


def test_a_file_that_its_last_holder_removed_is_held_by_nobody_twice(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []
    real = os.open

    def open_then_lose(path: Path, *how: int) -> int:
        opened.append(real(path, *how))
        if len(opened) == 1:
            file.unlink()  # between our opening and our locking
        return opened[-1]

    monkeypatch.setattr(os, "open", open_then_lose)
    with locked(file):
        assert (len(opened), os.fstat(opened[-1]).st_ino) == (2, file.stat().st_ino)


def test_whatever_is_raised_inside_lets_go_and_goes_on(file: Path) -> None:
    with pytest.raises(KeyboardInterrupt), locked(file):
        raise KeyboardInterrupt
    with locked(file, timeout=0):
        pass
