"""`mintdb env`: what each setting is, and where it came from."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING

import click

from mintdb.address import redact
from mintdb.cli import tables

if TYPE_CHECKING:
    from mintdb.settings import DatabaseSettings, Settings

HEADS = ("setting", "value", "from")


@click.command(short_help="Show what each setting is, and where it came from.")
@click.option("--env", metavar="NAME", help="The environment of the settings file whose table counts.")
def command(**given: str | None) -> None:
    """Show the environment that is chosen, and each setting with where its value came from. Passwords are hidden."""
    from mintdb.settings import load

    settings = load(command_line=given)
    print("\n".join(head(settings)))
    tables.show(HEADS, list(rows(settings)))
    for line in ignored(os.environ):
        print(line)


def head(settings: Settings) -> Iterator[str]:
    """What the settings are of."""
    yield f"file         {settings.file or 'none'}"
    chosen = f"{settings.env}{', protected' if settings.protected else ''}" if settings.env else "none"
    others = ", ".join(name for name in settings.environments if name != settings.env)
    yield f"environment  {chosen}" + (f"; there is also {others}" if others else "")
    yield ""


def rows(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """Every setting of the run, and of each database."""
    from mintdb.settings import DATABASE_KEYS, RUN_KEYS

    for key in RUN_KEYS:
        yield key, _shown(getattr(settings, key)), settings.origins.get(key, "default")
    for alias, database in settings.databases.items():
        for key in DATABASE_KEYS:
            yield f"{alias}.{key}", _shown(getattr(database, key)), _origin(settings, database, key)


def ignored(environ: Mapping[str, str]) -> Iterator[str]:
    """Variables that look like mintdb's and that it does not read."""
    from mintdb.settings.expansion import find_unknown

    for variable in find_unknown(environ):
        yield f"variable {variable} is not read by mintdb"


def _origin(settings: Settings, database: DatabaseSettings, key: str) -> str:
    origin = settings.origins.get(f"{database.alias}.{key}")
    default = next(field.default for field in fields(database) if field.name == key)
    if origin is None and database.mirror and getattr(database, key) not in (default, (), {}):
        return f"database {database.mirror}"
    return origin or "default"


def _shown(value: object) -> str:
    if value is None or value in ((), {}):
        return "none"
    plain = dict(value) if isinstance(value, Mapping) else value
    return redact(json.dumps(plain, ensure_ascii=False, default=str))
