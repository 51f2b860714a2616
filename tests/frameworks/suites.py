"""Write a user's suite to a folder and run it with pytest in a process of its own, as the user would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

# Plugins of ours that a user's suite need not have: they triple what an interpreter costs. `-p NAME` has one back.
ABSENT = (
    *("cacheprovider", "randomly", "asyncio", "schemathesis", "hypothesispytest", "faker", "anyio", "fakefs"),
    *("django", "pytest_cov", "socket", "xdist.looponfail"),
)
QUIET = tuple(argument for name in ABSENT for argument in ("-p", f"no:{name}"))
# To look for plugins in all that is installed is a seventh of a run's CPU. Where a suite is started in another way,
# below `mintdb run` for one, the plugin is found by its entry point.
BY_NAME = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "mintdb.pytest_plugin,xdist.plugin"}
BY_ENTRY_POINT = dict.fromkeys(BY_NAME, "")  # for a suite with plugins that look for others by their names
TIMEOUT = 300  # seconds; a suite here takes some seconds, and ten times as long on a busy machine

SETTINGS = """
[tool.mintdb.databases.default]
schema = "sql:schema.sql"
export = { DATABASE_URL = "libpq", SQLALCHEMY_URL = "postgresql+psycopg" }

[tool.pytest.ini_options]
filterwarnings = ["error"]
"""
ASYNC_SETTINGS = f"""{SETTINGS}asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "function"
"""
SCHEMA = """
create table account (id serial primary key, owner text not null unique, balance int not null default 0);
create table entry (id serial primary key, account_id int not null references account, amount int not null);
create table currency (code text primary key);
insert into currency values ('EUR'), ('USD'), ('CHF');
"""
APP = """
import os
import psycopg

URL = os.environ["DATABASE_URL"]  # read once, at import

def run(sql):
    with psycopg.connect(URL) as connection:
        cursor = connection.execute(sql)
        return [row[0] for row in cursor] if cursor.description else None

def add(owner):
    return run(f"insert into account (owner) values ('{owner}') returning id")[0]

def owners():
    return run("select owner from account order by id")
"""
WIDE_SET_UPS = """
import unittest
import app

def setUpModule():
    app.add("module")

class First(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        app.add("class")

    def setUp(self):
        app.add("test")

    def test_a(self):
        self.assertEqual(app.owners(), ["module", "class", "test"])

    def test_b(self):
        self.assertEqual(app.owners(), ["module", "class", "test"])
        app.run("drop table entry")

class Second(unittest.TestCase):
    def test_c(self):
        self.assertEqual(app.owners(), ["module"])
        self.assertEqual(app.run("select count(*) from entry"), [0])
"""


@dataclass(frozen=True)
class Ran:
    """What a run printed and how it ended."""

    code: int
    output: str

    @property
    def outcomes(self) -> dict[str, int]:
        """pytest's own counts: {"passed": 3, "failed": 1}."""
        words = re.findall(r"(\d+) (passed|failed|errors?|skipped|warnings?)", self.output.rstrip().splitlines()[-1])
        return {word.rstrip("s"): int(count) for count, word in words}


def run_python(folder: Path, *arguments: str, environment: Mapping[str, str]) -> Ran:
    """Run an interpreter in a folder to its end, with `environment` besides our own."""
    ran = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    return Ran(ran.returncode, ran.stdout)


@dataclass
class Suite:
    """A folder with a user's project in it."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def write(self, **files: str) -> Suite:
        """Write files; `conftest` means conftest.py."""
        for name, text in files.items():
            path = self.folder / (name if "." in name else f"{name}.py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        return self

    def start(self, *arguments: str, types: bool = False) -> subprocess.Popen[str]:
        """Start pytest here; a person `types` if its standard input is to be a pipe."""
        return subprocess.Popen(
            [sys.executable, "-m", "pytest", *QUIET, *arguments],
            cwd=self.folder,
            env=os.environ | BY_NAME | self.environment,
            stdin=subprocess.PIPE if types else None,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, timeout: float = TIMEOUT, typed: str | None = None) -> Ran:
        """Run pytest here to its end; `typed` is what a person types meanwhile."""
        with self.start(*arguments, types=typed is not None) as process:
            try:
                output, _ = process.communicate(typed, timeout=timeout)
            finally:
                process.kill()
        return Ran(process.returncode, output)

    def run_python(self, *arguments: str, environment: Mapping[str, str] = MappingProxyType({})) -> Ran:
        """Run an interpreter here to its end, with `environment` besides the suite's own."""
        return run_python(self.folder, *arguments, environment={**self.environment, **environment})

    def run_under_mintdb(
        self, *arguments: str, options: Sequence[str] = (), environment: Mapping[str, str] = MappingProxyType({})
    ) -> Ran:
        """The same under `mintdb run`, which gets the `options`."""
        command = ["-m", "mintdb.cli", "run", *options, "--", sys.executable, *arguments]
        return self.run_python(*command, environment=environment)


def new_suite(folder: Path) -> Suite:
    """A suite with the usual settings and schema, and no tests yet."""
    folder.mkdir(parents=True, exist_ok=True)
    return Suite(folder).write(**{"pyproject.toml": SETTINGS, "schema.sql": SCHEMA})
