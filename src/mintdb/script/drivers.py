"""What a double has to know of a driver: its classes, and the few ways in which drivers differ from each other."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple, cast

from mintdb.facts import dataclass
from mintdb.script.errors import NotADriver

SNOWFLAKE = "snowflake.connector"
# The classes that `connect` and `cursor` return, by the path within the driver.
CLASSES = {
    SNOWFLAKE: ("connection.SnowflakeConnection", "cursor.SnowflakeCursor"),
    "psycopg2": ("extensions.connection", "extensions.cursor"),
    "pymysql": ("connections.Connection", "cursors.Cursor"),
}
USUAL = (("Connection", "Cursor"), ("connection", "cursor"))
RETURNS_NOTHING = ("psycopg2",)  # from execute
RETURNS_COUNT = ("pymysql", "MySQLdb")
NAMES_COLUMNS = ("psycopg", "psycopg2")  # in a description, by an attribute
CLOSES_WITH_BLOCK = (SNOWFLAKE, "psycopg")


class Column(NamedTuple):
    """What a description says of one column, as PEP 249 has it."""

    name: str
    type_code: int | None = None
    display_size: int | None = None
    internal_size: int | None = None
    precision: int | None = None
    scale: int | None = None
    null_ok: bool | None = None


@dataclass(frozen=True)
class Driver:
    """One DB-API module."""

    name: str
    module: ModuleType
    connection: type
    cursor: type

    @property
    def is_snowflake(self) -> bool:
        return self.name == SNOWFLAKE

    @property
    def error(self) -> type[Exception]:
        """The base of the driver's own errors."""
        found: type[Exception] = self.module.Error
        return found

    def describe(self, columns: Sequence[str]) -> list[Any]:  # Any: the driver's own description
        """A cursor's description of columns of which only the names are known."""
        if self.name in NAMES_COLUMNS:
            return [Column(name) for name in columns]
        if not self.is_snowflake:
            return [(name, None, None, None, None, None, None) for name in columns]
        metadata = import_module(f"{SNOWFLAKE}.cursor").ResultMetadata
        return [metadata(name, TEXT, None, None, None, None, True) for name in columns]


TEXT = 2  # the connector's type code of a text


def find_driver(name: str, connection: type | None = None, cursor: type | None = None) -> Driver:
    """The driver of that module name. Raises NotADriver."""
    try:
        module = import_module(name)
    except ImportError as error:
        raise NotADriver(name=name, why=error) from None
    if not (hasattr(module, "connect") and hasattr(module, "Error")):
        raise NotADriver(name=name, why="it has no connect() or no Error")
    found = (connection, cursor) if connection and cursor else _find_classes(name, module)
    if found is None:
        raise NotADriver(name=name, why="its classes for connections and cursors are not where others have theirs")
    return Driver(name, module, *found)


def _find_classes(name: str, module: ModuleType) -> tuple[type, type] | None:
    for connection, cursor in [CLASSES[name]] if name in CLASSES else USUAL:
        found = _find(module, connection), _find(module, cursor)
        if None not in found:
            return cast("tuple[type, type]", found)
    return None


def _find(module: ModuleType, path: str) -> type | None:
    found: Any = module  # Any: whatever the path leads to
    for step in path.split("."):
        found = getattr(found, step, None) or _submodule(found, step)
    return found if isinstance(found, type) else None


def _submodule(parent: object, name: str) -> ModuleType | None:
    try:
        return import_module(f"{getattr(parent, '__name__', '')}.{name}")
    except (ImportError, ValueError):
        return None
