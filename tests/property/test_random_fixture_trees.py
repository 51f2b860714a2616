"""Random trees of fixtures that write at every level, dynamic and parametrised ones too, against a model.

Half of them stand on a template of three layers, a schema and two seeds.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from tests.frameworks.suites import SETTINGS, Suite, new_suite

SEEDS = 60 if os.environ.get("MINTDB_SOAK") else 6
PARAMETRISED = "_with_parameters"
SCOPES = ("session", "module", "class", "function")

# The model: who is alive now, and so whose rows must be there. A test adds rows of its own, which nobody else may see.
CONFTEST = """
import itertools
import os
import psycopg
import pytest

alive = [*{seeded}]
numbers = itertools.count()

def run(sql, values=None):
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        cursor = connection.execute(sql, values)
        return [row[0] for row in cursor] if cursor.description else None

def rows():
    return set(run("select owner from account"))

def live(name):
    label = f"{name} {next(numbers)}"
    run("insert into account (owner) values (%s)", [label])
    alive.append(label)
    yield label
    alive.remove(label)

"""
DAMAGE = (
    'run("delete from account")',
    'run("truncate account restart identity cascade")',
    'run("update account set balance = 7")',
    "run(\"insert into account (owner) select 'junk ' || n from generate_series(1, 50) n\")",
    'run("alter table account add column junk int")',
    'run("drop table entry")',
    'run("create table junk (id int)")',
    "pass",
)
SEEDS_OF_SCHEMA = {
    "one.sql": "insert into account (owner) values ('Ann'), ('gone');",
    "two.sql": "delete from account where owner = 'gone'; insert into account (owner) values ('Bob');",
}
SEEDED = ["Ann", "Bob"]
# Before a wide fixture that is set up in the midst of a test: keys would be given twice, or its mark would stand on a
# schema that the test has changed, which is told (see test_marks_follow_fixtures).
TOO_MUCH = ("restart identity", "table")


def fixture(random: random.Random, number: int, known: list[tuple[str, str]]) -> tuple[str, str, str]:
    """Source, name and scope of one fixture; it may stand on earlier ones of its own scope or wider.

    One that has parameters, or stands on one that has, is named so: nobody can ask for it but by argument.
    """
    scope = random.choice(SCOPES)
    wider = [other for other, of in known if SCOPES.index(of) <= SCOPES.index(scope)]
    needs = random.sample(wider, min(len(wider), random.randint(0, 2)))
    has_params = random.random() < 0.2 and scope != "session"
    name = f"{scope}_{number}" + PARAMETRISED * (has_params or any(map(is_parametrised, needs)))
    params = ", params=[1, 2]" if has_params else ""
    autouse = ", autouse=True" if random.random() < 0.2 else ""
    arguments = ", ".join(["request", *needs])
    plain = [other for other in wider if not is_parametrised(other)]
    late = random.choice(plain) if plain and random.random() < 0.2 else None
    body = f"    request.getfixturevalue({late!r})\n" if late else ""
    source = (
        f"@pytest.fixture(scope={scope!r}{params}{autouse})\n"
        f"def {name}({arguments}):\n{body}    yield from live({name!r})\n\n"
    )
    return source, name, scope


def is_parametrised(name: str) -> bool:
    return name.endswith(PARAMETRISED)


def module(random: random.Random, known: list[tuple[str, str]]) -> str:
    """A test module with classes and functions that ask for random fixtures, some in their midst."""
    names = [name for name, _ in known]
    plain = [name for name in names if not is_parametrised(name)]
    source = "import pytest\nfrom conftest import alive, rows, run\n\n"
    for number in range(random.randint(3, 6)):
        indent = ""
        if random.random() < 0.4:
            source += f"class TestClass{number}:\n"
            indent = "    "
        for inner in range(random.randint(1, 3)):
            needs = random.sample(names, random.randint(0, 2))
            arguments = ", ".join([*(["self"] if indent else []), "request", *needs])
            damage, late = random.choice(DAMAGE), random.random() < 0.4
            if late and any(word in damage for word in TOO_MUCH):
                damage = "pass"
            lines = ["assert rows() == set(alive)", damage]
            if late and plain:
                lines += ["run(\"insert into account (owner) values ('mine')\")"]
                lines += [f"request.getfixturevalue({random.choice(plain)!r})"]
            source += f"{indent}def test_{number}_{inner}({arguments}):\n"
            source += "".join(f"{indent}    {line}\n" for line in lines) + "\n"
    return source


def layered(suite: Suite) -> Suite:
    """With two seeds on the schema, each a template of its own."""
    schema = 'schema = "sql:schema.sql"'
    settings = SETTINGS.replace(schema, f"{schema}\nseed = {[f'sql:{name}' for name in SEEDS_OF_SCHEMA]}")
    return suite.write(**{"pyproject.toml": settings}, **SEEDS_OF_SCHEMA)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_rows_live_as_long_as_the_fixture_that_wrote_them(seed: int, tmp_path: Path, server_home: Path) -> None:
    rng = random.Random(seed)  # not for secrets
    known: list[tuple[str, str]] = []
    seeded = SEEDED if seed % 2 else []
    conftest = CONFTEST.replace("{seeded}", repr(seeded))
    for number in range(rng.randint(4, 9)):
        source, name, scope = fixture(rng, number, known)
        conftest += source
        known.append((name, scope))
    modules = {f"test_{letter}": module(rng, known) for letter in "abc"}
    suite = new_suite(tmp_path / "project").write(conftest=conftest, **modules)
    if seeded:
        layered(suite)
    ran = suite.run("-q", "-x", "--tb=short")
    assert set(ran.outcomes) == {"passed"}, f"seed {seed} in {suite.folder}\n{ran.output}"
