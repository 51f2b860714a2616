"""`django` or `django:ALIAS`: what `migrate` makes of a Django database, migrations run once for each fingerprint."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from traceback import walk_tb
from types import ModuleType
from typing import Any

import django
from django.apps import AppConfig, apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader

from mintdb.address import Address
from mintdb.facts import dataclass
from mintdb.schemas.errors import DjangoAliasMissingError, DjangoMigrationFailedError, DjangoNotConfiguredError
from mintdb.schemas.modules import describe, find_culprit, importing_from
from mintdb.schemas.reading import is_project_file

# What of the settings changes the tables, or the rows that migrations and post_migrate handlers make.
SETTINGS = (
    "AUTH_USER_MODEL",
    "DATABASE_ROUTERS",
    "DEFAULT_AUTO_FIELD",
    "DEFAULT_INDEX_TABLESPACE",
    "DEFAULT_TABLESPACE",
    "INSTALLED_APPS",
    "LANGUAGE_CODE",
    "SITE_ID",
    "TIME_ZONE",
    "USE_TZ",
)
DATA_FOLDERS = ("fixtures", "sql")  # of an app: what its migrations load
IMPORT = re.compile(rb"^\s*(?:from\s+([\w.]+)\s+import\s+([\w, ]+)|import\s+([\w.]+))", re.MULTILINE)
DATABASE_CACHE = "django.core.cache.backends.db.DatabaseCache"
SHOWN = 400  # characters of a statement: what a person reads before scrolling on
DJANGO = Path(django.__file__).parent


@dataclass(frozen=True)
class DjangoMigrations:
    """The migrations of all installed apps, as far as the routers let them into one database."""

    description: str
    alias: str
    root: Path

    def fingerprint(self) -> Iterable[bytes]:
        """Versions, settings, routers, and each app's migration files, or models where it has none.

        Beside a migration, the modules that it imports itself count, and data files in `migrations/`, `fixtures/` and
        `sql/`. What those modules import in turn does not: models import whole projects.
        """
        with self._set_up():
            yield from self._settings()
            homes = [os.path.join(home, "") for home in (str(self.root), *sys.path) if home]
            for file in sorted(map(str, self._files())):
                # Without what only says where a checkout, or its virtual environment, lies.
                yield file.removeprefix(next(filter(file.startswith, homes), "")).encode()
                yield Path(file).read_bytes()

    def build(self, database: Address) -> None:
        """Run `migrate` and `createcachetable`, as Django's test runner does. Raises DjangoMigrationFailedError."""
        with self._set_up(), _connected_to(connections[self.alias], database), self._migrations_wanted(), _unblocked():
            try:
                call_command("migrate", verbosity=0, interactive=False, database=self.alias, run_syncdb=True)
                call_command("createcachetable", database=self.alias, verbosity=0)
            except Exception as error:
                raise self._explain(error) from error

    @contextmanager
    def _set_up(self) -> Iterator[None]:
        with importing_from(self.root):
            try:
                if not apps.ready:
                    django.setup()
                databases = connections.settings
            except ImproperlyConfigured as error:
                raise DjangoNotConfiguredError(setting=self.description, error=error) from None
            if self.alias not in databases:
                known = ", ".join(databases)
                raise DjangoAliasMissingError(setting=self.description, alias=self.alias, known=known)
            yield

    @contextmanager
    def _migrations_wanted(self) -> Iterator[None]:
        """TEST["MIGRATE"] = False makes the tables from the models, as `--no-migrations` does."""
        before = settings.MIGRATION_MODULES
        if not connections[self.alias].settings_dict["TEST"]["MIGRATE"]:
            settings.MIGRATION_MODULES = {config.label: None for config in apps.get_app_configs()}
        try:
            yield
        finally:
            settings.MIGRATION_MODULES = before

    def _settings(self) -> Iterator[bytes]:
        yield f"django {django.__version__} {self.alias}".encode()
        swappable = {m._meta.swappable for m in apps.get_models(include_swapped=True) if m._meta.swappable}
        for name in sorted({*SETTINGS, *swappable}):
            yield f"{name} = {getattr(settings, name, None)!r}".encode()
        caches = (cache.get("LOCATION") for cache in settings.CACHES.values() if cache.get("BACKEND") == DATABASE_CACHE)
        yield f"caches {sorted(map(str, caches))}".encode()
        for alias, database in sorted(connections.settings.items()):
            options = database["OPTIONS"] if alias == self.alias else {}
            yield f"{alias} {database['ENGINE']} {options.get('assume_role')}".encode()

    def _files(self) -> set[Path]:
        found = {file for each in router.routers if (file := _file_of(sys.modules.get(type(each).__module__)))}
        with self._migrations_wanted():
            for config in apps.get_app_configs():
                found |= _migration_files(config) or _model_files(config)
        return found

    def _explain(self, error: Exception) -> DjangoMigrationFailedError:
        frames = [frame for frame, _ in walk_tb(error.__traceback__)]
        migration = _find(frames, "self", Migration)
        statement = _find(frames, "sql", str)
        return DjangoMigrationFailedError(
            setting=self.description,
            migration=f"migration {migration}" if migration else "migrate",
            error=describe(error).splitlines()[0],
            where=self._where(error, migration),
            statement=f"\n  statement  {' '.join(statement.split())[:SHOWN]}" if statement else "",
        )

    def _where(self, error: Exception, migration: Migration | None) -> str:
        """The project's own line; a migration of plain operations has none, but a file."""
        culprit = find_culprit(error, self.root)
        file = _file_of(sys.modules.get(type(migration).__module__))
        if file is None or "site-packages" not in culprit:
            return culprit
        return str(file.relative_to(self.root) if file.is_relative_to(self.root) else file)


def get_source(argument: str, *, setting: str, root: Path) -> DjangoMigrations:
    """The source for `django:ARGUMENT`. Nothing is set up before it is used."""
    return DjangoMigrations(setting, argument or DEFAULT_DB_ALIAS, root)


@contextmanager
def _connected_to(connection: Any, database: Address) -> Iterator[None]:  # Any: Django's wrapper is untyped
    """Let an alias lead to `database` for the block, and leave no session behind."""
    place = {
        "NAME": database.database,
        "HOST": database.host,
        "PORT": str(database.port or ""),
        "USER": database.user,
        "PASSWORD": database.password,
    }
    before = {key: connection.settings_dict[key] for key in place}
    _let_go(connection)
    connection.settings_dict.update(place)
    try:
        yield
    finally:
        _let_go(connection)
        connection.settings_dict.update(before)


def _let_go(connection: Any) -> None:  # Any: see _connected_to
    connection.close()
    if hasattr(connection, "close_pool"):  # since Django 5.1
        connection.close_pool()


def _unblocked() -> AbstractContextManager[object]:
    """pytest-django refuses connections outside of its own database tests; building a template is nobody's test."""
    guard: Any = getattr(BaseDatabaseWrapper.ensure_connection, "__self__", None)  # Any: its type is not imported
    return guard.unblock() if guard is not None else contextlib.nullcontext()


def _migration_files(config: AppConfig) -> set[Path]:
    """What decides an app's migrations; empty where it has none."""
    name, _ = MigrationLoader.migrations_module(config.label)
    folders = _folders_of(name) if name else []
    files = {file for folder in folders for file in folder.rglob("*") if _counts(file)}
    if not files or DJANGO in Path(config.path).parents:  # Django's own are told by its version
        return files
    data = {f for folder in DATA_FOLDERS for f in (Path(config.path) / folder).rglob("*") if _counts(f)}
    return files | data | {module for file in files if file.suffix == ".py" for module in _imported_by(file)}


def _folders_of(package: str) -> Sequence[Path]:
    try:
        spec = find_spec(package)
    except ModuleNotFoundError:
        return []
    return [Path(folder) for folder in (spec.submodule_search_locations if spec else None) or ()]


def _counts(file: Path) -> bool:
    """A folder of bytecode comes and goes, with files of passing names while another process compiles."""
    return is_project_file(file) and file.is_file()


def _imported_by(migration: Path) -> Iterator[Path]:
    """The files of the modules that it imports, but for Django's own."""
    for module, names, plain in IMPORT.findall(migration.read_bytes()):
        base = (module or plain).decode()
        if base.partition(".")[0] != "django" and not base.startswith("."):
            below = [f"{base}.{name.strip()}" for name in names.decode().split(",")]
            yield from filter(None, (_file_of(sys.modules.get(name)) or _found(name) for name in [base, *below]))


def _found(module: str) -> Path | None:
    with contextlib.suppress(ImportError, ValueError, AttributeError):
        spec = find_spec(module)
        if spec is not None and spec.origin and spec.has_location:
            return Path(spec.origin)
    return None


def _model_files(config: AppConfig) -> set[Path]:
    """Where an app's models, what they inherit from, and their fields are written; Django's version tells the rest."""
    kinds = {kind for model in config.get_models() for kind in model.__mro__}
    kinds |= {type(field) for model in config.get_models() for field in model._meta.local_fields}
    files = {_file_of(sys.modules.get(kind.__module__)) for kind in kinds}
    return {file for file in files if file and DJANGO not in file.parents}


def _file_of(module: ModuleType | None) -> Path | None:
    name = getattr(module, "__file__", None)
    return Path(name) if name and Path(name).is_file() else None


def _find(frames: Sequence[Any], name: str, kind: type) -> Any:  # Any: a frame's variables may be anything
    """The innermost variable of that name and kind on the way to an error."""
    found = (frame.f_locals.get(name) for frame in reversed(frames))
    return next((value for value in found if isinstance(value, kind)), None)
