"""Every claim runs on every engine; where an engine's limit is declared, the claim must fail there, or go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import mintdb
from mintdb.connections.hooks import unwatch, watch
from mintdb.core.lease import Lease
from mintdb.mint import Mint
from tests.contract.engines import KINDS, Kind


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    if reason := found.missing():
        pytest.skip(reason)
    return found


@pytest.fixture(autouse=True)
def _within_its_limits(request: pytest.FixtureRequest) -> None:
    """A claim that an engine is declared not to keep is expected to fail: a limit that is none any more is found."""
    kind = request.getfixturevalue("kind")
    if reason := kind.limit(request.function.__name__):
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))


@pytest.fixture(scope="module")
def project(kind: Kind, server_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the contract's schema."""
    folder = tmp_path_factory.mktemp(kind.name)
    (folder / "schema.sql").write_text(kind.schema)
    return folder


@pytest.fixture(scope="module")
def mint(kind: Kind, project: Path) -> Iterator[Mint]:
    """A mint of the engine, in a process in which connections are watched."""
    watch()
    with mintdb.open(project, settle=0.3, **kind.settings) as opened:
        yield opened
    unwatch()


@pytest.fixture
def lease(mint: Mint) -> Iterator[Lease]:
    """A lease that ends with the test, unless the test ends it."""
    with mint.lease(test="the test") as lease:
        yield lease


def write(lease: Lease, *statements: str) -> None:
    """Run statements over a connection of their own, and commit."""
    with closing(lease.connect()) as connection:
        run(connection, *statements)
        connection.commit()


def run(connection: Any, *statements: str) -> None:  # Any: a connection of any driver
    """Run statements, and leave the transaction open."""
    cursor = connection.cursor()
    for statement in statements:
        cursor.execute(statement)
    cursor.close()


def rows(lease: Lease, query: str) -> list[tuple[Any, ...]]:  # Any: what a database holds
    """The rows of a query, over a connection of its own."""
    with closing(lease.connect()) as connection:
        return fetch(connection, query)


def fetch(connection: Any, query: str) -> list[tuple[Any, ...]]:  # Any: see above
    """The rows of a query over a connection, which is in no transaction afterwards."""
    cursor = connection.cursor()
    cursor.execute(query)
    found = [tuple(row) for row in cursor.fetchall()]
    cursor.close()
    connection.rollback()
    return found


ACCOUNTS = "select id, owner, balance from account order by id"
AT_THE_MARK = [(1, "Ann", 100), (2, "Bob", 0)]
