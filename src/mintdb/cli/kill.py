"""`mintdb kill`: end connections to the databases of tests, and say whose they were."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from mintdb.cli import MINTDB_FAILED, say
from mintdb.cli.observed import Row, ask_all, rows_on
from mintdb.report.words import describe

if TYPE_CHECKING:
    from mintdb.contract import Observer


@click.command(short_help="End connections to the databases of tests.")
@click.argument("what", metavar="PID|DATABASE|TEST...", nargs=-1, required=True)
@click.option("--url", metavar="URL", help="Look on the server that this URL names too.")
def command(what: tuple[str, ...], *, url: str | None) -> None:
    """End the connections that `mintdb ps` shows with this backend, database or test; none of any other database."""
    met = set(ask_all(url, lambda server: _end(server, set(what))))
    for name in what:
        if name not in met:
            say(f"nothing to end: {name} is no backend, database or test that mintdb ps shows")
    sys.exit(0 if met >= set(what) else MINTDB_FAILED)


def _end(server: Observer, what: set[str]) -> Iterator[str]:
    for row in rows_on(server):
        if matching := names_of(row) & what:
            server.end(row.database, row.session.backend_pid)
            test = f", of {row.seen.test}" if row.seen and row.seen.test else ""
            say(f"ended {describe(row.session)} on {row.database}{test}")
            yield from matching


def names_of(row: Row) -> set[str]:
    """By what a person may name a connection."""
    test = row.seen.test if row.seen else None
    return {str(row.session.backend_pid), row.database, *([test] if test else [])}
