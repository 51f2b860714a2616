"""`mintdb up`: the embedded server stays, with a fresh database of the project's schema on it."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

import click

from mintdb.cli import ready, say
from mintdb.cli.progress import Progress
from mintdb.core.names import slug
from mintdb.engines.postgresql.errors import NothingToKeepHere
from mintdb.errors import SettingsError
from mintdb.report.words import describe

if TYPE_CHECKING:
    from mintdb.contract import Session
    from mintdb.settings import Settings


class NoServerToStay(SettingsError):
    """`up` was asked for, and the engine is not PostgreSQL. Facts: engine."""

    text = """\
mintdb up is for PostgreSQL, and the engine here is {engine}
  1. a database that stays for as long as a command, a shell for one:  mintdb run -- bash"""


@click.command(short_help="Start the embedded PostgreSQL server, and let it stay with a fresh database.")
@click.option("--name", metavar="NAME", help="The database's name; mint_PROJECT_up if none is configured.")
@click.option("--schema", metavar="SOURCE", help="Where the tables come from: sql:db/, python:module:function, …")
def command(**given: str | None) -> None:
    """Start the embedded PostgreSQL server and let it stay, and put a fresh database of the project's schema on it.

    Prints the database's URL, and nothing else, on stdout. A database of an earlier `up` is replaced; whoever was
    connected to it is named. `mintdb down` drops it and stops the server.
    """
    from mintdb.settings import load

    settings = with_name(load(command_line=given))
    for session in who_will_be_ended(settings):
        say(f"ended by the refresh: {describe(session)}")
    with Progress() as progress:
        mint = ready.open_all(settings, progress.announce)
    ready.keep(mint, ready.main_alias(settings))
    ready.leave(mint, keep=True)
    print(mint.reserve(ready.main_alias(settings)).url)


def with_name(settings: Settings) -> Settings:
    """The settings of the main database alone, which has a name under which the next `up` finds it.

    Raises NoServerToStay for another engine, and NothingToKeepHere where the settings name an external server.
    """
    alias = ready.main_alias(settings)
    database = settings.get_database(alias)
    if database.engine != "postgresql":
        raise NoServerToStay(engine=database.engine)
    if database.url:
        from mintdb.address import redact

        raise NothingToKeepHere(url=redact(database.url))
    name = database.name or f"mint_{slug(settings.project)}_up"
    return replace(settings, databases=MappingProxyType({alias: replace(database, name=name)}))


def who_will_be_ended(settings: Settings) -> list[Session]:
    """Who is connected to the database of an earlier `up`."""
    from mintdb.connections.foreign import traced
    from mintdb.engines.postgresql import inventory
    from mintdb.mint import Mint

    address = Mint(settings).reserve(ready.main_alias(settings))
    running = inventory.find_by_port(address.port)
    return [traced(session) for session in inventory.connected(running, address.database)] if running else []
