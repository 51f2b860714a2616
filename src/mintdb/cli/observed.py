"""Who is connected to the databases that mintdb made, on every server that can be found from here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mintdb.address import Address, parse_url
from mintdb.cli import say
from mintdb.connections.foreign import traced
from mintdb.connections.live import LIVE, Seen, read_all
from mintdb.contract import Session
from mintdb.engines.places import find_cache
from mintdb.errors import MintdbError
from mintdb.settings import load

if TYPE_CHECKING:
    from mintdb.engines.postgresql.maintenance import Maintenance


@dataclass(frozen=True)
class Row:
    """One connection, as the server and its own process tell of it."""

    database: str
    session: Session
    seen: Seen | None = None

    @property
    def seconds(self) -> float | None:
        """In its transaction, else in its state."""
        return self.session.seconds_in_transaction or self.session.seconds_in_state


def servers(url: str | None) -> Iterator[Maintenance]:
    """A session on each server in turn; one that cannot be reached is told, and passed by."""
    from mintdb.engines.postgresql.inventory import find_running, observe

    for address in [running.address() for running in find_running()] + _external(url):
        try:
            maintenance = observe(address)
        except MintdbError as error:
            say(str(error))
            continue
        try:
            yield maintenance
        finally:
            maintenance.close()


def rows_on(maintenance: Maintenance) -> list[Row]:
    """Every connection to what mintdb made on a server, database by database."""
    from mintdb.engines.postgresql.observing import sessions_by_database

    present = sessions_by_database(maintenance)
    seen = read_all(find_cache() / LIVE)  # after the server was asked: what was opened in between is told of by now
    port = maintenance.address.port
    return [
        Row(database, traced(session), seen.get((port, session.backend_pid)))
        for database, sessions in present.items()
        for session in sessions
    ]


def _external(url: str | None) -> list[Address]:
    """The server of `url`, or those that the settings name."""
    urls = [url] if url else [db.url for db in load().databases.values() if db.url and db.engine == "postgresql"]
    return [parse_url(found) for found in dict.fromkeys(urls)]
