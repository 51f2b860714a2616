"""`mintdb reap`: drop what runs that died have left; what belongs to a live one is never touched."""

from __future__ import annotations

import click

from mintdb.cli import say
from mintdb.cli.observed import ask_all


@click.command(short_help="Drop what dead runs have left.")
@click.option("--url", metavar="URL", help="Do so on the server that this URL names too.")
def command(*, url: str | None) -> None:
    """Drop the databases whose runs are provably dead, and say which. The next run does the same by itself."""
    reaped = ask_all(url, lambda server: server.reap())
    for name in reaped:
        say(f"dropped {name}")
    if not reaped:
        say("nothing was left by dead runs")
