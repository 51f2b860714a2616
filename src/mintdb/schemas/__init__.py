"""Where tables come from: one module for each kind of schema source, imported only when a setting names it."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from types import ModuleType

from mintdb.address import Address
from mintdb.contract import SchemaSource
from mintdb.facts import dataclass
from mintdb.schemas.errors import LibraryMissingError, UnknownSourceError
from mintdb.settings import DatabaseSettings

__all__ = ["NoSchema", "get_layers", "get_source"]

NONE = "none"
DJANGO = "django"  # without an argument: the alias "default"
EXTRAS = {"sqlalchemy": "sqlalchemy", "psycopg": "postgresql", "django": "django"}
MODULES = {
    "sql": "sql_files",
    "python": "python",
    "metadata": "metadata",
    "alembic": "alembic",
    "django": "django",
    "dump": "dump",
    "evolutions": "evolutions",
    "source": "own",
}


@dataclass(frozen=True)
class NoSchema:
    """An empty database."""

    description: str = ""

    def fingerprint(self) -> Iterable[bytes]:
        """Nothing decides what nothing makes."""
        return ()

    def build(self, database: Address) -> None:
        """Leave `database` as it is."""


def get_layers(database: DatabaseSettings, *, root: Path) -> list[SchemaSource]:
    """What fills a database's template: extensions and schema, then each seed. Raises as `get_source` does."""
    schema, *seeds = [get_source(setting, root=root) for setting in (database.schema, *database.seed)]
    if database.extensions:
        from mintdb.schemas.extensions import WithExtensions

        schema = WithExtensions(database.extensions, schema)
    return [schema, *seeds]


def get_source(setting: str, *, root: Path) -> SchemaSource:
    """The schema source that a setting such as `sql:db/` names; relative paths and imports begin at `root`.

    Nothing is read or imported but the module for that kind. Raises UnknownSourceError and LibraryMissingError.
    """
    if setting.strip() in ("", NONE):
        return NoSchema()
    kind, colon, argument = setting.partition(":")
    if (not colon and kind != DJANGO) or kind not in MODULES:
        raise _unknown(setting, kind)
    source: SchemaSource = _import(kind, setting).get_source(argument, setting=setting, root=root)
    return source


def _import(kind: str, setting: str) -> ModuleType:
    try:
        return import_module(f"{__name__}.{MODULES[kind]}")
    except ModuleNotFoundError as missing:
        library = missing.name or ""
        if library not in EXTRAS:
            raise
        raise LibraryMissingError(setting=setting, library=library, extra=EXTRAS[library]) from None


def _unknown(setting: str, kind: str) -> UnknownSourceError:
    known = [NONE, *(f"{name}:" for name in MODULES)]
    import difflib  # for a word that nobody knows

    close = difflib.get_close_matches(f"{kind}:", known, n=1, cutoff=0)
    nearest = f"sql:{setting}" if setting.endswith((".sql", "/")) and ":" not in setting else close[0]
    return UnknownSourceError(setting=setting, kind=kind, nearest=nearest, known=", ".join(known))
