"""The walls of the house: which part may import which, and how parts are named. Nothing is run."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
LONGEST = 500  # lines

# A part is a folder of mintdb, an engine, or a module that stands alone. What each may import of the others.
# The facts know nothing of their users.
FACTS = {"mintdb", "clock", "locks", "errors", "facts", "address", "contract", "settings", "variables", "handover"}
COMMON_PARTS = ("account", "embedded", "errors", "keeper", "places", "ports", "processes", "running", "starting")
COMMON = {f"engines.{part}" for part in COMMON_PARTS}  # what engines share, and knows none of them
OF_ENGINES = ("engines.postgresql", "engines.mysql", "engines.sqlite", "engines.snowflake")
FLOOR = {
    # names only, and only for type checkers: test_the_package_imports_nothing
    "mintdb": {"mint", "core", "errors", "play", "script", "sqlalchemy"},
    "clock": set(),
    "locks": {"clock"},
    "errors": set(),
    "facts": set(),
    "drivers": set(),
    "address": {"drivers", "errors", "facts"},
    "settings": {"errors", "facts", "address"},
    "contract": {"facts", "address", "settings"},
    "variables": {"address"},
    "handover": {"facts", "address", "settings"},
    "core": FACTS,
    "connections": FACTS,
    "engines": {*FACTS, "engines.running"},
    **{f"engines.{part}": {*FACTS, *COMMON} for part in COMMON_PARTS},
    "engines.postgresql": {*FACTS, *COMMON, "core"},
    "engines.mysql": {*FACTS, *COMMON, "core"},
    "engines.sqlite": {*FACTS, *COMMON, "core"},
    "engines.snowflake": {*FACTS, *COMMON, "core", "snowflake"},
    "schemas": {*FACTS, "engines.postgresql"},
    "hypothesis": {"clock", "core", "errors", "facts"},
    "examples": {"hypothesis"},
    "snowflake": {"errors", "facts", "connections"},
    "play": {*FACTS, "core", "mint", "schemas"},
    "script": {"errors", "facts", "connections", "snowflake"},
    "mint": {*FACTS, "core", "connections", "engines", "schemas"},
    "verification": {*FACTS, "core", "engines", "mint", "schemas"},
    "doorman": {"connections"},
    "report": {*FACTS, "connections", "engines.places"},
    "boundaries": {"clock", "contract", "engines.places", "core", "connections", "mint", "report"},
    "sqlalchemy": {*FACTS, "connections", "schemas"},
    "pytest_plugin": {
        *FACTS,
        "core",
        "boundaries",
        "connections",
        "django",
        "doorman",
        "examples",
        "mint",
        "report",
        "sqlalchemy",
    },
    "django": {*FACTS, "core", "connections", "examples", "mint", "report", "engines.postgresql"},
    "startup": {"handover", "connections", "unittest_boundaries"},
    "unittest": {*FACTS, "boundaries", "connections", "core", "doorman", "mint", "unittest_boundaries"},
    "unittest_boundaries": {*FACTS, "boundaries", "connections", "examples", "mint", "report"},
    "cli": {
        *FACTS,
        *COMMON,
        "core",
        "connections",
        "engines",
        "mint",
        "verification",
        "play",
        "report",
        "schemas",
        "engines.postgresql",
    },
}
# Doors in those walls. docs/why/architecture.md has the reason for each.
DOORS = {
    ("schemas", "engines.postgresql"): {"mintdb.schemas.dump"},
    ("cli", "engines.postgresql"): {f"mintdb.cli.{name}" for name in ("doctor", "evolutions", "ready", "up")},
    ("cli", "schemas"): {"mintdb.cli.evolutions"},
    ("core", "mintdb"): {"mintdb.core.templates"},
    ("django", "engines.postgresql"): {"mintdb.django.creation", "mintdb.django.managed"},
    ("pytest_plugin", "core"): {f"mintdb.pytest_plugin{part}" for part in ("", ".django", ".fixtures", ".leasing")},
    ("pytest_plugin", "django"): {"mintdb.pytest_plugin.django"},
    ("sqlalchemy", "schemas"): {"mintdb.sqlalchemy.statements"},
}

# Libraries that not everybody has, or that cost too much to import for nothing; and who may, at module level.
LIBRARIES = {
    "click": ("mintdb.cli",),
    "duckdb": ("mintdb.engines.snowflake",),
    "fakesnow": ("mintdb.engines.snowflake",),
    "pyarrow": ("mintdb.engines.snowflake",),
    "snowflake": ("mintdb.engines.snowflake",),
    "sqlglot": ("mintdb.engines.snowflake",),
    "jinja2": ("mintdb.report.page",),
    "hypothesis": ("mintdb.hypothesis",),
    "pytest": ("mintdb.pytest_plugin", "mintdb.unittest"),
    "pymysql": ("mintdb.engines.mysql", "mintdb.schemas.mysql", "mintdb.schemas.evolutions.mysql"),
    "psycopg": ("mintdb.engines.postgresql.rewind", "mintdb.schemas"),
    "sqlalchemy": ("mintdb.schemas.metadata", "mintdb.sqlalchemy"),
    "django": ("mintdb.django", "mintdb.schemas.django"),
    "asgiref": ("mintdb.django",),
}
# Within a function, where it is known to be wanted.
LAZY = {
    "platformdirs": ("mintdb.engines.places",),
    "filelock": ("mintdb.locks",),
    "psycopg": ("mintdb.engines.postgresql", "mintdb.django.places"),
    "alembic": ("mintdb.schemas.alembic_runner",),
    "pytest": ("mintdb.play",),
    "sqlalchemy": ("mintdb.schemas.alembic_runner",),
    "rich": ("mintdb.cli.progress", "mintdb.cli.tables"),
    "snowflake": ("mintdb.schemas.snowflake", "mintdb.snowflake"),
    "sqlglot": ("mintdb.schemas.snowflake",),
}
# Words of the glossary's third column that have another meaning, which they keep.
OTHER_MEANING = {"driver", "backend", "cluster", "copy", "external", "log"}
# Names that say something else with such a word.
EXCUSED = {
    "clean_environment": "an environment without the caller's variables",
    "reset": "a cursor's method in the Snowflake connector",
    "status": "the command line's word, as everywhere",
}


@dataclass(frozen=True)
class Import:
    """One module imports another: at the top, lazily (in a function), or for type checkers only."""

    importer: str
    imported: str
    how: str

    def __str__(self) -> str:
        return f"{self.importer} imports {self.imported} ({self.how})"


@cache
def modules() -> dict[str, Path]:
    """Every module of mintdb by its name."""
    paths = sorted(path for path in (SOURCE / "mintdb").rglob("*.py"))
    return {".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(modules()[module].read_text(encoding="utf-8"))


@cache
def all_imports() -> tuple[Import, ...]:
    return tuple(found for module in modules() for found in imports_of(module, tree(module), "top"))


def imports_of(module: str, node: ast.AST, how: str) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(module, alias.name, how) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"{module} imports relatively"
            for alias in child.names:
                full = f"{child.module}.{alias.name}"
                yield Import(module, full if full in modules() else str(child.module), how)
        yield from imports_of(module, child, _how(child, how))


def _how(node: ast.AST, how: str) -> str:
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return "type"
    return "lazy" if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and how == "top" else how


def part_of(module: str) -> str:
    """The part of the house that a module belongs to."""
    steps = module.split(".")[1:]
    return ".".join(steps[: 2 if steps[:1] == ["engines"] else 1]) or "mintdb"


def is_below(module: str, places: tuple[str, ...]) -> bool:
    return any(module == place or module.startswith(f"{place}.") for place in places)


def test_arrows_point_one_way() -> None:
    wrong = [
        str(found)
        for found in all_imports()
        if found.imported.split(".")[0] == "mintdb"
        and part_of(found.imported) not in {part_of(found.importer), *FLOOR[part_of(found.importer)]}
    ]
    assert wrong == []


def test_every_part_has_its_place_in_the_walls() -> None:
    assert {part_of(module) for module in modules()} <= set(FLOOR)


def test_a_door_in_a_wall_is_used_by_nobody_else() -> None:
    for (part, other), users in DOORS.items():
        found = {
            found.importer
            for found in all_imports()
            if part_of(found.importer) == part
            and found.imported.split(".")[0] == "mintdb"
            and part_of(found.imported) == other
        }
        assert found <= users, f"from {part} to {other}"


def test_an_engine_and_a_schema_source_are_found_by_name_when_used() -> None:
    at_import = [
        str(found)
        for found in all_imports()
        if found.how == "top"
        and re.match(r"mintdb\.(engines|schemas)\.", found.imported)
        and part_of(found.importer) not in (*COMMON, *OF_ENGINES, "schemas", "play")
        and found.importer not in DOORS["cli", "engines.postgresql"] | DOORS["django", "engines.postgresql"]
    ]
    assert at_import == []


def test_the_core_knows_no_engine_and_no_framework() -> None:
    """Not even by name: a comment may name one, a string in its code may not."""
    named = re.compile(r"postgres|mysql|sqlite|snowflake|django|flask|pytest|sqlalchemy", re.IGNORECASE)
    for module in (m for m in modules() if part_of(m) == "core"):
        code = ast.unparse(_without_docstrings(tree(module)))
        assert named.findall(code) == [], module


def test_no_modules_import_each_other_in_a_circle() -> None:
    edges: dict[str, set[str]] = {module: set() for module in modules()}
    for found in all_imports():
        if found.how == "top" and found.imported in edges and found.imported != found.importer:
            edges[found.importer].add(found.imported)
    assert _find_circle(edges) == []


def test_a_driver_or_framework_is_imported_only_where_it_is_at_home() -> None:
    wrong = []
    for found in all_imports():
        library = found.imported.split(".")[0]
        if found.how == "type" or library == "mintdb" or library in sys.stdlib_module_names:
            continue
        homes = LIBRARIES.get(library, ()) + (LAZY.get(library, ()) if found.how == "lazy" else ())
        if not is_below(found.importer, homes):
            wrong.append(str(found))
    assert wrong == []


def test_nothing_waits_or_measures_by_a_clock_that_a_test_may_stop() -> None:
    """A deadline never comes, and a duration is 0, while a wider fixture has frozen `time`."""
    stopped = {"monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "time", "sleep"}
    wrong = [
        f"{module}:{node.lineno} time.{node.attr}"
        for module in modules()
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "time" and node.attr in stopped
    ]
    assert [found for found in wrong if not found.startswith("mintdb.clock:")] == []


def test_no_class_pays_the_standard_price_of_a_dataclass() -> None:
    wrong = [
        f"{module}:{node.lineno}"
        for module in modules()
        for node in ast.walk(tree(module))
        if isinstance(node, ast.ImportFrom)
        and node.module == "dataclasses"
        and "dataclass" in {alias.name for alias in node.names}
    ]
    assert [found for found in wrong if not found.startswith("mintdb.facts:")] == []


def test_the_package_itself_imports_nothing_of_its_own() -> None:
    """`import mintdb` is what every test file of a user begins with."""
    assert [str(found) for found in all_imports() if found.importer == "mintdb" and found.how == "top"] == [
        "mintdb imports __future__ (top)",
        "mintdb imports typing (top)",
    ]


def test_what_the_plugin_loads_reaches_no_driver() -> None:
    """Followed through all that is imported on the way, from the entry point and from the hook that always runs."""
    reached, waiting = set(), {"mintdb.pytest_plugin", "mintdb.pytest_plugin.fixtures", "mintdb.pytest_plugin.run"}
    while waiting:
        module = waiting.pop()
        reached.add(module)
        found = {i.imported for i in all_imports() if i.importer == module and i.how == "top"}
        waiting |= {m for m in found if m.startswith("mintdb")} - reached
        libraries = {m.split(".")[0] for m in found} - {"mintdb"} - sys.stdlib_module_names
        assert libraries <= {"pytest"}, module


@pytest.mark.parametrize("module", modules())
def test_the_first_line_of_a_module_is_a_promise(module: str) -> None:
    said = ast.get_docstring(tree(module))
    assert said, f"{module} has no docstring"
    promise = said.split("\n\n")[0]
    assert len(promise) > 20
    assert promise.rstrip().endswith((".", ":"))


@pytest.mark.parametrize("module", modules())
def test_a_module_is_read_in_one_sitting(module: str) -> None:
    assert len(modules()[module].read_text(encoding="utf-8").splitlines()) <= LONGEST


@pytest.mark.parametrize("module", [m for m in modules() if m != "mintdb.engines.postgresql.keeper"])
def test_what_a_module_offers_is_there(module: str) -> None:
    for node in tree(module).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            offered = ast.literal_eval(node.value)
            loaded = import_module(module)
            assert [name for name in offered if not hasattr(loaded, name)] == []


def test_public_names_use_the_words_of_the_glossary() -> None:
    avoided = words_to_avoid() - OTHER_MEANING
    wrong = [
        f"{module}: {name}"
        for module in modules()
        for name in public_names(module)
        if name not in EXCUSED and {word.rstrip("s") for word in words_of(name)} & avoided
    ]
    assert wrong == []


def test_the_glossary_names_every_word_that_is_avoided() -> None:
    assert {"loader", "checksum", "snapshot", "checkout", "reset", "flush", "quota", "janitor"} <= words_to_avoid()


def words_to_avoid() -> set[str]:
    """The third column of the glossary's table."""
    rows = [line for line in (ROOT / "GLOSSARY.md").read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    cells = [row.rstrip("|").split("|")[-1] for row in rows[2:]]
    return {word for cell in cells for word in re.findall(r"[a-z]+", cell)}


def public_names(module: str) -> Iterator[str]:
    """Names of functions, methods, classes and of the module itself."""
    steps = module.split(".")
    if not any(step.startswith("_") for step in steps):
        yield steps[-1]
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name


def words_of(name: str) -> list[str]:
    """`BadSettingsFile` and `bad_settings_file` are three words each."""
    return re.findall(r"[a-z]+", re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower())


def _without_docstrings(module: ast.Module) -> ast.Module:
    copied = ast.parse(ast.unparse(module))
    for node in ast.walk(copied):
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            body[0] = ast.Pass()
    return copied


def _find_circle(edges: dict[str, set[str]]) -> list[str]:
    """One circle of imports, or nothing. What imports nothing any more is taken away until nothing is left."""
    left = {module: set(imported) for module, imported in edges.items()}
    while free := {module for module, imported in left.items() if not imported}:
        left = {module: imported - free for module, imported in left.items() if module not in free}
    return sorted(left)
