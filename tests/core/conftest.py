"""A stay on the session's embedded server, and schema sources of the simplest kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from mintdb.address import Address
from mintdb.core.names import new_token
from mintdb.engines.postgresql.embedded import reserve, settings_for
from mintdb.engines.postgresql.maintenance import Maintenance
from mintdb.engines.postgresql.server import PostgresServer
from tests.conftest import STAYS

Join = Callable[[], PostgresServer]


@dataclass
class Source:
    """One table, whose content a test chooses; it counts how often it was built."""

    content: str = "one"
    statement: str = "create table t as select '{content}'::text as content"
    built: int = field(default=0)

    @property
    def description(self) -> str:
        return f"test:{self.content}"

    def fingerprint(self) -> Iterable[bytes]:
        return [self.content.encode(), self.statement.encode()]

    def build(self, database: Address) -> None:
        self.built += 1
        with psycopg.connect(database.url) as connection:
            connection.execute(self.statement.replace("{content}", self.content))


@pytest.fixture
def join(server_home: Path) -> Iterator[Join]:
    """Join the server as another run would; every stay ends with the test."""
    stays = []

    def join() -> PostgresServer:
        stays.append(reserve(settings_for()).open(owner=new_token(), linger=STAYS, let_go=lambda database: None))
        return stays[-1]

    yield join
    for stay in stays:
        stay.close()


@pytest.fixture
def server(join: Join) -> PostgresServer:
    """One stay."""
    return join()


@pytest.fixture
def project() -> str:
    """A project of the test's own, so that no other test has built its templates."""
    return f"p{new_token()}"


@pytest.fixture
def maintenance(server: PostgresServer) -> Iterator[Maintenance]:
    """Another session in the registry, of a run of its own."""
    session = Maintenance(server._maintenance.address, owner=new_token())
    yield session
    session.close()
