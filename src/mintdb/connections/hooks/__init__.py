"""See every connection of the process, whatever name its driver's `connect` was bound to.

A driver is hooked at the moment it has been imported, or in place if that was earlier; nothing third-party is imported
from here. A driver whose entry points moved is left alone and named by `unseen`.
"""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Protocol, cast

from mintdb.connections.hooks.patch import UNSEEN, cannot_see
from mintdb.connections.hooks.threads import follow

# Third-party module -> the module of this package that hooks it. Another engine's driver is one line more.
HOOKS = {
    "psycopg": "psycopg3",
    "psycopg_pool": "psycopg_pool",
    "psycopg2": "psycopg2",
    "asyncpg": "asyncpg",
    "pymysql": "pymysql",
    "MySQLdb": "mysqlclient",
    "asyncmy": "asyncmy",
    "aiomysql": "aiomysql",
    "sqlite3": "sqlite3",
    "aiosqlite": "aiosqlite",
    "sqlalchemy": "sqlalchemy",
    "sqlalchemy.dialects.sqlite.pysqlite": "sqlalchemy_sqlite",
    "sqlalchemy.dialects.sqlite.aiosqlite": "sqlalchemy_sqlite",
    "django.db": "django",
    "mintdb.engines.snowflake.sessions": "snowflake",  # emulated: what it stands for is refused, and never connects
}


class Hook(Protocol):
    """A module of this package."""

    def install(self, module: ModuleType) -> Callable[[], None]:
        """Hook a driver that has been imported; returns what undoes it. Raises Moved."""

    def adopt(self, module: ModuleType, thing: object) -> None:
        """Account for an object that was made before the driver was hooked, if it is one of the driver's.

        It must not be asked by isinstance(): that asks for `__class__`, which wakes lazy objects of other libraries.
        """


_undo: dict[str, Callable[[], None]] = {}


def watch() -> None:
    """Account for every connection that is opened from now on, and for those that hooked drivers have open already."""
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)
        _undo["threading"] = follow()
    imported = [(name, module) for name in HOOKS if (module := sys.modules.get(name)) and _is_complete(module)]
    hooks = [(hook, module) for name, module in imported if (hook := _install(name, module))]
    if hooks:
        _adopt(hooks)


def _is_complete(module: ModuleType) -> bool:
    return not getattr(module.__spec__, "_initializing", False)


def _adopt(hooks: Sequence[tuple[Hook, ModuleType]]) -> None:
    """Look once through all objects for what the drivers had made before; most cost one look into a table."""
    asked: dict[int, list[tuple[Hook, ModuleType]]] = {}  # by the class's id: a class need not be hashable
    for thing in gc.get_objects():
        kind = type(thing)
        if (concerned := asked.get(id(kind))) is None:
            concerned = asked[id(kind)] = [(hook, module) for hook, module in hooks if _is_of(kind, module)]
        for hook, module in concerned:
            with suppress(Exception):  # one that is half made, for its own __init__ has failed, lacks what is asked for
                hook.adopt(module, thing)


def _is_of(kind: type, module: ModuleType) -> bool:
    """Whether a class, or one that it is derived from, comes from the package of a module."""
    package = module.__name__.partition(".")[0]
    return any(str(getattr(base, "__module__", "")).partition(".")[0] == package for base in kind.__mro__)


def unwatch() -> None:
    """Put every driver back as it was; connections that are open stay in the ledger."""
    if _FINDER in sys.meta_path:
        sys.meta_path.remove(_FINDER)
    while _undo:
        _undo.popitem()[1]()
    UNSEEN.clear()


def is_watching() -> bool:
    return _FINDER in sys.meta_path


def unseen() -> dict[str, str]:
    """Drivers whose connections cannot be seen, each with the reason."""
    return dict(UNSEEN)


def _install(name: str, module: ModuleType) -> Hook | None:
    """Hook one driver; None if it is hooked already or cannot be."""
    if name in _undo:
        return None
    hook = cast(Hook, importlib.import_module(f"{__name__}.{HOOKS[name]}"))
    try:
        _undo[name] = hook.install(module)
    except Exception as reason:  # noqa: BLE001  whatever a driver's new version does, the suite goes on
        cannot_see(name, reason)
        return None
    return hook


class _Finder(MetaPathFinder):
    """Hands a driver's import to the finders behind it, and hooks the driver when its module has executed."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in HOOKS:
            return None
        for finder in sys.meta_path:
            if finder is not self and (spec := finder.find_spec(name, path, target)):
                if spec.loader is not None:
                    spec.loader = _HookingLoader(spec.loader)
                return spec
        return None


class _HookingLoader(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # The real loader comes back first: the driver may look for its own data files through it.
        module.__loader__ = self._loader
        assert module.__spec__ is not None
        module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        if is_watching():
            _install(module.__name__, module)

    def __getattr__(self, name: str) -> object:
        return getattr(self._loader, name)


_FINDER = _Finder()
