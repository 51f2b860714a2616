"""A clone that one process made and another takes over: under whoever is connected, and given back swapped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

import mintdb
from mintdb.contract import Way
from mintdb.mint import Mint


@pytest.fixture
def mint(project: Path) -> Iterator[Mint]:
    (project / "db.sql").write_text(
        "create table tree (id serial primary key, kind text); insert into tree (kind) values ('pear'), ('plum')"
    )
    with mintdb.open(project, schema="sql:db.sql") as mint:
        mint.open()
        yield mint


@pytest.fixture
def held(mint: Mint) -> Iterator[psycopg.Connection]:
    with psycopg.connect(mint.open().pool.home.address.url, autocommit=True) as held:
        yield held


def trees(connection: psycopg.Connection) -> list[tuple[int, str]]:
    return connection.execute("select id, kind from tree order by id").fetchall()


def test_what_was_there_when_it_was_taken_over_under_a_connection_is_put_back(
    mint: Mint, held: psycopg.Connection
) -> None:
    home = mint.open().pool.home
    home.step_aside()
    held.execute("insert into tree (kind) values ('fig')")
    before = trees(held)
    taken = mint.open().server.adopt(home.address.database)
    for statement in (
        "update tree set kind = 'oak'",
        "delete from tree where id = 1",
        "insert into tree values (9, 'ash')",
    ):
        held.execute(statement)
    assert taken.restore().way is Way.REWIND
    assert trees(held) == before
    taken.drop()


def test_rows_that_are_missing_above_a_mark_that_was_dumped_are_missing_after_a_swap_too(
    mint: Mint, held: psycopg.Connection
) -> None:
    home = mint.open().pool.home
    for row in ("fig", "ash", "elm", "oak"):
        held.execute("insert into tree (kind) values (%s)", (row,))
    held.execute("delete from tree where kind = 'plum'")  # a dump leaves no hole where it lay
    held.execute("alter table tree add height int")
    home.push_mark()
    held.execute("delete from tree where kind in ('ash', 'oak')")
    home.push_mark()
    held.execute("create table made (id int)")
    assert home.restore().way is Way.SWAP
    with psycopg.connect(home.address.url) as connection:
        assert [kind for _, kind in trees(connection)] == ["pear", "fig", "elm"]


def test_who_comes_back_to_a_database_that_was_swapped_swaps_it_again(mint: Mint) -> None:
    home = mint.open().pool.home
    home.step_aside()
    taken = mint.open().server.adopt(home.address.database)
    with psycopg.connect(home.address.url) as connection:
        connection.execute("alter table tree add height int")
    assert taken.restore().way is Way.SWAP
    with psycopg.connect(home.address.url) as connection:
        connection.execute("insert into tree (kind) values ('fig')")
    taken.step_aside()
    assert home.wrote()
    assert home.restore().way is Way.SWAP
    with psycopg.connect(home.address.url) as connection:
        assert trees(connection) == [(1, "pear"), (2, "plum")]
    taken.drop()


def test_a_swap_asks_the_server_little(mint: Mint, monkeypatch: pytest.MonkeyPatch) -> None:
    home, maintenance = mint.open().pool.home, mint.open().server._maintenance.connection
    asked: list[str] = []
    execute = psycopg.Connection.execute

    def noted(connection: psycopg.Connection, statement: object, *args: object, **options: object) -> psycopg.Cursor:
        asked.extend([str(statement)] if connection is maintenance else [])
        return execute(connection, statement, *args, **options)

    monkeypatch.setattr(psycopg.Connection, "execute", noted)
    for _ in range(2):
        with psycopg.connect(home.address.url) as connection:
            connection.execute("alter table tree add height int")
        asked.clear()
        assert home.restore().way is Way.SWAP
        waits = [statement for statement in asked if "pg_stat_activity" in statement]  # until nobody is connected
        assert len(asked) - len(waits) <= 25, asked
