"""Read the Python sources that decide what a module's code does, without importing it."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

from mintdb.schemas.reading import list_sql_files


def read_sources(module: str) -> Iterable[bytes]:
    """What decides what a module's code does, as far as it can be read cheaply, in a stable order.

    That is its own source; the sources of the modules of its own top-level package (of its own folder, where it stands
    in none) that it imports, and that those import, at any depth; and the *.sql files beside all of these. Other data
    files, installed packages and imports by computed name are not seen.
    """
    home, prefix = _find_home(module)
    seen: dict[Path, ast.Module] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        file = _find_file(home, prefix, name)
        if file is not None and file not in seen:
            seen[file] = _parse(file)
            waiting += _parents(name)
            waiting += _imported(seen[file], name, is_package=file.name == "__init__.py")
    data = {sql for folder in {file.parent for file in seen} for sql in list_sql_files(folder, str(folder))}
    for file in sorted([*seen, *data]):
        yield str(file.relative_to(home)).encode()
        yield file.read_bytes()


def _find_home(module: str) -> tuple[Path, str]:
    """The folder that a module's top-level package stands in, and that package's name; "" for a lone module."""
    top = module.partition(".")[0]
    spec = find_spec(top)
    if spec is None:
        return Path(), top
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).parent, top
    return Path(spec.origin or "").parent, ""


def _find_file(home: Path, prefix: str, name: str) -> Path | None:
    if prefix and name.partition(".")[0] != prefix:
        return None
    base = home.joinpath(*name.split("."))
    candidates = (base / "__init__.py", base.with_name(f"{base.name}.py"))
    return next((file for file in candidates if file.is_file()), None)


def _parse(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # importing it will say so, and better
        return ast.Module([], [])


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def _imported(tree: ast.Module, name: str, *, is_package: bool) -> Iterator[str]:
    """The full names that a module may import; `from a import b` yields both a and a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = name.split(".")
            above = parts[: len(parts) - node.level + is_package] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            yield origin
            yield from (f"{origin}.{alias.name}" for alias in node.names)
