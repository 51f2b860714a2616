"""An embedded MariaDB server, a template with most kinds of objects, and clones of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.engines.mysql.mariadb import new_name, new_template, stay
from tests.engines.mysql.workloads import TEMPLATE

from mintdb.engines.mysql.clone import MysqlClone
from mintdb.engines.mysql.server import MysqlServer


@pytest.fixture(scope="session")
def server(server_home: Path) -> Iterator[MysqlServer]:
    with stay() as server:
        yield server


@pytest.fixture(scope="session")
def template(server: MysqlServer) -> str:
    return new_template(server, *TEMPLATE)


@pytest.fixture
def make(server: MysqlServer) -> Iterator[Callable[..., MysqlClone]]:
    """A clone of a template that the given statements build; it is dropped with the test."""
    made: list[MysqlClone] = []

    def make(*statements: str) -> MysqlClone:
        made.append(server.clone(new_template(server, *statements), new_name(server)))
        return made[-1]

    yield make
    for clone in made:
        clone.drop()
