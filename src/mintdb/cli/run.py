"""`mintdb run -- CMD`: a command of any language gets a database of its own for as long as it runs."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from mintdb.cli import child, say
from mintdb.cli.progress import Progress
from mintdb.cli.variables import variables_for, without_misleading
from mintdb.cli.words import describe

if TYPE_CHECKING:
    from mintdb.contract import Session
    from mintdb.mint import Mint
    from mintdb.settings import Settings

FIRST_WAIT = 0.5  # seconds for a name that another run holds, before anybody is told
GOODBYE = 0.3  # seconds; the backends of a command that has ended notice it within some milliseconds
POLL = 0.01


@click.command(
    context_settings={"allow_interspersed_args": False},
    short_help="Run a command with a database of its own.",
)
@click.option("--name", metavar="NAME", help="The database's name, where the application has it hard-wired.")
@click.option("--url", metavar="URL", help="Use the server that this URL names, not an embedded one.")
@click.option("--schema", metavar="SOURCE", help="Where the tables come from: sql:db/, python:module:function, …")
@click.argument("argv", metavar="CMD...", nargs=-1, type=click.UNPROCESSED, required=True)
def command(argv: tuple[str, ...], **given: str | None) -> None:
    """Run CMD with a database of its own, and drop it when CMD ends.

    CMD finds it in DATABASE_URL, JDBC_DATABASE_URL and PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE, and in the
    variables that the settings export. Its exit code is passed on.
    """
    program = child.find_program(argv)
    sys.exit(run(program, given))


def run(program: child.Program, given: dict[str, Any]) -> int:  # Any: as click gives options
    """Make the databases ready, run the command, drop them; returns the command's exit code. Raises MintdbError."""
    from mintdb.settings import DEFAULT, load

    settings = load(command_line=given)
    _end_cleanly_when_told_to()
    embedded = not settings.get_database(_main_of(settings)).url if settings.configured else True
    environ = without_misleading(os.environ, embedded=embedded)
    for variable in set(os.environ) - set(environ):
        del os.environ[variable]  # mintdb's own connections read them too
    with Progress() as progress:
        mint = _open(settings, progress)
    aliases = list(settings.databases) or [DEFAULT]
    try:
        address = mint.reserve(_main_of(settings))
        return child.run(program, {**environ, **variables_for(address), **mint.exports()})
    finally:
        for alias in aliases:
            _name_who_is_left(mint, alias)
        mint.close()


def _main_of(settings: Settings) -> str:
    """The database that DATABASE_URL names: the default one, or else the first."""
    from mintdb.settings import DEFAULT

    return DEFAULT if DEFAULT in settings.databases else next(iter(settings.databases), DEFAULT)


def _open(settings: Settings, progress: Progress) -> Mint:
    """Every configured database, ready. Where another run holds a fixed name, say so and wait for it."""
    from mintdb.engines.postgresql.errors import NameBusy

    try:
        return _open_all(replace(settings, name_timeout=min(FIRST_WAIT, settings.name_timeout)), progress)
    except NameBusy as busy:
        if settings.name_timeout <= FIRST_WAIT:
            raise
        progress.announce(f"waiting up to {settings.name_timeout:g} s for database name {busy.name!r}{busy.holder}")
        return _open_all(settings, progress)


def _open_all(settings: Settings, progress: Progress) -> Mint:
    from mintdb.mint import Mint
    from mintdb.settings import DEFAULT

    mint = Mint(settings, announce=progress.announce)
    try:
        for alias in settings.databases or [DEFAULT]:
            mint.open(alias)
    except BaseException:
        mint.close()
        raise
    return mint


def _name_who_is_left(mint: Mint, alias: str) -> None:
    for session in _who_is_left(mint, alias):
        say(f"still connected when the command had ended: {describe(session)}")


def _who_is_left(mint: Mint, alias: str) -> Sequence[Session]:
    deadline = time.monotonic() + GOODBYE
    home = mint.open(alias).pool.home
    while (left := home.sessions()) and time.monotonic() < deadline:
        time.sleep(POLL)
    return left


def _end_cleanly_when_told_to() -> None:
    """Until the command runs, a signal ends us by way of an exception, so that nothing is left behind."""

    def leave(number: int, frame: object) -> None:
        sys.exit(128 + number)

    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is signal.SIG_DFL:
            signal.signal(getattr(signal, name), leave)
