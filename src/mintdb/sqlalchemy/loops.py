"""End what an asynchronous session holds, from a fixture that does not run on its event loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress

import sqlalchemy as sa

from mintdb.connections import closing
from mintdb.connections.facts import Entry
from mintdb.connections.ledger import ledger
from mintdb.connections.pools import pools


def end_on_its_loop(
    engines: Collection[sa.Engine], gently: Callable[[], Awaitable[object]], at_once: Callable[[], object]
) -> None:
    """Call `gently` on the event loop of the connections that are taken from `engines`.

    A loop that is closed, or runs in another thread, cannot be asked: then the connections are ended from outside, and
    `at_once` lets the session know.
    """
    taken = _taken_from(engines)
    loop = next((entry.loop for entry in taken), None)
    if loop is not None and not loop.is_closed() and not loop.is_running():
        loop.run_until_complete(_awaited(gently))
        return
    closing.end(taken, lambda backend: None)
    with suppress(Exception):  # the session has nothing left to ask: what it says of its lost connection says nothing
        at_once()


async def _awaited(gently: Callable[[], Awaitable[object]]) -> None:
    await gently()


def _taken_from(engines: Collection[sa.Engine]) -> list[Entry]:
    owners = [owner for engine in engines if (owner := pools.find(engine))]
    return [entry for entry in ledger.open_entries() if entry.owner in owners and entry.taking is not None]
