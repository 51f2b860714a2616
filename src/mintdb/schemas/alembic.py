"""`alembic:INI[@REVISION]`: upgrade to a revision, or to the one head there is, as `alembic upgrade` does.

It runs in a process of its own (see alembic_runner). `sqlalchemy.url` is set, and so are DATABASE_URL and the variables
that mintdb exports; env.py may use any of them, sync or async.
"""

from __future__ import annotations

import configparser
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

from mintdb.address import Address
from mintdb.errors import SchemaError
from mintdb.facts import dataclass
from mintdb.schemas.alembic_runner import ANSWER, Answer, Order
from mintdb.schemas.errors import (
    LibraryMissingError,
    MigratedNothingError,
    MigrationElsewhereError,
    MigrationFailedError,
    PathMissingError,
    RevisionMissingError,
    ScriptsMissingError,
    SeveralHeadsError,
)
from mintdb.schemas.reading import is_project_file
from mintdb.schemas.redirection import redirect
from mintdb.schemas.sql_files import get_runner

HEAD = "head"
SEPARATORS = {"os": os.pathsep, "space": " ", "newline": "\n", ":": ":", ";": ";"}
SECTION = "alembic"
USUAL_DRIVERS = {"postgresql": "psycopg", "sqlite": "pysqlite", "mysql": "pymysql"}
UPGRADE_TIMEOUT = 1800.0  # seconds; years of migrations take minutes, and one that waits for input takes for ever


@dataclass(frozen=True)
class Alembic:
    """The migrations that an alembic.ini names, up to a revision."""

    description: str
    ini: Path
    revision: str
    root: Path

    def fingerprint(self) -> Iterable[bytes]:
        """The revision, the options, env.py, and every *.py and *.sql file in the version folders. Imports nothing."""
        yield self.revision.encode()
        for name, value in sorted(self._options.items()):
            if name not in ("sqlalchemy.url", "here"):
                yield f"{name}={self._relative(value)}".encode()
        for file in self._files():
            yield self._relative(str(file)).encode()
            yield file.read_bytes()

    def build(self, database: Address) -> None:
        """Upgrade the empty database. Raises one of mintdb.schemas.errors."""
        _ = self._scripts  # raises before anything is started
        order = Order(str(self.ini), self.revision, self._url(database), database.database, str(self.root))
        answer = self._run(order, redirect(os.environ, database))
        if answer.kind != "done":
            raise self._explain(answer)
        if answer.heads and self.revision != "base" and not get_runner(database.engine).has_tables(database):
            raise MigratedNothingError(setting=self.description)

    @cached_property
    def _options(self) -> dict[str, str]:
        """The [alembic] section, with %(here)s filled in."""
        if not self.ini.is_file():
            raise PathMissingError(setting=self.description, path=self.ini)
        parser = configparser.ConfigParser({"here": str(self.ini.parent)})
        parser.read(self.ini, encoding="utf-8")
        if not parser.has_section(SECTION):
            return {}
        # What another program wrote with %% or with options of its own is taken as it stands.
        return {name: _filled(parser, name) for name in parser.options(SECTION)}

    @cached_property
    def _scripts(self) -> Path:
        location = self._options.get("script_location", "")
        folder = _find_folder(location, self._start)
        if not location or not (folder / "env.py").is_file():
            raise ScriptsMissingError(setting=self.description, path=folder)
        return folder

    @property
    def _start(self) -> Path:
        """Where alembic would be run, and its relative paths begin: beside the ini, unless they fit the root only."""
        location = self._options.get("script_location", "")
        return self.root if (self.root / location / "env.py").is_file() else self.ini.parent

    def _version_folders(self) -> Sequence[Path]:
        locations = self._options.get("version_locations", "")
        if not locations:
            return [self._scripts / "versions"]
        named = self._options.get("path_separator", self._options.get("version_path_separator", ""))
        separator = SEPARATORS.get(named)
        parts = locations.split(separator) if separator else locations.replace(",", " ").split()
        return [_find_folder(part.strip(), self._start) for part in parts if part.strip()]

    def _files(self) -> Sequence[Path]:
        below = (file for folder in self._version_folders() for file in folder.rglob("*"))
        versions = {f for f in below if f.suffix in (".py", ".sql") and is_project_file(f) and f.is_file()}
        return sorted({self._scripts / "env.py", *versions})

    def _relative(self, value: str) -> str:
        return value.replace(f"{self.root}{os.sep}", "")

    def _url(self, database: Address) -> str:
        """With the driver that the ini names, or the engine's usual one; psycopg is both sync and async."""
        dialect, _, driver = self._options.get("sqlalchemy.url", "").partition("://")[0].partition("+")
        usual = USUAL_DRIVERS[database.engine]
        return database.url_for(f"{database.engine}+{driver if dialect == database.engine and driver else usual}")

    def _run(self, order: Order, changes: dict[str, str]) -> Answer:
        paths = [str(self._start), *filter(None, sys.path)]
        environment = {**os.environ, **changes, "PYTHONPATH": os.pathsep.join(paths)}
        command = [sys.executable, "-m", "mintdb.schemas.alembic_runner"]
        try:
            run = subprocess.run(
                command,
                input=json.dumps(asdict(order)),
                capture_output=True,
                text=True,
                env=environment,
                cwd=self._start,
                timeout=UPGRADE_TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            said = error.stderr.decode(errors="replace") if isinstance(error.stderr, bytes) else ""
            return Answer("failed", f"not done after {UPGRADE_TIMEOUT:g} s", "\n".join(_last_lines(said)))
        return _read_answer(run)

    def _explain(self, answer: Answer) -> SchemaError:
        setting, heads = self.description, ", ".join(answer.heads)
        if answer.kind == "heads":
            return SeveralHeadsError(setting=setting, heads=heads, first=answer.heads[0])
        if answer.kind == "revision":
            return RevisionMissingError(setting=setting, revision=self.revision, heads=heads or "none")
        if answer.kind == "elsewhere":
            return MigrationElsewhereError(setting=setting, database=answer.error, where=answer.where)
        return MigrationFailedError(setting=setting, error=answer.error, where=answer.where)


def get_source(argument: str, *, setting: str, root: Path) -> Alembic:
    """The source for `alembic:ARGUMENT`. Raises LibraryMissingError."""
    if find_spec("alembic") is None:
        raise LibraryMissingError(setting=setting, library="alembic", extra="alembic")
    ini, _, revision = argument.partition("@")
    return Alembic(setting, root / (ini or "alembic.ini"), revision or HEAD, root)


def _read_answer(run: subprocess.CompletedProcess[str]) -> Answer:
    """What the runner answered; where it could not, its last words."""
    last = run.stdout.rstrip().rpartition("\n")[2]
    if last.startswith(ANSWER):
        return Answer(**json.loads(last.removeprefix(ANSWER)))
    return Answer("failed", f"the process ended with {run.returncode}", "\n".join(_last_lines(run.stderr)))


def _filled(parser: configparser.ConfigParser, name: str) -> str:
    try:
        return parser.get(SECTION, name)
    except configparser.InterpolationError:
        return parser.get(SECTION, name, raw=True)


def _find_folder(location: str, start: Path) -> Path:
    """A folder that the ini names: relative to where alembic is run, or `package:folder`."""
    package, colon, folder = location.partition(":")
    spec = find_spec(package) if colon and package.isidentifier() else None
    if spec and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))) / folder
    return start / location


def _last_lines(text: str, *, lines: int = 5) -> Iterator[str]:
    yield from text.rstrip().splitlines()[-lines:]
