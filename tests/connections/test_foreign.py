"""A session of another process is traced to its pid and command line."""

from __future__ import annotations

import subprocess
import sys

import psycopg

from mintdb.connections.foreign import find_command_line, find_process, traced
from mintdb.contract import Session

CODE = """
import sys, psycopg
connection = psycopg.connect(sys.argv[1], autocommit=True)
print(connection.execute("select inet_client_port()").fetchone()[0], flush=True)
sys.stdin.read()
"""


def session(client_port: int | None) -> Session:
    return Session(7, "idle", None, None, None, None, client_port)


def test_another_process_is_named_by_its_client_port(dsn: str) -> None:
    command = [sys.executable, "-c", CODE, dsn, "runworker", "/lib/a.jr:" * 200]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as worker:
        found = traced(session(int(worker.stdout.readline())))
        worker.stdin.close()

    class_path = f"{'/lib/a.jr:' * 8}…{'/lib/a.jr:' * 8}"
    assert found.process == worker.pid
    assert found.command_line is not None
    assert found.command_line.endswith(f"{dsn} runworker {class_path}")


def test_a_session_of_this_process_is_its_own(dsn: str) -> None:
    import os

    with psycopg.connect(dsn) as connection:
        port = connection.execute("select inet_client_port()").fetchone()[0]
        assert find_process(port) == os.getpid()


def test_what_cannot_be_known_is_not_guessed() -> None:
    assert find_process(1) is None
    assert find_command_line(2**22 + 1) is None
    for port in (None, -1, 1):  # -1: the server's word for a unix socket
        assert traced(session(port)) == session(port)
