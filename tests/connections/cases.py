"""Generate a suite from the table of ways, and say what its report must be."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product
from textwrap import indent

from every_way import (
    ASYNC_PLACES,
    BLOCKING_FATES,
    BLOCKING_PLACES,
    CHILD_FATES,
    CHILD_PLACES,
    DRIVERS,
    FATES,
    POOL_FATES,
    POOLS,
    Driver,
    Fate,
    Place,
    Pool,
)
from tests.frameworks.suites import Suite

from mintdb.report.facts import RunReport

FILE = "test_every_way.py"
MODULES = {"mysqlclient": "MySQLdb", "PyMySQL": "pymysql"}
FACTS = ("kind", "place", "thread", "task", "fixture", "scope", "driver", "owner", "pool_place", "command_line")
Found = Mapping[str, object]

SETTINGS = """
[tool.mintdb.databases.default]
schema = "sql:postgresql.sql"
export = { DATABASE_URL = "libpq" }

FURTHER
[tool.pytest.ini_options]
asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "function"
filterwarnings = [
    "error",
    "ignore::ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
    "ignore::pytest.PytestUnhandledThreadExceptionWarning",  # aiosqlite's thread, whose loop has gone
]
"""
FURTHER = {
    "postgresql": "",
    "sqlite": """
[tool.mintdb.databases.files]
engine = "sqlite"
schema = "sql:sqlite.sql"
export = { SQLITE_FILE = "path" }
""",
    "mysql": """
[tool.mintdb.databases.maria]
engine = "mysql"
schema = "sql:mysql.sql"
export = { MYSQL_URL = "mysql+pymysql", "MYSQL*" = "libpq" }
""",
}
SCHEMAS = {
    "postgresql.sql": "create table account (id serial primary key, owner text);",
    "sqlite.sql": "create table account (id integer primary key, owner text);",
    "mysql.sql": "create table account (id int auto_increment primary key, owner text);",
}
SHOP = """
import asyncio
import os
import subprocess
import sys
import threading

URL, FILE, MYSQL_URL = (os.environ.get(name) for name in ("DATABASE_URL", "SQLITE_FILE", "MYSQL_URL"))
NAMES = {"host": "HOST", "user": "USER", "password": "PASSWORD", "database": "DATABASE", "port": "PORT"}
MYSQL = {key: os.environ.get(f"MYSQL_{name}", "0") for key, name in NAMES.items()}
MYSQL["port"] = int(MYSQL["port"])
kept, late, children = [], [], {}

def with_driver(name):
    return URL.replace("postgresql://", f"postgresql+{name}://")

def in_a_thread(work, name):
    thread = threading.Thread(target=work, name=name)
    thread.start()
    thread.join()

async def in_a_task(work, name):
    await asyncio.create_task(work(), name=name)

def start_child(name):
    command = [sys.executable, "child.py", name]
    children[name] = child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"ready\\n"
"""
CONFTEST = """
import json
from pathlib import Path
import pytest
import shop

def pytest_sessionfinish():
    Path("children.json").write_text(json.dumps({name: child.pid for name, child in shop.children.items()}))
    for child in shop.children.values():
        child.communicate()

@pytest.fixture(autouse=True)
def close_what_is_late():
    yield
    while shop.late:
        shop.late.pop().close()
"""
HEAD = """
import asyncio, contextlib
from concurrent.futures import ThreadPoolExecutor
import psycopg_pool, pytest, pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine
from shop import FILE, MYSQL, MYSQL_URL, URL, in_a_task, in_a_thread, kept, late, start_child, with_driver
"""
CHILD = """
import os, sys
from shop import MYSQL, URL, kept
PROGRAMS
globals()[sys.argv[1]]()
print("ready", flush=True)
sys.stdin.read()
os._exit(0)
"""


@dataclass(frozen=True)
class Case:
    """One generated test."""

    way: Driver | Pool
    place: Place
    fate: Fate

    @property
    def name(self) -> str:
        return f"{self.way.key}__{self.place.name}__{self.fate.name}"

    @property
    def test(self) -> str:
        return f"{FILE}::test_{self.name}"

    def source(self) -> str:
        """The test, and the fixture that it needs."""
        body = self.fate.body
        for word, value in vars(self.way).items():
            body = body.replace(word.upper(), str(value))
        lines = [_with_body(line, body) for line in self.place.source.splitlines()]
        return "\n".join([*lines, self.fate.then]).replace("NAME", self.name)

    def expected(self, suite: str) -> list[Found]:
        """What the report has of it, in the file with the text `suite`."""
        place = self.place
        if self.fate.kind is None or (place.scope and not self.fate.is_in_the_way):
            return []
        found: dict[str, object | None] = {
            "kind": self.fate.kind,
            "place": self._line(suite, "opens"),
            "thread": place.thread,
            "task": place.task,
            "fixture": place.fixture and place.fixture.replace("NAME", self.name),
            "scope": place.scope,
            "driver": self.way.name,
        }
        if isinstance(self.way, Pool):
            found |= {"owner": self.way.owner, "pool_place": self._line(suite, "makes")}
            if self.way.opener:
                found["task"] = None  # its own thread knows no task
            if self.way.opener and not self.fate.is_in_the_way:
                found |= {"place": found["pool_place"], "thread": self.way.opener}
        return [{fact: value for fact, value in found.items() if value is not None}]

    def _line(self, suite: str, mark: str) -> str:
        """The line of the suite's that ends in a mark, as a report names it."""
        at = suite.index(f"# {mark}", suite.index(self.source()))
        return f"{FILE}:{suite[:at].count(chr(10)) + 1} in {self.place.function.replace('NAME', self.name)}"


class ChildCase(Case):
    """One whose connection another process opens, which the test, or its fixture, has started."""

    def source(self) -> str:
        """The test. It says nothing of what its child does."""
        return self.place.source.replace("NAME", self.name)

    def program(self) -> str:
        """What the child does."""
        inside = Place("", f"def {self.name}():\n    import {MODULES.get(self.way.name, self.way.name)}\n    BODY")
        return Case(self.way, inside, self.fate).source()

    def expected(self, suite: str) -> list[Found]:
        """Only what is in the rewind's way is told, with who that is."""
        told = {"kind": "foreign", "command_line": f"{sys.executable} child.py {self.name}"}
        return [told] if self.fate.is_in_the_way else []


def _with_body(line: str, body: str) -> str:
    head, mark, _ = line.partition("BODY")
    return indent(body, head) if mark else line


def all_cases(engines: Sequence[str]) -> list[Case]:
    """The whole table, of the drivers whose engines are here."""
    own = [Case(way, *which) for way in _ways(engines) for which in product(*_kinds(way))]
    return [*own, *_children(engines)]


def _children(engines: Sequence[str]) -> list[Case]:
    """A process each: of the drivers that block, and lead to a server."""
    ways = [way for way in _ways(engines) if isinstance(way, Driver) and not way.is_async and way.engine != "sqlite"]
    return [ChildCase(*which) for which in product(ways, CHILD_PLACES, CHILD_FATES)]


def some_cases(engines: Sequence[str]) -> list[Case]:
    """Each driver in every place and with every fate, each pool with every fate, in different pairs."""
    own = [case for shift, way in enumerate(_ways(engines)) for case in _some(way, shift)]
    return [*own, *_children(engines)[3:5]]  # a fixture's that writes, and a session's that does nothing


def _some(way: Driver | Pool, shift: int) -> Iterable[Case]:
    places, fates = _kinds(way)
    number = len(fates) if isinstance(way, Pool) else max(len(places), len(fates))
    return [Case(way, places[(n + shift) % len(places)], fates[n % len(fates)]) for n in range(number)]


def _ways(engines: Sequence[str]) -> list[Driver | Pool]:
    return [way for way in (*DRIVERS, *POOLS) if way.engine in engines and find_spec(MODULES.get(way.name, way.name))]


def _kinds(way: Driver | Pool) -> tuple[Sequence[Place], Sequence[Fate]]:
    places = ASYNC_PLACES if way.is_async else BLOCKING_PLACES
    if isinstance(way, Pool):
        return places, POOL_FATES
    return places, FATES if way.is_async else BLOCKING_FATES


def write(suite: Suite, cases: Sequence[Case], engines: Sequence[str], *, more: str = "") -> str:
    """Write the suite, with `more` tests than those of the table; returns its text."""
    modules = sorted({MODULES.get(case.way.name, case.way.name) for case in cases})
    tests = f"import {', '.join(modules)}\n{HEAD}" + "".join(case.source() for case in cases) + more
    files = {"pyproject.toml": SETTINGS.replace("FURTHER", "".join(FURTHER[engine] for engine in engines)), **SCHEMAS}
    programs = "".join(case.program() for case in cases if isinstance(case, ChildCase))
    child = CHILD.replace("PROGRAMS", programs)
    suite.write(**files, shop=SHOP, conftest=CONFTEST, child=child, test_every_way=tests)
    return tests


def differences(report: RunReport, expected: Mapping[str, Sequence[Found]]) -> list[str]:
    """Where the report is not as expected: each time that a test ran, what was said of it and should have been.

    `expected` has the guilty tests; everybody else is clean.
    """
    said: dict[tuple[str, float], list[Found]] = {}
    for tested in report.tests:  # one for each database that the test had
        found = said.setdefault((tested.test, tested.began), [])
        found += [{fact: each[fact] for fact in FACTS if fact in each} for each in tested.findings]
    return [
        f"{test}\n  said     {found}\n  expected {expected.get(test, [])}"
        for (test, _), found in said.items()
        if found != expected.get(test, [])
    ]
