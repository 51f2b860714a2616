"""`mintdb down`: the embedded servers stop, and what was kept on them goes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from mintdb.cli import MINTDB_FAILED, say
from mintdb.errors import MintdbError

if TYPE_CHECKING:
    from mintdb.engines.postgresql.inventory import Running


@click.command(short_help="Stop the embedded PostgreSQL servers, and drop what was kept on them.")
@click.option("--force", is_flag=True, help="Stop them even if live runs use them.")
def command(*, force: bool) -> None:
    """Stop this user's embedded PostgreSQL servers, and drop the databases of `mintdb up` and `--keep`.

    A server that live runs use is left alone, unless --force is given. MariaDB's are not looked at: they stop by
    themselves when nobody has used them for a while.
    """
    from mintdb.engines.postgresql import inventory

    running = inventory.find_running()
    if not running:
        say("no embedded server runs")
    stopped = [_stop(server, force=force) for server in running]  # one that is in use does not spare the others
    if not all(stopped):
        sys.exit(MINTDB_FAILED)


def _stop(running: Running, *, force: bool) -> bool:
    from mintdb.engines.postgresql import inventory

    try:
        ended = inventory.stop(running, force=force)
    except MintdbError as error:
        say(str(error))
        return False
    for run in ended:
        say(f"run {run.owner} (process {run.process}) has lost its server")
    say(f"the server on port {running.state.port} has stopped")
    return True
