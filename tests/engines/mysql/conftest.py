"""An embedded server, MariaDB's unless a file asks for MySQL's; a template with most kinds of objects, and clones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.engines.mysql.house import House
from tests.engines.mysql.mariadb import new_name, new_template, require_mysql, stay
from tests.engines.mysql.workloads import MARIADB, MYSQL, Language

from mintdb.engines.mysql.clone import MysqlClone
from mintdb.engines.mysql.server import MysqlServer


@pytest.fixture(scope="session")
def language(request: pytest.FixtureRequest) -> Language:
    """A file of tests for MySQL says `pytestmark = ON_MYSQL`."""
    return getattr(request, "param", MARIADB)


@pytest.fixture(scope="session")
def server(server_home: Path, language: Language) -> Iterator[MysqlServer]:
    with stay(binaries=require_mysql() if language is MYSQL else None) as server:
        yield server


@pytest.fixture(scope="session")
def template(server: MysqlServer, language: Language) -> str:
    return new_template(server, *language.template)


@pytest.fixture(scope="module")
def house(server: MysqlServer, template: str) -> Iterator[House]:
    house = House(server, template)
    yield house
    house.clone.drop()


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
