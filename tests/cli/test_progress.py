"""What takes long is shown: a bar on a terminal, plain lines where nobody looks or rich is not installed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from programs import MINTDB, Terminal
from tests.waiting import PATIENCE

BAR = "\N{BOX DRAWINGS HEAVY HORIZONTAL}"


@pytest.fixture
def slow(project: Path) -> Path:
    """A project whose template takes a second, and has never been built."""
    (project / "slow.sql").write_text(f"select {time.time_ns()}, pg_sleep(1);")
    return project


def shown(project: Path) -> str:
    terminal = Terminal(MINTDB, "run", "--schema", "sql:slow.sql", "--", "echo", "mine", cwd=project)
    try:
        terminal.read_to_end()
        assert terminal.process.wait(PATIENCE) == 0
        return terminal.shown
    finally:
        terminal.close()


def test_a_terminal_gets_a_bar_that_is_gone_before_the_command_starts(slow: Path) -> None:
    said = shown(slow)
    assert "mintdb: building the template from sql:slow.sql" in said
    assert BAR in said
    assert said.rindex(BAR) < said.rindex("\x1b[2K") < said.index("mine")  # erased, then the command's output


def test_a_terminal_without_rich_gets_plain_lines(slow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (slow / "hidden").mkdir()
    (slow / "hidden" / "rich.py").write_text("raise ImportError")
    monkeypatch.setenv("PYTHONPATH", str(slow / "hidden"))
    assert shown(slow) == "mintdb: building the template from sql:slow.sql\r\nmine\r\n"
