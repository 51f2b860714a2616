"""A quiet clone is put back in the trip that finds it quiet; what happens after that trip is not overlooked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psycopg
import pytest

import mintdb
from mintdb.connections import closing
from mintdb.connections.facts import Entry
from mintdb.connections.ledger import Ledger
from mintdb.contract import Way


@pytest.fixture
def mint(server_home: Path, tmp_path: Path, watched: Ledger) -> Iterator[mintdb.Mint]:
    (tmp_path / "schema.sql").write_text("create table t (id serial primary key, n int);")
    with mintdb.open(tmp_path, schema="sql:schema.sql", project="ahead") as mint:
        yield mint


def rows(url: str) -> int:
    with psycopg.connect(url) as connection:
        (count,) = connection.execute("select count(*) from t").fetchone() or (-1,)
        return int(count)


def insert(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("insert into t (n) values (1)")


def test_who_is_at_work_is_asked_in_the_trip_that_puts_back(mint: mintdb.Mint, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, execute = [], psycopg.Connection.execute

    def spy(connection: psycopg.Connection, statement: str, *values: object, **options: bool) -> psycopg.Cursor:
        asked.append(statement)
        return execute(connection, statement, *values, **options)

    with psycopg.connect(mint.open().pool.home.address.url, autocommit=True) as resident:
        with mint.lease() as lease:
            resident.execute("insert into t (n) values (1)")
            monkeypatch.setattr(psycopg.Connection, "execute", spy)
        monkeypatch.undo()
        assert lease.restored is not None
        assert lease.restored.way is Way.REWIND
        assert len(asked) == 1, asked


def test_what_a_leak_writes_before_it_is_ended_is_put_back_too(
    mint: mintdb.Mint, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mint.lease() as lease:
        insert(lease.url)
        leak, end = psycopg.connect(lease.url, autocommit=True), closing.end

        def write_first(entries: Sequence[Entry], end_backend: Callable[[int], object]) -> None:
            leak.execute("insert into t (n) values (2)")
            end(entries, end_backend)

        monkeypatch.setattr(closing, "end", write_first)
    assert lease.restored is not None
    assert "left 1 connection open" in lease.restored.report
    with mint.lease() as lease:
        assert rows(lease.url) == 0


def test_a_test_that_wrote_and_left_a_connection_open_has_written(mint: mintdb.Mint) -> None:
    """What it wrote was put back before its leak was ended, after which nothing was left to put back."""
    with mint.lease() as lease:
        insert(lease.url)
        leak = psycopg.connect(lease.url, autocommit=True)
    assert lease.restored is not None
    assert "left 1 connection open" in lease.restored.report
    assert (lease.restored.way, lease.restored.tables) == (Way.REWIND, ("public.t", "public.t_id_seq"))
    leak.close()


def test_who_is_in_a_transaction_keeps_the_trip_from_putting_back(mint: mintdb.Mint) -> None:
    with psycopg.connect(mint.open().pool.home.address.url) as older:
        mint.open().pool.home.welcome()
        older.execute("select 1")
        with mint.lease() as lease:
            insert(lease.url)
        assert lease.restored is not None
        assert (lease.restored.way, lease.restored.tables) == (Way.REWIND, ("public.t", "public.t_id_seq"))
        assert older.execute("select count(*) from t").fetchone() == (0,)
