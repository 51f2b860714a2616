"""`mintdb kill`: end connections to the databases of tests, and say whose they were."""

from __future__ import annotations

import sys

import click

from mintdb.cli import MINTDB_FAILED, say
from mintdb.cli.observed import Row, rows_on, servers
from mintdb.report.words import describe


@click.command(short_help="End connections to the databases of tests.")
@click.argument("what", metavar="PID|DATABASE|TEST...", nargs=-1, required=True)
@click.option("--url", metavar="URL", help="Look on the server that this URL names too.")
def command(what: tuple[str, ...], *, url: str | None) -> None:
    """End the connections that `mintdb ps` shows with this backend, database or test; none of any other database."""
    met: set[str] = set()
    for server in servers(url):
        for row in rows_on(server):
            if matching := names_of(row) & set(what):
                met |= matching
                server.end(row.database, row.session.backend_pid)
                test = f", of {row.seen.test}" if row.seen and row.seen.test else ""
                say(f"ended {describe(row.session)} on {row.database}{test}")
    for name in what:
        if name not in met:
            say(f"nothing to end: {name} is no backend, database or test that mintdb ps shows")
    sys.exit(0 if met >= set(what) else MINTDB_FAILED)


def names_of(row: Row) -> set[str]:
    """By what a person may name a connection."""
    test = row.seen.test if row.seen else None
    return {str(row.session.backend_pid), row.database, *([test] if test else [])}
