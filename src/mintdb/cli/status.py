"""`mintdb status`: which embedded servers run, and what is on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from mintdb.address import redact
from mintdb.cli import say
from mintdb.cli.observed import stops_soon
from mintdb.cli.words import size
from mintdb.engines import find_inventories
from mintdb.errors import MintdbError

if TYPE_CHECKING:
    from mintdb.engines.running import Contents, Run, Running


@click.command(short_help="Show the embedded servers, and what is on them.")
def command() -> None:
    """Show this user's embedded servers: since when they run, who uses them, and what databases they hold."""
    some = False
    for inventory in find_inventories():
        for server in inventory.find_running():
            some = True
            try:
                contents = inventory.look(server)
            except MintdbError as error:
                if not stops_soon(server, inventory.find_running):
                    say(str(error))
                continue
            print("\n".join(lines(server, contents)))
    if not some:
        print("no embedded server runs")


def lines(running: Running, contents: Contents) -> Iterator[str]:
    """What there is to say of one server."""
    state = running.state
    since = contents.since.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    stays = ", stays until mintdb down" if running.pinned else ""
    yield f"{contents.product} on port {state.port}, process {state.server}, since {since}{stays}"
    yield from _row("data", [f"{state.data}, {size(running.data_size())}"])
    yield from _row("runs", [_describe(run) for run in contents.runs])
    yield from _row("templates", contents.templates)
    yield from _row("clones", contents.clones)
    yield from _row("kept", contents.kept)


def _row(head: str, values: Sequence[str]) -> Iterator[str]:
    for number, value in enumerate(values or ["none"]):
        yield f"  {head if number == 0 else '':<10} {value}"


def _describe(run: Run) -> str:
    if run.process is None:
        return run.owner
    from mintdb.connections.foreign import find_command_line

    command_line = find_command_line(run.process)
    return f"{run.owner}, process {run.process}" + (f": {redact(command_line)}" if command_line else "")
