"""`mintdb template`: the templates that there are, and how to build or drop one by hand."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import click

from mintdb.cli import MINTDB_FAILED, ready, say, tables
from mintdb.cli.observed import ask_all
from mintdb.cli.progress import Progress
from mintdb.cli.words import size

if TYPE_CHECKING:
    from mintdb.contract import Observer
    from mintdb.mint import Mint

DIFFERS = 1  # exit code, as diff has it
LINES_SHOWN = 60  # of a difference
HEADS = ("template", "project", "size", "last used")


@click.group(short_help="List, build, verify or drop templates.")
def command() -> None:
    """The templates that clones are copied from: one for each schema, built when a run first needs it."""


@command.command("list")
@click.option("--url", metavar="URL", help="Look on the server that this URL names too.")
def show(*, url: str | None) -> None:
    """Show every template, the last used first."""
    with _awake():
        found = ask_all(url, lambda server: server.templates())
    rows = [(t.name, t.project, size(t.size), f"{t.used_at.astimezone():%Y-%m-%d %H:%M:%S}") for t in found]
    if rows:
        tables.show(HEADS, rows)
    else:
        print("there are no templates")


@command.command()
@click.option("--fresh", is_flag=True, help="Build them anew, whether they are there or not.")
@click.option("--url", metavar="URL", help="Build them on the server that this URL names.")
@click.option("--schema", metavar="SOURCE", help="Where the tables come from: sql:db/, python:module:function, …")
def build(*, fresh: bool, **given: str | None) -> None:
    """Build the templates of the project's databases, so that no run has to."""
    from mintdb.core.names import new_token
    from mintdb.mint import Mint
    from mintdb.settings import load

    settings = load(command_line=given)
    with Progress() as progress, Mint(settings, fresh=new_token() if fresh else "", announce=progress.announce) as mint:
        for alias in ready.aliases(settings):
            template = mint.open(alias).template
            say(f"{alias}: {template.name} {'was built' if template.built else 'is there already'}")


@command.command()
@click.option("--env", metavar="NAME", help="The environment of the settings file whose table counts.")
@click.option("--url", metavar="URL", help="Look on the server that this URL names.")
@click.option("--schema", metavar="SOURCE", help="Where the tables come from: sql:db/, python:module:function, …")
def verify(**given: str | None) -> None:
    """Build the project's templates anew, and say where the cached ones differ. They stay as they are.

    The exit code is 1 if one differs: a migration has changed in a way that its fingerprint does not see, or what it
    writes is not the same twice.
    """
    from mintdb.mint import Mint
    from mintdb.settings import load
    from mintdb.verification import settings_to_verify

    settings = settings_to_verify(load(command_line=given))
    with Progress() as progress, Mint(settings, announce=progress.announce) as mint:
        sound = [_verify(mint, alias) for alias in ready.aliases(settings)]
    sys.exit(0 if all(sound) else DIFFERS)


def _verify(mint: Mint, alias: str) -> bool:
    from mintdb.verification import verify

    found = verify(mint, alias)
    if not found.was_cached:
        print(f"{alias}: no template was cached; {found.name} was built now")
    elif found.is_sound:
        print(f"{alias}: {found.name} is what is built now")
    else:
        print(f"{alias}: {found.name} differs from what is built now")
        print("\n".join(found.differences[:LINES_SHOWN]))
        if len(found.differences) > LINES_SHOWN:
            print(f"… and {len(found.differences) - LINES_SHOWN} more lines")
        print("to have it as it is built now:  mintdb template build --fresh")
    return found.is_sound


@command.command()
@click.argument("names", metavar="TEMPLATE...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Drop every template.")
@click.option("--url", metavar="URL", help="Look on the server that this URL names too.")
def drop(names: tuple[str, ...], *, everything: bool, url: str | None) -> None:
    """Drop templates, and the clones that wait for a run; the next run that needs one builds it."""
    if not names and not everything:
        raise click.UsageError("name a template, or say --all")
    with _awake():
        dropped = set(ask_all(url, lambda server: _drop(server, names, everything=everything)))
    for name in set(names) - dropped:
        say(f"there is no template {name}")
    sys.exit(0 if dropped >= set(names) else MINTDB_FAILED)


def _drop(server: Observer, names: tuple[str, ...], *, everything: bool) -> Iterator[str]:
    for facts in server.templates():
        if everything or facts.name in names:
            server.drop_template(facts.name)
            say(f"dropped {facts.name}")
            yield facts.name


@contextmanager
def _awake() -> Iterator[None]:
    """An embedded server that has stopped keeps its templates: the project's own run until the block is left."""
    from mintdb.core.names import new_token
    from mintdb.engines import WITH_SERVERS, get_engine
    from mintdb.settings import DatabaseSettings, load

    settings = load()
    embedded = [each for each in settings.databases.values() or [DatabaseSettings()] if not (each.url or each.mirror)]
    with ExitStack() as stack:
        for database in embedded:
            if database.engine in WITH_SERVERS:
                reservation = get_engine(database.engine).reserve(database, settings, slot="")
                server = reservation.open(owner=new_token(), linger=settings.linger, let_go=lambda database: None)
                stack.callback(server.close)
        yield
