"""Who looks at a server with `mintdb ps` leaves nothing there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest


@pytest.mark.parametrize("command", [["ps"], ["kill", "7"], ["reap"]])
def test_a_server_gets_nothing_by_being_looked_at(command: list[str], dsn: str, tmp_path: Path, own_home: Path) -> None:
    before = databases(dsn)
    argv = [sys.executable, "-m", "mintdb.cli", *command, "--url", dsn]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    assert "nothing" in done.stderr or "nobody" in done.stdout
    assert databases(dsn) == before


def databases(dsn: str) -> list[tuple[str]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute("select datname from pg_database order by 1").fetchall()
