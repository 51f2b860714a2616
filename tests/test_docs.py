"""Every block of the README and the docs is run, loaded or compared with the code; every link leads somewhere.

How a page is written:

- a block whose first line is a comment with a path (`# tests/test_shop.py`, `-- db/1.sql`) becomes that file in the
  page's project, a folder that the page's blocks share, in their order;
- `toml` loads through mintdb's settings, `python` without a path is run, `console` is run and compared with what it
  shows, `sh` is run, but for what needs a network, a checkout or another machine;
- `text` is a message, and some test holds it word by word.

In a `console` block every number stands for any number, and `…` for anything: as a line of its own, for any lines.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import pytest

import mintdb
from mintdb import settings
from mintdb.errors import MintdbError
from mintdb.schemas import get_source
from tests.engines.mysql.mariadb import require_mariadb
from tests.frameworks.suites import BY_NAME, QUIET, TIMEOUT

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*/README.md")])
ERRORS = ROOT / "docs" / "reference" / "errors.md"
BLOCK = re.compile(r"^( *)```(\S*)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
WRITTEN = "py|sql|toml|ini|yml|yaml|sh|mako|properties|m?js|java|go|rb|php"
NAMED = re.compile(rf"(?:<\?php )?(?:#|--|//) ([\w./-]+\.(?:{WRITTEN}))\n")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
ELSEWHERE = ("pip ", "python -m pip ", "git ", "apt-get ", "sudo ", "docker ", "cd ", "make ", "npm ")  # not run here
# Word of a page: plugin.
WANTED = {"asyncio_mode": "asyncio", "from hypothesis import": "hypothesispytest", "Django": "django"}
SHARED = Path("/usr/share")  # where Debian has the libraries of other languages
LANGUAGES = {  # of a page's blocks: the programs, libraries and variables that they need, and Debian's packages
    "java": (
        ["javac", SHARED / "java/junit-jupiter.jar", SHARED / "java/postgresql.jar"],
        {"CLASSPATH": f".:{SHARED}/java/*"},
        "default-jdk-headless junit5 libpostgresql-jdbc-java",
    ),
    "go": (
        ["go", SHARED / "gocode/src/github.com/lib/pq"],
        {"GO111MODULE": "off", "GOPATH": str(SHARED / "gocode")},
        "golang-go golang-github-lib-pq-dev",
    ),
    "ruby": (["rspec", SHARED / "doc/ruby-sequel", SHARED / "doc/ruby-pg"], {}, "ruby-rspec ruby-sequel ruby-pg"),
    "php": (["phpunit", SHARED / "doc/php-pgsql"], {}, "phpunit php-pgsql"),
}
ROOM = "<!-- generated: python -m tests.test_docs -->"


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: Path
    line: int
    kind: str
    text: str

    @property
    def file(self) -> str | None:
        """The path in the page's project, if the first line names one."""
        named = NAMED.match(self.text)
        return named[1] if named else None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found[2], textwrap.dedent(found[3]))
        for found in BLOCK.finditer(text)
    ]


ALL_BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture
def node_modules(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Node's client for PostgreSQL, where Node is installed and its registry answers."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        pytest.skip("Node is not installed: apt-get install nodejs npm")
    folder = tmp_path_factory.mktemp("node")
    command = [npm, "install", "--no-audit", "--no-fund", "--prefix", folder, "pg"]
    installed = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    if installed.returncode:
        pytest.skip(f"npm could not install pg: {installed.stderr.strip().splitlines()[-1]}")
    return str(folder / "node_modules")


@pytest.fixture
def environment(page: Path, request: pytest.FixtureRequest) -> dict[str, str]:
    """A shell as the reader has it: mintdb on PATH, and nothing of this run's own variables."""
    if page.name == "mysql.md":
        require_mariadb()
    # A page that shows what runs, or stops it, must not meet what other tests have left running.
    request.getfixturevalue("own_home" if "mintdb down\n" in page.read_text(encoding="utf-8") else "server_home")
    own = ("PYTEST_", "PG", "DATABASE_URL", "MINTDB_URL", "MINTDB_HANDOVER")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    quiet = " ".join(QUIET)
    for word, plugin in WANTED.items():
        if word in page.read_text(encoding="utf-8"):
            quiet = quiet.replace(f"no:{plugin}", plugin)
    if "node --test" in page.read_text(encoding="utf-8"):
        kept["NODE_PATH"] = request.getfixturevalue("node_modules")
    for language in {block.kind for block in blocks_of(page)} & set(LANGUAGES):
        kept |= _variables_of(language)
    plain = {"PYTEST_ADDOPTS": quiet, "COLUMNS": "80", "MINTDB_LINGER": "20"}
    named = {} if page.name == "README.md" else BY_NAME  # what a newcomer tries first is found by its entry point
    return {**kept, "PATH": path, **plain, **named}


def _variables_of(language: str) -> dict[str, str]:
    needed, variables, packages = LANGUAGES[language]
    for each in needed:
        if not (each.exists() if isinstance(each, Path) else shutil.which(each)):
            pytest.skip(f"{each} is not installed: apt-get install {packages}")
    return variables


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_blocks_of_a_page_do_what_the_page_says(page: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    project = page.parent if page.parent.parent.name == "examples" else tmp_path
    for block in blocks_of(page):
        if block.file and project == tmp_path:
            _write(project / block.file, block.text)
        elif block.kind == "python" and not block.file:
            _check(block, *_run(shlex.join([sys.executable, "-c", block.text]), project, environment))
        elif block.kind == "console":
            _compare(block, project, environment)
        elif block.kind == "sh":
            for line in _commands(block.text):
                _check(block, *_run(line, project, environment))


@pytest.mark.parametrize("block", [b for b in ALL_BLOCKS if b.kind == "toml"], ids=str)
def test_settings_that_are_shown_are_settings_that_load(block: Block, tmp_path: Path) -> None:
    name = Path(block.file or "pyproject.toml").name
    text = block.text if name != "pyproject.toml" or "[tool." in block.text else pytest.fail(f"{block}: no [tool.…]")
    (tmp_path / name).write_text(text)
    variables = dict.fromkeys(re.findall(r"\$\{(\w+)\}", block.text), "postgresql://me@localhost/shop")
    loaded = settings.load(tmp_path, environ=variables)
    assert loaded.file == (tmp_path / name if "mintdb" in text else None)
    for database in loaded.databases.values():
        get_source(database.schema, root=tmp_path)


@pytest.mark.parametrize("block", [b for b in ALL_BLOCKS if b.kind == "text"], ids=str)
def test_a_message_that_is_shown_is_held_word_by_word(block: Block) -> None:
    held = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "tests").rglob("test_*.py")))
    assert _flat(block.text) in _flat(held), f"{block}: no test has this text"


@pytest.mark.parametrize("block", ALL_BLOCKS, ids=str)
def test_a_block_says_what_it_is(block: Block) -> None:
    assert block.kind in ("toml", "python", "sql", "console", "sh", "text", "ini", "yaml", "js", *LANGUAGES), str(block)
    if block.kind in ("sql", "ini", "yaml", *LANGUAGES):
        assert block.file, f"{block}: it has no path, so nothing would check it"


def test_every_make_target_and_extra_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert set(re.findall(r"(?:^|`|\n)make ([a-z]+)", text)) <= targets, page
        for listed in re.findall(r"mintdb\[([a-z,]+)\]", text):
            assert set(listed.split(",")) <= extras, page


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(re.sub(BLOCK, "", page.read_text(encoding="utf-8"))):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{target} in {page}"
        if anchor:
            assert anchor in anchors_of(found), f"{target} in {page}"


def anchors_of(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        links = LINK.findall(page.read_text(encoding="utf-8"))
        found = {(page.parent / link.partition("#")[0]).resolve() for link in links if not link.startswith("http")}
        waiting += [page for page in found if page in PAGES and page not in reached]
    assert set(map(name_of, PAGES)) - set(map(name_of, reached)) == set()


def test_the_page_on_adding_an_engine_names_every_module_with_an_entry_for_each() -> None:
    page, source = (ROOT / "docs/how-to/add-an-engine.md").read_text(encoding="utf-8"), ROOT / "src"
    tables = {
        str(module.relative_to(source))
        for module in source.rglob("*.py")
        for statement in ast.parse(module.read_text(encoding="utf-8")).body
        if isinstance(statement, ast.Assign) and {"postgresql", "mysql"} <= set(_constants(statement.value))
    }
    assert len(tables) > 5
    assert {module for module in tables if f"`{module}`" not in page} == set()


def _constants(expression: ast.expr) -> Iterator[object]:
    return (node.value for node in ast.walk(expression) if isinstance(node, ast.Constant))


def test_the_settings_page_has_every_setting_with_its_default() -> None:
    rows = _rows(ROOT / "docs" / "reference" / "settings.md")
    # The run's own row stands first, where a database may have a setting, too.
    documented = {cells[0].strip("`"): cells[2].strip("`") for cells in reversed(list(rows)) if len(cells) == 3}
    known = {*settings.RUN_KEYS, *settings.DATABASE_KEYS}
    assert set(documented) == known
    for kind in (settings.Settings, settings.DatabaseSettings):
        for field in fields(kind):
            if field.name in documented and isinstance(field.default, str | float) and field.name != "project":
                shown = f'"{field.default}"' if isinstance(field.default, str) else f"{field.default:g}"
                assert documented[field.name] == shown, field.name


def test_the_settings_page_has_every_option_and_variable() -> None:
    text = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    source = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    options = set(re.findall(r'"(--mintdb-[a-z]+)"', source))
    assert options == set(re.findall(r"--mintdb-[a-z]+", text))
    variables = set(re.findall(r'(?:environ(?:\.get\(|\[)|getenv\()"(MINTDB_[A-Z_]+)"', source))
    assert variables - set(re.findall(r"MINTDB_[A-Z_]+", text)) == set()


def test_the_errors_page_says_what_the_code_says() -> None:
    assert ERRORS.read_text(encoding="utf-8") == errors_page(), "write it anew:  python -m tests.test_docs"


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "GLOSSARY.md"], ids=name_of)
def test_a_page_keeps_to_the_words_of_the_glossary(page: Path) -> None:
    """Those of its third column that have no other meaning in prose."""
    avoided = r"\b(loaders?|dangling|quotas?|zombies?|janitors?|recreated?)\b"
    assert re.findall(avoided, page.read_text(encoding="utf-8"), re.IGNORECASE) == []


def errors_page() -> str:
    """docs/reference/errors.md, as the code has it."""
    parts = [ERRORS.read_text(encoding="utf-8").partition(ROOM)[0] + ROOM]
    for module, kinds in sorted(errors_by_module().items()):
        parts.append(f"## `{module}`")
        parts += [_section(kind) for kind in kinds]
    return "\n\n".join(parts) + "\n"


def errors_by_module() -> dict[str, list[type[MintdbError]]]:
    """Every error that has a text of its own, by the module that declares it."""
    for module in walk_packages(mintdb.__path__, "mintdb."):
        try:
            import_module(module.name)
        except ModuleNotFoundError as missing:  # of an extra; what declares errors can be imported without one
            if str(missing.name).startswith("mintdb"):
                raise
    found: dict[str, list[type[MintdbError]]] = {}
    for kind in _below(MintdbError):
        if "text" in vars(kind) and kind.__module__.startswith("mintdb."):
            found.setdefault(kind.__module__, []).append(kind)
    return {module: sorted(set(kinds), key=lambda kind: kind.__name__) for module, kinds in found.items()}


def _below(kind: type[MintdbError]) -> Iterator[type[MintdbError]]:
    for child in kind.__subclasses__():
        yield child
        yield from _below(child)


def _section(kind: type[MintdbError]) -> str:
    said = " ".join((kind.__doc__ or "").split())
    base = next(base for base in kind.__mro__[1:] if issubclass(base, MintdbError)).__name__
    text = textwrap.indent(kind.text.replace("{{", "{").replace("}}", "}"), "    ")
    return f"### {kind.__name__}\n\n{said} A `{base}`.\n\n{text}"


def _rows(page: Path) -> list[list[str]]:
    """The cells of every table's rows, without the heads."""
    lines = page.read_text(encoding="utf-8").splitlines()
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in lines
        if line.startswith("| `") and not line.startswith("|---")
    ]


def _commands(text: str) -> list[str]:
    lines = text.replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.startswith(("#", *ELSEWHERE))]


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _run(command: str, folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    run = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    return run.returncode, run.stdout


def _check(block: Block, code: int, output: str) -> None:
    assert code == 0, f"{block} ended with {code}:\n{output}"


def _compare(block: Block, project: Path, environment: dict[str, str]) -> None:
    """Run each `$ command`, and compare what it prints with what follows it in the block."""
    for step in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, expected = step.partition("\n")
        output = _output(command, project, environment)
        if not re.fullmatch(_pattern(expected), output.strip() + "\n"):
            pytest.fail(f"{block}: $ {command}\n--- the page\n{expected}\n--- really\n{output}", pytrace=False)


def _output(command: str, project: Path, environment: dict[str, str]) -> str:
    """What a command prints; `make demo` is run without making the virtual environment that this runs in."""
    if command == "make demo":
        return _run("mintdb demo", ROOT, environment)[1]
    assert not command.startswith(ELSEWHERE), f"{command}: a transcript that nobody compares"
    return _run(command, project, environment)[1]


def _pattern(expected: str) -> str:
    lines = [
        r"(?:.*\n)*?" if line.strip() == "…" else f"{_line_pattern(line)}\n" for line in expected.strip().split("\n")
    ]
    return "".join(lines)


def _line_pattern(line: str) -> str:
    pattern = re.escape(line.rstrip()).replace("…", ".*")
    pattern = re.sub(r"={3,}", "=+", re.sub(r"_{3,}", "_+", pattern))
    pattern = re.sub(r"(\\ ){2,}", r"\\s+", pattern)
    return re.sub(r"[0-9]+", "[0-9]+", pattern) + r"\s*"


def _flat(text: str) -> str:
    return " ".join(text.replace("\\\\", "\\").split())


if __name__ == "__main__":
    ERRORS.write_text(errors_page(), encoding="utf-8")
