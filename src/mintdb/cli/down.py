"""`mintdb down`: the embedded servers stop, and what was kept on them goes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from mintdb.cli import MINTDB_FAILED, say
from mintdb.engines import find_inventories
from mintdb.errors import MintdbError

if TYPE_CHECKING:
    from mintdb.engines.running import Inventory, Running


@click.command(short_help="Stop the embedded servers, and drop what was kept on them.")
@click.option("--force", is_flag=True, help="Stop them even if live runs use them.")
def command(*, force: bool) -> None:
    """Stop this user's embedded servers, and drop the databases of `mintdb up` and `--keep`.

    A server that live runs use is left alone, unless --force is given.
    """
    running = [(inventory, server) for inventory in find_inventories() for server in inventory.find_running()]
    if not running:
        say("no embedded server runs")
    stopped = [_stop(*each, force=force) for each in running]  # one that is in use does not spare the others
    if not all(stopped):
        sys.exit(MINTDB_FAILED)


def _stop(inventory: Inventory, running: Running, *, force: bool) -> bool:
    from mintdb.engines.running import shown

    try:
        ended = inventory.stop(running, force=force)
    except MintdbError as error:
        say(str(error))
        return False
    for run in ended:
        say(f"run {shown(run)} has lost its server")
    say(f"the server on port {running.state.port} has stopped")
    return True
