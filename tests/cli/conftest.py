"""Run the real `mintdb` in an empty project."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from programs import MINTDB, Run, Start
from tests.waiting import PATIENCE


@pytest.fixture
def project(tmp_path: Path, module_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, where nothing of the caller's environment says anything."""
    for variable in list(os.environ):
        if variable.startswith(("PG", "DATABASE_URL", "JDBC_")) or (
            variable.startswith("MINTDB_") and variable not in ("MINTDB_CACHE_DIR", "MINTDB_LINGER")
        ):
            monkeypatch.delenv(variable)
    monkeypatch.setenv("MINTDB_PROJECT", "orchard")  # one template for all
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(project: Path) -> Run:
    """Run `mintdb …` to its end."""

    def run(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
        options: dict[str, Any] = {"capture_output": True, "text": True, "timeout": PATIENCE, "cwd": project}
        return subprocess.run([MINTDB, *arguments], check=False, **{**options, **more})

    return run


@pytest.fixture
def start(project: Path) -> Iterator[Start]:
    """Start `mintdb …`; what still runs at the end of the test is killed."""
    with contextlib.ExitStack() as stack:

        def start(*arguments: str, **more: Any) -> subprocess.Popen[str]:
            options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            child = stack.enter_context(subprocess.Popen([MINTDB, *arguments], cwd=project, **{**options, **more}))
            stack.callback(child.kill)
            return child

        yield start
