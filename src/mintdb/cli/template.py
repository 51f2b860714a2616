"""`mintdb template`: the templates that there are, and how to build or drop one by hand."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from mintdb.cli import MINTDB_FAILED, ready, say, tables
from mintdb.cli.observed import servers
from mintdb.cli.progress import Progress
from mintdb.cli.words import size

if TYPE_CHECKING:
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
    from mintdb.engines.postgresql.observing import templates

    _wake()
    found = [facts for maintenance in servers(url) for facts in templates(maintenance)]
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
    from mintdb.engines.postgresql import databases
    from mintdb.engines.postgresql.observing import templates

    if not names and not everything:
        raise click.UsageError("name a template, or say --all")
    _wake()
    dropped: set[str] = set()
    for maintenance in servers(url):
        for facts in templates(maintenance):
            if everything or facts.name in names:
                databases.drop_template(maintenance, facts.name)
                dropped.add(facts.name)
                say(f"dropped {facts.name}")
    for name in set(names) - dropped:
        say(f"there is no template {name}")
    sys.exit(0 if dropped >= set(names) else MINTDB_FAILED)


def _wake() -> None:
    """An embedded server that has stopped since keeps its templates; whoever asks for them has to start it."""
    from mintdb.core.names import new_token
    from mintdb.engines.postgresql import inventory, reserve
    from mintdb.settings import DatabaseSettings, load

    if not inventory.find_running():
        settings = load()
        reservation = reserve(DatabaseSettings(), settings, slot="")
        reservation.open(owner=new_token(), linger=settings.linger, let_go=lambda database: None).close()
