"""Copy a database that somebody is connected to, through pg_dump: slow, and exact in what SQL can see."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

from mintdb.address import Address
from mintdb.engines.postgresql.binaries import find_binaries
from mintdb.engines.postgresql.errors import DumpFailed
from mintdb.variables import find_misleading

DUMP_TIMEOUT = 600.0  # seconds; a schema of 50 tables takes 0.3


# Comments, and since 17.6 a random word that is different in each dump.
UNTOLD = ("--", "\\restrict", "\\unrestrict")


def read(database: Address) -> list[str]:
    """The lines of a dump that say what is in the database. Raises DumpFailed with what pg_dump said."""
    dumped = _run([find_binaries().program("pg_dump"), "--dbname", _dsn(database)], database, None)
    return [line for line in dumped.decode().splitlines() if line and not line.startswith(UNTOLD)]


def copy(source: Address, target: Address) -> None:
    """Dump `source` and restore it into the empty database `target`. Raises DumpFailed with what the programs said."""
    binaries = find_binaries()
    dump: list[str | Path] = [binaries.program("pg_dump"), "--dbname", _dsn(source)]
    load: list[str | Path] = [binaries.program("psql"), "--quiet", "--no-psqlrc", "--set", "ON_ERROR_STOP=1"]
    load += ["--dbname", _dsn(target)]
    dumped = _run(dump, source, None)
    _run(load, target, dumped)


def _run(argv: list[str | Path], address: Address, content: bytes | None) -> bytes:
    run = subprocess.run(
        argv,
        input=content,
        capture_output=True,
        timeout=DUMP_TIMEOUT,
        check=False,
        env={**_plain_environment(), "PGPASSWORD": address.password, "PGCLIENTENCODING": "UTF8"},
    )
    if run.returncode:
        said = run.stderr.decode(errors="replace").strip()
        raise DumpFailed(program=Path(argv[0]).name, database=address.database, said=said)
    return run.stdout


def _plain_environment() -> dict[str, str]:
    misleading = find_misleading(os.environ, embedded=False)
    return {variable: value for variable, value in os.environ.items() if variable not in misleading}


def _dsn(address: Address) -> str:
    """The address without its password, which other users could read in a list of processes."""
    return replace(address, password="").url
