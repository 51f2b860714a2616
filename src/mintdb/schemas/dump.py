"""`dump:FILE|DIR`: restore, for whoever runs the tests, what `pg_dump` or `mariadb-dump` wrote, or a SQLite file.

Owners and grants are left out, as with `--no-owner --no-privileges`: the roles that they name are those of another
server. A plain dump is run as a SQL file is, so a failure names its line; the other formats need `pg_restore`.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from mintdb.address import Address
from mintdb.errors import SchemaError
from mintdb.facts import dataclass
from mintdb.schemas.errors import NewerDumpError, NoDumpError, PathMissingError, RestoreFailedError
from mintdb.schemas.reading import is_project_file
from mintdb.schemas.server_errors import SHOWN_LINES

if TYPE_CHECKING:
    import psycopg

    from mintdb.schemas.sql_split import Statement

BLOCK = 1 << 20
CUSTOM = b"PGDMP"  # src/bin/pg_dump/pg_backup_archiver.c
TAR_MAGIC = slice(257, 262)  # POSIX ustar
CONTENTS = "toc.dat"
HEADER_LINES = 20
RESTORE_TIMEOUT = 3600.0  # seconds; some gigabytes take minutes
DUMPED_FROM = re.compile(r"Dumped from database version:? (\d+\S*)")
ABOUT_ROLES = re.compile(
    r"""(?:grant|revoke|alter\s+default\s+privileges|set\s+session\s+authorization)\b
    | alter\s.*\sowner\s+to\s+(?:"[^"]*"|\S+)\s*\Z""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
CREATES_PUBLIC = re.compile(r"create schema public\s*\Z|^\d+; \d+ \d+ SCHEMA - public ", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Dump:
    """One dump: a plain, custom or tar file, or the folder of the directory format."""

    description: str
    path: Path
    root: Path

    def fingerprint(self) -> Iterable[bytes]:
        """What the dump's files hold. A dump that was made again differs, since it says when it was made."""
        for file in self._files():
            yield file.name.encode() if self.path.is_dir() else b""
            with file.open("rb") as opened:
                yield from iter(lambda: opened.read(BLOCK), b"")

    def build(self, database: Address) -> None:
        """Restore it. Raises one of mintdb.schemas.errors."""
        self._files()
        if database.engine == "sqlite":
            self._take_over(database)
            return
        if database.engine == "mysql":
            self._run_script(database)
            return
        try:
            if self._is_archive():
                self._restore(database)
            else:
                self._run_plain(database)
        except SchemaError as error:
            raise self._newer_dump(error, database) or error from None

    def _take_over(self, database: Address) -> None:
        """A SQLite file, or what the shell's `.dump` wrote."""
        from mintdb.schemas import sqlite

        if sqlite.is_file_of_its_own(self.path):
            sqlite.take_over(self.path, database, setting=self.description)
        elif self._is_archive():
            raise NoDumpError(setting=self.description, path=self.path)
        else:
            sqlite.run_files(database, [(self._shown, self.path)])

    def _run_script(self, database: Address) -> None:
        """What `mariadb-dump` or `mysqldump` wrote, `--databases` or not."""
        from mintdb.schemas import mysql

        if self._is_archive():
            raise NoDumpError(setting=self.description, path=self.path)
        mysql.run_files(database, [(self._shown, self.path)], skip_elsewhere=True)

    @property
    def _shown(self) -> str:
        return str(self.path.relative_to(self.root) if self.path.is_relative_to(self.root) else self.path)

    def _files(self) -> list[Path]:
        if not self.path.exists():
            raise PathMissingError(setting=self.description, path=self.path)
        if self.path.is_dir() and not (self.path / CONTENTS).is_file():
            raise NoDumpError(setting=self.description, path=self.path)
        if not self.path.is_dir():
            return [self.path]
        return sorted(file for file in self.path.iterdir() if is_project_file(file) and file.is_file())

    def _is_archive(self) -> bool:
        if self.path.is_dir():
            return True
        with self.path.open("rb") as opened:
            head = opened.read(TAR_MAGIC.stop)
        return head.startswith(CUSTOM) or head[TAR_MAGIC] == b"ustar"

    def _run_plain(self, database: Address) -> None:
        import psycopg

        from mintdb.schemas.postgresql import read_statements, run_script

        statements = [s for s in read_statements(self.path, self._shown) if not ABOUT_ROLES.match(s.text)]
        with psycopg.connect(database.url_for("libpq"), autocommit=True, prepare_threshold=None) as connection:
            _make_room(connection, statements)
            run_script(connection, self._shown, statements)

    def _restore(self, database: Address) -> None:
        if CREATES_PUBLIC.search(self._list()):
            import psycopg

            with psycopg.connect(database.url_for("libpq"), autocommit=True) as connection:
                connection.execute("drop schema public")
        # The password goes by the environment: every user of the machine can read a command line.
        target = replace(database, password="").url_for("libpq")
        options = ("--no-owner", "--no-privileges", "--exit-on-error", "--dbname", target)
        self._pg_restore(*options, password=database.password)

    def _list(self) -> str:
        return self._pg_restore("--list")

    def _pg_restore(self, *options: str, password: str = "") -> str:
        command: list[str | Path] = [find_pg_restore(), *options, self.path]
        environment = {**os.environ, "PGPASSWORD": password} if password else None
        try:
            run = subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                env=environment,
                timeout=RESTORE_TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            message = f"  not done after {RESTORE_TIMEOUT:g} s"
            raise RestoreFailedError(setting=self.description, message=message) from None
        if run.returncode:
            lines = run.stderr.strip().splitlines()
            raise RestoreFailedError(setting=self.description, message=_indented(lines))
        return run.stdout

    def _newer_dump(self, error: SchemaError, database: Address) -> NewerDumpError | None:
        """The error with its likely reason, where the dump's server was newer than this one."""
        import psycopg

        dumped = self._find_version()
        with psycopg.connect(database.url_for("libpq")) as connection:
            server = connection.info.parameter_status("server_version") or "0"
        if dumped is None or _major(dumped) <= _major(server):
            return None
        message = _indented(str(error).splitlines())
        return NewerDumpError(setting=self.description, dumped=dumped, server=server, message=message)

    def _find_version(self) -> str | None:
        try:
            head = self._list() if self._is_archive() else "".join(self._first_lines())
        except RestoreFailedError:
            return None
        found = DUMPED_FROM.search(head)
        return found[1] if found else None

    def _first_lines(self) -> Iterator[str]:
        with self.path.open(encoding="utf-8", errors="replace") as opened:
            yield from islice(opened, HEADER_LINES)


def get_source(argument: str, *, setting: str, root: Path) -> Dump:
    """The source for `dump:ARGUMENT`; nothing is read before it is used."""
    return Dump(setting, root / argument, root)


def find_pg_restore() -> Path:
    """The program that came with the server programs. Raises BinariesNotFound."""
    from mintdb.engines.postgresql.binaries import find_binaries

    return find_binaries().program("pg_restore")


def _make_room(connection: psycopg.Connection, statements: Iterable[Statement]) -> None:
    """Drop the schema that a database is born with, where the dump brings it."""
    if any(CREATES_PUBLIC.search(statement.text) for statement in statements):
        connection.execute("drop schema public")


def _major(version: str) -> int:
    found = re.match(r"\d+", version)
    return int(found[0]) if found else 0


def _indented(lines: list[str]) -> str:
    return "\n".join(f"  {line}".rstrip() for line in lines[:SHOWN_LINES])
