"""`mintdb ps`: which test holds which connection at this moment, and where it opened it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import click

from mintdb import clock
from mintdb.cli import tables
from mintdb.cli.observed import Row, ask_all, rows_on

HEADS = ("backend", "database", "state", "for", "test", "opened", "last query")
EVERY = 1.0  # seconds
CLEAR = "\x1b[H\x1b[2J"


@click.command(short_help="Show who is connected to the databases of tests now.")
@click.option("--watch", is_flag=True, help="Show it again every second, until Ctrl-C.")
@click.option("--url", metavar="URL", help="Look at the server that this URL names too.")
def command(*, watch: bool, url: str | None) -> None:
    """Show every connection to a database that mintdb made: which test opened it, at which line, and what it does.

    Test and line are known for connections of Python processes of this machine whose tests mintdb runs.
    """
    if not watch:
        _show(url)
        return
    while True:
        if sys.stdout.isatty():
            print(CLEAR, end="")
        _show(url)
        sys.stdout.flush()
        clock.sleep(EVERY)


def _show(url: str | None) -> None:
    rows = ask_all(url, lambda server: map(cells, rows_on(server)))
    if rows:
        tables.show(HEADS, rows)
    else:
        print("nobody is connected to a database that mintdb made")


def cells(row: Row) -> Sequence[str]:
    """One connection as the table has it."""
    session, seen = row.session, row.seen
    test = seen.test if seen else None
    seconds = "" if row.seconds is None else f"{row.seconds:.1f} s"
    opened = " ".join(_opened(row))
    query = " ".join((session.query or "").split())
    return str(session.backend_pid), row.database, _state(row), seconds, test or "", opened, query


def _state(row: Row) -> str:
    session = row.session
    if session.waits_for:
        by = ", ".join(map(str, session.blocked_by))
        return f"{session.state}, waits for {session.waits_for}" + (f", held by {by}" if by else "")
    return session.state or ""


def _opened(row: Row) -> Iterator[str]:
    if row.seen is None:
        if row.session.process is not None:
            yield f"process {row.session.process}: {row.session.command_line or ''}".rstrip(": ")
        return
    if row.seen.place:
        yield row.seen.place
    if row.seen.thread != "MainThread":
        yield f'thread "{row.seen.thread}"'
