"""`mintdb doctor`: everything a server needs here is looked at, and what is missing comes with its remedy."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from mintdb.cli import ready

if TYPE_CHECKING:
    from mintdb.engines.postgresql.checks import Finding

FAILED = 1


@click.command(short_help="Check what a server needs here.")
@click.option("--url", metavar="URL", help="Check the server that this URL names, not an embedded one.")
def command(*, url: str | None) -> None:
    """Check what mintdb needs here: programs, rights, room, and a server that really starts and answers.

    Each finding is one line: ok, warn (works, but slower) or fail, and what to do about it. The exit code is 1 if
    something fails.
    """
    from mintdb.engines.postgresql.checks import Level, check
    from mintdb.settings import load

    settings = load(command_line={"url": url})
    failed = False
    for alias in ready.aliases(settings):
        settings.refuse_protected(alias)  # a check makes the maintenance database
        for finding in check(settings, settings.get_database(alias)):
            print(line(finding), flush=True)
            failed = failed or finding.level is Level.FAIL
    sys.exit(FAILED if failed else 0)


def line(finding: Finding) -> str:
    """One finding."""
    remedy = f"  → {finding.remedy}" if finding.remedy else ""
    return f"{finding.level:<5} {finding.need:<10} {finding.found}{remedy}"
