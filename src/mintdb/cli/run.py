"""`mintdb run -- CMD`: a command of any language gets a database of its own for as long as it runs."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from mintdb import clock
from mintdb.cli import Ended, child, ready, say
from mintdb.cli.answering import HOST, answering
from mintdb.cli.between import Between
from mintdb.cli.progress import Progress
from mintdb.handover import WATCH
from mintdb.report import check
from mintdb.report.ending import gathering, leave_part
from mintdb.report.words import describe
from mintdb.variables import leased_variable, past_proxies, variables_for, without_misleading

if TYPE_CHECKING:
    from mintdb.contract import Session
    from mintdb.mint import Mint

GOODBYE = 0.3  # seconds; the backends of a command that has ended notice it within some milliseconds
POLL = 0.01


@click.command(
    context_settings={"allow_interspersed_args": False},
    short_help="Run a command with a database of its own.",
)
@click.option("--engine", metavar="ENGINE", help="The kind of database: postgresql, mysql or sqlite.")
@click.option("--name", metavar="NAME", help="The database's name, where the application has it hard-wired.")
@click.option("--env", metavar="NAME", help="The environment of the settings file whose table counts.")
@click.option("--url", metavar="URL", help="Use the server that this URL names, not an embedded one.")
@click.option("--schema", metavar="SOURCE", help="Where the tables come from: sql:db/, python:module:function, …")
@click.option("--keep", is_flag=True, help="Keep the database when CMD has ended, and say how to reach it.")
@click.option("--watch", is_flag=True, help="Create nothing: watch what CMD opens to its own databases.")
@click.option("--report", metavar="FILE", multiple=True, help="Write a report of the tests in it, .json or .html.")
@click.argument("argv", metavar="CMD...", nargs=-1, type=click.UNPROCESSED, required=True)
def command(argv: tuple[str, ...], *, keep: bool, watch: bool, report: tuple[str, ...], **given: str | None) -> None:
    """Run CMD with a database of its own, and drop it when CMD ends.

    CMD finds it in DATABASE_URL, JDBC_DATABASE_URL and PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE (MYSQL_HOST and
    so on for MariaDB), and in the variables that the settings export. Its exit code is passed on.

    pytest's and unittest's tests are put back one by one; those of another language by a POST to MINTDB_PUT_BACK_URL.
    """
    program = child.find_program(argv)
    if watch:
        if keep or any(given.values()):
            raise click.UsageError("--watch makes no database: of the other options only --report goes with it")
        sys.exit(run_watched(program, report))
    sys.exit(run(program, {**given, "report": list(report) or None}, keep=keep))


def run_watched(program: child.Program, report: Sequence[str]) -> int:
    """Run the command as it is, and let its Python processes tell who leaves a connection open."""
    from mintdb.settings import load

    settings = load(command_line={"report": list(report) or None})
    check(settings.report)
    with gathering(settings, say) as parts:
        return child.run(program, {**os.environ, **parts, WATCH: "1"})


def run(program: child.Program, given: dict[str, Any], *, keep: bool) -> int:  # Any: as click gives options
    """Make the databases ready, run the command, drop them; returns the command's exit code. Raises MintdbError."""
    from mintdb.settings import load

    settings = load(command_line=given)
    check(settings.report)
    if keep and any(settings.get_database(alias).engine == "mysql" for alias in ready.aliases(settings)):
        raise click.UsageError("--keep cannot keep a database of MariaDB or MySQL")
    _end_cleanly_when_told_to()
    main = ready.main_alias(settings)
    environ = without_misleading(os.environ, embedded=not settings.get_database(main).url)
    for variable in set(os.environ) - set(environ):
        del os.environ[variable]  # mintdb's own connections read them too
    with Progress() as progress:
        mint = ready.open_all(settings, progress.announce)
    ended = False
    try:
        variables = leading_to(mint) | mint.hand_over(main).to_environment() | past_proxies(environ, HOST)
        if settings.env:
            variables["MINTDB_ENV"] = settings.env
        with gathering(settings, say) as parts, between_tests(mint, parts) as urls:
            code = child.run(program, {**environ, **variables, **parts, **urls})
        ended = True
        return code
    finally:
        _clean_up(mint, keep=keep and ended)


def leading_to(mint: Mint) -> dict[str, str]:
    """The variables that lead to a mint's databases."""
    main = ready.main_alias(mint.settings)
    embedded = not mint.settings.get_database(main).url
    found = variables_for(mint.reserve(main), embedded=embedded)
    return {**found, **mint.exports(), **leased_variable(mint.urls())}


@contextmanager
def between_tests(mint: Mint, parts: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """While the block lasts the command may have its databases put back, at the URLs in these variables."""
    between = Between(mint, leading_to)
    with answering({"put-back": between.put_back, "keep": between.keep, "worker": between.admit}) as urls:
        try:
            yield between.variables(urls)
        finally:
            between.close()
            for worker in between.workers:
                _clean_up(worker, keep=False)
            leave_part(between.summary, parts)
    for line in between.summary.lines():
        print(line, file=sys.stderr, flush=True)


def _clean_up(mint: Mint, *, keep: bool) -> None:
    """Name who is left, and leave. The command's exit code counts for more than a failure here."""
    try:
        for alias in ready.aliases(mint.settings):
            _name_who_is_left(mint, alias)
            if keep:
                say(f"kept {ready.keep(mint, alias)}")
        ready.leave(mint, keep=keep)
    except Exception as error:  # noqa: BLE001  # whatever it is: a server that was stopped meanwhile, most likely
        say(f"could not clean up after the command: {str(error).splitlines()[0]}")


def _name_who_is_left(mint: Mint, alias: str) -> None:
    from mintdb.connections.foreign import traced

    for session in _who_is_left(mint, alias):
        say(f"still connected when the command had ended: {describe(traced(session))}")


def _who_is_left(mint: Mint, alias: str) -> Sequence[Session]:
    deadline = clock.monotonic() + GOODBYE
    home = mint.open(alias).pool.home
    while (left := home.sessions()) and clock.monotonic() < deadline:
        clock.sleep(POLL)
    return left


def _end_cleanly_when_told_to() -> None:
    """Until the command runs, a signal ends us by way of an exception, so that nothing is left behind."""

    def leave(number: int, frame: object) -> None:
        raise Ended(number)

    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is signal.SIG_DFL:
            signal.signal(getattr(signal, name), leave)
