from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import ways
from private_server import running

from mintdb.connections import hooks
from mintdb.connections.ledger import Ledger, ledger


@pytest.fixture(scope="session")
def port() -> Iterator[int]:
    with running() as port:
        yield port


@pytest.fixture
def dsn(port: int) -> str:
    return f"postgresql://postgres@127.0.0.1:{port}/postgres"


@pytest.fixture
def watched() -> Iterator[Ledger]:
    """The process's ledger, empty, with every driver hooked while the test runs."""
    hooks.watch()
    ledger.clear()
    yield ledger
    ledger.enter(None)
    hooks.unwatch()
    ledger.clear()


@pytest.fixture
def forgotten(watched: Ledger) -> Iterator[None]:
    """Close what the application forgot, when the test is over."""
    yield
    for thing in ways.KEPT:
        if isinstance(thing, ways.psycopg_pool.ConnectionPool):
            thing.close()
    for entry in watched.open_entries():
        if (connection := entry.connection()) is not None:
            entry.driver.finish(connection)
    ways.KEPT.clear()
    gc.collect()
