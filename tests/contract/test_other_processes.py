"""What every engine keeps where more than one process, or more connections than are good for it, take part."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

import mintdb
from mintdb.connections.errors import ConnectionBudgetExceeded
from mintdb.core.lease import Lease
from mintdb.mint import Mint
from tests.contract.conftest import ACCOUNTS, AT_THE_MARK, rows, run, write
from tests.contract.engines import Kind

NEW = "insert into account (owner) values ('Cleo')"
OTHER = """
import sys, sqlalchemy as sa
connection = sa.create_engine(sys.argv[1]).connect()
connection.execute(sa.text(sys.argv[2]))
if sys.argv[3] == "commit":
    connection.commit()
print("done", flush=True)
sys.stdin.readline()
try:
    connection.commit()
finally:
    print("committed", flush=True)
"""
HOLDER = """
import os, sys, mintdb
mint = mintdb.open(engine=sys.argv[1], schema="sql:schema.sql")
with mint.lease() as lease:
    print(lease.url, flush=True)
    sys.stdin.readline()
mint.close()
"""


@contextmanager
def other(lease: Lease, kind: Kind, statement: str, then: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has run a statement, and goes on when its standard input is closed."""
    url = lease.url_for(f"{kind.engine}+{kind.driver}")
    with started("-c", OTHER, url, statement, then, answers="done") as process:
        yield process


@contextmanager
def started(*arguments: str, answers: str = "", folder: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([sys.executable, *arguments], text=True, cwd=folder, **pipes)
    try:
        assert process.stdout
        first = process.stdout.readline().strip()
        assert first if not answers else first == answers
        process.first = first  # type: ignore[attr-defined]  # for those who want to know
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_transaction_of_another_process_is_named_and_never_reaches_the_next_test(mint: Mint, kind: Kind) -> None:
    with mint.lease(test="the test") as first, other(first, kind, NEW, "wait") as process:
        first.release()
        assert first.restored
        assert "FOREIGN  1 connection of other processes" in first.restored.report
        assert str(process.pid) in first.restored.report
        with mint.lease() as second:
            process.communicate("\n", timeout=60)
            assert rows(second, ACCOUNTS) == AT_THE_MARK
            write(second, NEW)
    with mint.lease() as third:
        assert rows(third, ACCOUNTS) == AT_THE_MARK


def test_an_idle_connection_of_another_process_goes_on_and_is_seen(mint: Mint, kind: Kind) -> None:
    clone = mint.open().pool.home
    with mint.lease() as lease, other(lease, kind, NEW, "commit") as process:
        lease.release()
        with mint.lease() as second:
            assert rows(second, ACCOUNTS) == AT_THE_MARK
            assert len(clone.sessions()) >= 1
            said, _ = process.communicate("\n", timeout=60)
            assert said == "committed\n"


def test_two_runs_at_once_have_databases_of_their_own(mint: Mint, kind: Kind, project: Path) -> None:
    with mint.lease() as lease, started("-c", HOLDER, kind.engine, folder=project) as process:
        assert process.first != lease.url  # type: ignore[attr-defined]  # see started
        write(lease, NEW)
        process.communicate("\n", timeout=60)
        assert process.returncode == 0
        assert len(rows(lease, ACCOUNTS)) == 3


def test_what_a_killed_run_has_left_is_gone_with_the_next(kind: Kind, project: Path) -> None:
    with started("-c", HOLDER, kind.engine, folder=project) as process:
        owner = process.first.rpartition("mint_")[2].split("_")[1]  # type: ignore[attr-defined]  # see started
        os.kill(process.pid, signal.SIGKILL)
        process.wait(timeout=60)
    with mintdb.open(project, **kind.settings) as mint:
        server = mint.open().server
        server.reap()
        with mint.lease() as lease:
            assert rows(lease, ACCOUNTS) == AT_THE_MARK
        assert not [name for name in server.reap() if owner in name]


def test_at_the_limit_an_opener_is_told_who_holds_connections(kind: Kind, project: Path) -> None:
    settings = {"max_connections": 2, "connection_timeout": 0.2, **kind.settings}
    with mintdb.open(project, **settings) as mint, mint.lease() as lease:
        told = pytest.raises(ConnectionBudgetExceeded, match=r"2 × tests/contract/test_other_processes\.py")
        with closing(lease.connect()), closing(lease.connect()), told:
            mint.open().pool.home.connect()
        with closing(lease.connect()) as connection:
            run(connection, "select 1")
            connection.rollback()
