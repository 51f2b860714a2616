"""Give SQLAlchemy's engines on `sqlite://` the file that the application's memory is, and the pool that a file has.

Without it `:memory:` would lead there all the same, but by one connection for each thread, or one for all tasks.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from mintdb.connections import files
from mintdb.connections.hooks.patch import Function, Patches

OF_SQLITE3 = ("timeout", "isolation_level", "detect_types", "check_same_thread", "cached_statements")
CLASSES = ("SQLiteDialect_pysqlite", "SQLiteDialect_aiosqlite")

# SQLAlchemy's objects are `Any` here: mintdb is type-checked where SQLAlchemy is not installed.


def install(dialects: ModuleType) -> Callable[[], None]:
    """Hook the two questions that an engine asks its dialect about a URL."""
    patches = Patches()
    for name in CLASSES:
        dialect = vars(dialects).get(name)
        if dialect is not None and dialect.__module__ == dialects.__name__:
            if "create_connect_args" in vars(dialect):
                patches.replace(dialect, "create_connect_args", _create_connect_args)
            patches.replace(dialect, "get_pool_class", _get_pool_class)
    return patches.undo


def adopt(dialects: ModuleType, thing: object) -> None:
    """An engine that was made before keeps its memory."""


def _create_connect_args(original: Function) -> Function:
    def create_connect_args(self: Any, url: Any) -> Any:  # Any: see above
        return original(self, _led(self, url))

    return create_connect_args


def _get_pool_class(original: Any) -> Any:  # Any: a classmethod object
    def get_pool_class(cls: Any, url: Any) -> Any:  # Any: see above
        return original.__func__(cls, _led(cls, url))

    return classmethod(get_pool_class)


def _led(dialect: Any, url: Any) -> Any:  # Any: see above
    """The URL of the file, where this one is of memory and the application's."""
    if files.memory is None or dialect._is_url_file_db(url) or not files.is_of_the_application(skip=3):
        return url
    return url.set(database=files.memory, query={k: v for k, v in url.query.items() if k in OF_SQLITE3})
