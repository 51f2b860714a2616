"""A database by URL that mintdb did not make, on a server of the test session's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from mintdb.core.names import new_token
from mintdb.engines.postgresql.embedded import reserve, settings_for
from tests.conftest import STAYS

Query = Callable[[str], list[tuple[object, ...]]]
Write = Callable[..., Path]


@pytest.fixture(scope="package")
def make_url(server_home: Path) -> Iterator[Callable[[], str]]:
    """Makes one empty database after another, behind mintdb's back."""
    made: list[str] = []
    server = reserve(settings_for()).open(owner=new_token(), linger=STAYS, let_go=lambda database: None)
    admin = reserve(settings_for()).address("postgres")

    def make() -> str:
        name = f"theirs_{len(made)}"
        made.append(name)
        with psycopg.connect(admin.url, autocommit=True) as connection:
            connection.execute(f'create database "{name}"')
        return admin.with_database(name).url

    yield make
    with psycopg.connect(admin.url, autocommit=True) as connection:
        for name in made:
            connection.execute(f'drop database if exists "{name}" with (force)')
    server.close()


@pytest.fixture
def url(make_url: Callable[[], str]) -> str:
    return make_url()


@pytest.fixture
def query(url: str) -> Query:
    """Ask the test's database."""

    def query(text: str) -> list[tuple[object, ...]]:
        with psycopg.connect(url, autocommit=True) as connection:
            return connection.execute(text.encode()).fetchall()

    return query


@pytest.fixture
def tables(query: Query) -> Callable[[], list[str]]:
    """The tables that are there, but for Play's own."""
    text = "select tablename from pg_tables where schemaname = 'public' and tablename <> 'play_evolutions' order by 1"
    return lambda: [str(row[0]) for row in query(text)]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write evolutions into conf/evolutions/default, ups and downs by number; returns the folder."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "conf" / "evolutions" / "default"
    folder.mkdir(parents=True)

    def write(**evolutions: tuple[str, str]) -> Path:
        for name, (ups, downs) in evolutions.items():
            (folder / f"{name.removeprefix('n')}.sql").write_text(f"# --- !Ups\n{ups}\n# --- !Downs\n{downs}\n")
        return Path("conf/evolutions/default")

    return write


@pytest.fixture
def two(write: Write) -> Path:
    """Two evolutions that work."""
    return write(
        n1=("create table a (id int); insert into a values (1);", "drop table a;"),
        n2=("create table b (id int);", "drop table b;"),
    )
