"""`mintdb evolutions`: plan, apply, resolve and undo Play evolutions on a database that a URL names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mintdb.cli import say

if TYPE_CHECKING:
    from mintdb.play import Options
    from mintdb.schemas.evolutions.evolving import Evolving
    from mintdb.schemas.evolutions.files import Evolution
    from mintdb.schemas.evolutions.plan import Step

DEFAULT_NAME = "default"  # Play's name of a database that has no other


@click.group(short_help="Run Play evolutions on a database: plan, apply, resolve, clean.")
def command() -> None:
    """Run Play evolutions on a database that a URL names, and write down in play_evolutions what was run, as Play does.

    A protected environment's server is refused.
    """


def _of_a_database(function: Callable[..., None]) -> Callable[..., None]:
    """The options by which each of the commands finds its database."""
    options = (
        click.option("--url", metavar="URL", required=True, help="The database."),
        click.option("--table", metavar="NAME", default="play_evolutions", show_default=True, help="Play's metaTable."),
        click.option("--schema", metavar="NAME", default="", help="Where that table is."),
        click.option("--no-autocommit", is_flag=True, help="Run everything in one transaction, or nothing."),
        click.option("--define", metavar="NAME=VALUE", multiple=True, help="What stands for $evolutions{{{NAME}}}."),
    )
    for option in reversed(options):
        function = option(function)
    return function


folder = click.argument("folder", type=click.Path(file_okay=False, path_type=Path))


@command.command("plan")
@folder
@_of_a_database
def plan(folder: Path, **given: Any) -> None:  # Any: as click gives options
    """Show what apply would run on the database, and change nothing but to make the table of evolutions."""
    with _evolving(given, name=folder.resolve().name) as evolving:
        _tell(evolving.plan(_read(folder)), done=False)


@command.command("apply")
@folder
@_of_a_database
def apply(folder: Path, **given: Any) -> None:  # Any: as click gives options
    """Bring the database to what the files in FOLDER say. Again does nothing.

    What differs is undone with the downs that were stored, the highest revision first; then the ups are run.
    """
    with _evolving(given, name=folder.resolve().name) as evolving:
        _tell(evolving.apply(_read(folder)), done=True)


@command.command("resolve")
@click.argument("revision", type=click.IntRange(min=1))
@_of_a_database
def resolve(revision: int, **given: Any) -> None:  # Any: as click gives options
    """Say that you have put right by hand what evolution REVISION left half way. None of its SQL is run."""
    with _evolving(given) as evolving:
        state = evolving.resolve(revision)
    print(f"evolution {revision} was {state}, and is {'gone' if state == 'applying_down' else 'applied'} now")


@command.command("clean")
@click.option("--drop", is_flag=True, help="Drop the database and make it anew, empty, if mintdb made it.")
@_of_a_database
def undo(*, drop: bool, **given: Any) -> None:  # Any: as click gives options
    """Run the stored downs of everything that is applied, the highest revision first."""
    if drop:
        _make_anew(given["url"])
        return
    with _evolving(given) as evolving:
        _tell(evolving.undo_all(), done=True)


@contextmanager
def _evolving(given: dict[str, Any], *, name: str = DEFAULT_NAME) -> Iterator[Evolving]:  # Any: see above
    from mintdb.address import parse_url
    from mintdb.play import refuse_protected

    refuse_protected(given["url"])
    options = _options(given)
    with options.evolving(name, parse_url(given["url"])) as evolving:
        evolving.table.session.lock(timeout=options.lock_timeout)
        yield evolving


def _options(given: dict[str, Any]) -> Options:  # Any: see above
    from mintdb.play import Options

    pairs = [pair.partition("=") for pair in given["define"]]
    for name, equals, _ in pairs:
        if not equals:
            raise click.BadParameter(f"{name!r} is not NAME=VALUE", param_hint="--define")
    values = {name: value for name, _, value in pairs}
    return Options(given["table"], given["schema"], not given["no_autocommit"], substitutions=values)


def _read(folder: Path) -> Sequence[Evolution]:
    from mintdb.schemas.evolutions.files import Folder

    return Folder(folder.absolute(), Path.cwd()).read(setting=str(folder))


def _tell(steps: Sequence[Step], *, done: bool) -> None:
    for step in steps:
        print(f"{step.direction:<5}{step.revision:>4}  {step.evolution.place}")
    if not steps:
        say("nothing was to be done" if done else "nothing is to be done")


def _make_anew(url: str) -> None:
    from mintdb.address import parse_url
    from mintdb.engines.postgresql import inventory
    from mintdb.play import refuse_protected

    refuse_protected(url)
    address = parse_url(url)
    inventory.make_anew(address)
    print(f"{address.redacted} is empty now")
