"""The command line: one module for each command, imported when that command is called."""

from __future__ import annotations

import signal
import sys
from importlib import import_module
from io import TextIOWrapper

import click

from mintdb import __version__
from mintdb.errors import MintdbError

COMMANDS = (
    *("run", "up", "down", "status", "ps", "kill", "reap", "template", "explain", "env", "doctor"),
    *("evolutions", "demo"),
)
MINTDB_FAILED = 3  # exit code where mintdb, not the command that it ran, is what failed; click's own for usage is 2


class Commands(click.Group):
    """Finds a command's module by its name, so that `mintdb run` imports nothing of the others."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which people meet them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The `command` of the module of that name."""
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = import_module(f"{__name__}.{cmd_name}").command
        return found

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; what mintdb has to say is said without a traceback."""
        try:
            return super().invoke(ctx)
        except MintdbError as error:
            say(str(error))
            ctx.exit(MINTDB_FAILED)
        except KeyboardInterrupt as interrupt:
            number = interrupt.number if isinstance(interrupt, Ended) else signal.SIGINT
            ctx.exit(128 + number)  # as shells report it


class Ended(KeyboardInterrupt):
    """Another signal that asks us to end. psycopg cancels what it is waiting for when it sees a KeyboardInterrupt."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mintdb", message="%(prog)s %(version)s")
def group() -> None:
    """A real database in mint condition: for a test run, for any command, for an afternoon."""


def main() -> None:
    """The entry point `mintdb`."""
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="replace")  # a terminal that knows no → shows a question mark
    group(prog_name="mintdb")


def say(text: str) -> None:
    """Tell the person something. It goes to stderr: stdout belongs to the command that runs, or to the answer."""
    print(f"mintdb: {text}", file=sys.stderr, flush=True)
