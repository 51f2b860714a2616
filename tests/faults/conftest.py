"""Suites that are killed, and a home whose server nobody else needs."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.frameworks.suites import Suite, new_suite

Start = Callable[..., "subprocess.Popen[str]"]

APP = """
import os, pathlib, time
import psycopg

def connect():
    return psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)

def add(owner="ann"):
    with connect() as connection:
        return connection.execute("insert into account (owner) values (%s) returning id", [owner]).fetchone()[0]

def mark(name):
    pathlib.Path(name).touch()

def mark_and_wait(name):
    mark(name)
    time.sleep(600)
"""


@pytest.fixture
def project(tmp_path: Path, own_home: Path) -> Suite:
    """A suite on a server of its own: nobody else loses it when it is killed."""
    return new_suite(tmp_path / "project").write(app=APP)


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a suite in a process group of its own; what is left of the group is killed in the end."""
    started: list[subprocess.Popen[str]] = []

    def start(suite: Suite, *arguments: str) -> subprocess.Popen[str]:
        started.append(suite.start(*arguments))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            for child in psutil.Process(process.pid).children(recursive=True):
                os.kill(child.pid, signal.SIGKILL)
            process.kill()
        if process.stdout and not process.stdout.closed:
            process.communicate()
