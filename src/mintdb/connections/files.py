"""Which SQLite files are the tests': those with names of mintdb's, and the one that `:memory:` leads to meanwhile."""

from __future__ import annotations

import os
from functools import lru_cache
from threading import current_thread, main_thread

from mintdb.connections.stack import is_app, is_library, take

MEMORY = ":memory:"
PREFIX = "mint_"  # of every name that core.names makes
# What opens databases in the application's name, at an address that the application has given.
CARRIERS = {
    *("sqlalchemy", "aiosqlite", "sqlmodel", "flask_sqlalchemy", "databases", "dataset", "records", "sqlite_utils"),
    *("peewee", "playhouse", "pony", "tortoise", "piccolo", "ormar", "pandas", "greenlet"),
}
TYPED = ("<string>", "<stdin>")  # python -c, and what is typed

memory: str | None = None
"""The file that an application's in-memory database is, for as long as one is configured; None: it stays in memory."""

fixed: set[str] = set()
"""Files whose names the application has hard-wired."""


tested: str | None = None
"""The distribution that is tested; what it has installed is the application, and no library."""


def lead_memory_to(path: str | None, *, application: str | None = None) -> None:
    """From now on an application that opens a database in memory gets the one at `path`; None: its own again."""
    global memory, tested
    memory, tested = path, application or tested
    if path is not None:
        fixed.add(path)


def is_ours(path: str) -> bool:
    """Whether a file is one of mintdb's databases."""
    return os.path.basename(path).startswith(PREFIX) or path in fixed


def known_as(path: str) -> str:
    """The path by which a database of mintdb's is known, where a symbolic link leads to one; else the path itself."""
    if is_ours(path):
        return path
    real = os.path.realpath(path)
    return real if is_ours(real) else next((each for each in fixed if os.path.realpath(each) == real), path)


def is_memory(database: str) -> bool:
    """Whether a name that SQLite is given is of a database in memory, private or shared by name."""
    if database == MEMORY:
        return True
    name, _, query = database.partition("?")
    return name == f"file:{MEMORY}" or (name.startswith("file:") and "mode=memory" in query.split("&"))


def path_of(database: str) -> str:
    """The absolute path of a file, of whatever form its name is."""
    if database.startswith("file:"):
        database = database.removeprefix("file:").partition("?")[0]
        database = "/" + database.lstrip("/") if database.startswith("/") else database
    return os.path.abspath(database)


def is_of_the_application(*, skip: int = 1) -> bool:
    """Whether the application asks, itself or through a library that carries its wishes; not one for its own ends.

    coverage, Hypothesis and many others keep things in SQLite, too: the innermost frame that is neither of the
    standard library nor a carrier's decides. A thread without one was handed the call itself: `submit(connect, …)`.
    """
    for code in take(skip=skip + 1)[::2]:
        file = code.co_filename if not isinstance(code, int) else ""
        if file in TYPED:
            return True
        if not _only_carries(file):
            return is_app(file) or _below_packages(file) in _files_of(tested)
    return current_thread() is not main_thread()


HOOKS = os.path.join(os.path.dirname(__file__), "hooks", "")  # some of mintdb's stand between a library and its driver


def _only_carries(file: str) -> bool:
    if file.startswith(("<", HOOKS)) or is_library(file):
        return True
    return _below_packages(file).partition("/")[0].removesuffix(".py") in CARRIERS


def _below_packages(file: str) -> str:
    """An installed file's path in `site-packages`; empty for what is not installed."""
    _, found, below = file.replace("\\", "/").rpartition("-packages/")
    return below if found else ""


@lru_cache(maxsize=8)
def _files_of(distribution: str | None) -> frozenset[str]:
    """What a distribution has installed, each file as `_below_packages` has it; none where it is installed editable."""
    if distribution is None:
        return frozenset()
    from importlib import metadata  # for who opens memory from an installed package

    try:
        return frozenset(map(str, metadata.files(distribution) or ()))
    except (metadata.PackageNotFoundError, ValueError):  # a name that no distribution can have
        return frozenset()
