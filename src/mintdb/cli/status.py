"""`mintdb status`: which embedded servers run, and what is on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from mintdb.address import redact
from mintdb.cli import say
from mintdb.cli.observed import stops_soon
from mintdb.cli.words import size
from mintdb.core.names import Role
from mintdb.errors import MintdbError

if TYPE_CHECKING:
    from mintdb.engines.postgresql.inventory import Contents, Running


@click.command(short_help="Show the embedded PostgreSQL servers, and what is on them.")
def command() -> None:
    """Show this user's embedded PostgreSQL servers: since when they run, who uses them, and what databases they hold.

    Who is connected to those of MariaDB shows mintdb ps, and what templates they have mintdb template list.
    """
    from mintdb.engines.postgresql import inventory

    running = inventory.find_running()
    if not running:
        print("no embedded server runs")
    for server in running:
        try:
            contents = inventory.look(server)
        except MintdbError as error:
            if not stops_soon(server, inventory.find_running):
                say(str(error))
            continue
        print("\n".join(lines(server, contents, inventory.data_size(server))))


def lines(running: Running, contents: Contents, data_size: int) -> Iterator[str]:
    """What there is to say of one server."""
    state = running.state
    since = contents.since.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    stays = ", stays until mintdb down" if running.pinned else ""
    yield f"PostgreSQL {contents.version} on port {state.port}, process {state.server}, since {since}{stays}"
    yield from _row("data", [f"{state.data}, {size(data_size)}"])
    yield from _row("runs", [_describe(run.owner, run.process) for run in contents.runs])
    yield from _row("templates", contents.names(Role.TEMPLATE))
    yield from _row("clones", contents.names(Role.CLONE))
    yield from _row("kept", contents.names(Role.CLONE, kept=True))


def _row(head: str, values: Sequence[str]) -> Iterator[str]:
    for number, value in enumerate(values or ["none"]):
        yield f"  {head if number == 0 else '':<10} {value}"


def _describe(owner: str, process: int) -> str:
    from mintdb.connections.foreign import find_command_line

    command_line = find_command_line(process)
    return f"{owner}, process {process}" + (f": {redact(command_line)}" if command_line else "")
