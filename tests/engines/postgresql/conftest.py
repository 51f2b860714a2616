"""An empty project, a server's URL, and a look at what a failure has left behind."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

import mintdb
from mintdb.address import Address, parse_url
from tests.conftest import LINGER


@pytest.fixture
def project(tmp_path: Path, server_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, where nothing of the caller's environment says anything."""
    for variable in list(os.environ):
        if variable.startswith(("PG", "DATABASE_URL")) or (
            variable.startswith("MINTDB_") and variable != "MINTDB_CACHE_DIR"
        ):
            monkeypatch.delenv(variable)
    monkeypatch.setenv("MINTDB_LINGER", f"{LINGER:g}")  # a keeper's end is waited for
    monkeypatch.setenv("MINTDB_PROJECT", "orchard")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def server(project: Path) -> Iterator[Address]:
    """A server that asks for a password, as the URL's owner sees it: its superuser, its database `postgres`."""
    with mintdb.open(project) as mint, mint.lease() as lease:
        yield parse_url(lease.url).with_database("postgres")


@pytest.fixture
def ask(server: Address) -> Callable[..., list[str]]:
    """Run a statement as the server's superuser; the first column of what it returns."""

    def ask(statement: str) -> list[str]:
        with psycopg.connect(server.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return [row[0] for row in cursor.fetchall()] if cursor.description else []

    return ask


@pytest.fixture
def private_mounts() -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Run a shell script that may mount what it likes: nobody else sees it, and it is gone when the script ends."""
    unshare = ["unshare", "--mount", "--propagation", "private", "sh", "-euc"]
    probe = subprocess.run([*unshare, "mount -t tmpfs tmpfs /mnt"], capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"mounting in a namespace is not permitted here: {probe.stderr.strip()}")

    def run(script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*unshare, script], capture_output=True, text=True, timeout=120, check=False)

    return run


@pytest.fixture
def left_behind(own_home: Path) -> Callable[[], list[str]]:
    """What a failure has left in the test's own home: processes that use it, and things that are half made."""
    from mintdb.engines.places import find_places

    def look() -> list[str]:
        live = find_places().live
        folders = (str(own_home), str(live.parent))
        processes = [
            " ".join(process.info["cmdline"])
            for process in psutil.process_iter(["cmdline"])
            if any(folder in " ".join(process.info["cmdline"] or []) for folder in folders)
        ]
        half_made = [*own_home.rglob("building-*"), *live.rglob("state.json"), *live.rglob("data")]
        return processes + [str(path) for path in half_made]

    return look
