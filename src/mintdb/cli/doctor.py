"""`mintdb doctor`: everything a server needs here is looked at, and what is missing comes with its remedy."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

import click

from mintdb.cli import ready
from mintdb.errors import MintdbError

if TYPE_CHECKING:
    from mintdb.engines.postgresql.checks import Finding
    from mintdb.settings import Settings

FAILED = 1


@click.command(short_help="Check what a server needs here.")
@click.option("--url", metavar="URL", help="Check the server that this URL names, not an embedded one.")
def command(*, url: str | None) -> None:
    """Check what mintdb needs here: programs, rights, room, and a server that really starts and answers.

    Each finding is one line: ok, warn (works, but slower) or fail, and what to do about it. The exit code is 1 if
    something fails.
    """
    from mintdb.settings import load

    settings = load(command_line={"url": url})
    failed = False
    for alias in ready.aliases(settings):
        settings.refuse_protected(alias)  # a check makes the maintenance database
        of_postgresql = settings.get_database(alias).engine == "postgresql"
        failed = not (check_server(settings, alias) if of_postgresql else try_out(settings, alias)) or failed
    sys.exit(FAILED if failed else 0)


def check_server(settings: Settings, alias: str) -> bool:
    """Print what was found of PostgreSQL; whether nothing failed."""
    from mintdb.engines.postgresql.checks import Level, check

    failed = False
    for finding in check(settings, settings.get_database(alias)):
        print(line(finding), flush=True)
        failed = failed or finding.level is Level.FAIL
    return not failed


def try_out(settings: Settings, alias: str) -> bool:
    """Another engine shows by an empty database that it works here, or says itself what is missing."""
    from mintdb.mint import Mint

    empty = replace(settings.get_database(alias), schema="none", seed=(), name=None)
    try:
        with Mint(replace(settings, databases=MappingProxyType({alias: empty}))) as mint:
            server = mint.open(alias).server
            print(f"ok    {server.engine:<10} {server.version}, databases are made at {mint.reserve(alias).redacted}")
    except MintdbError as error:
        print(f"fail  {empty.engine:<10} {error}")
        return False
    return True


def line(finding: Finding) -> str:
    """One finding."""
    remedy = f"  → {finding.remedy}" if finding.remedy else ""
    return f"{finding.level:<5} {finding.need:<10} {finding.found}{remedy}"
