"""What the way back is made of: a log that is removed, files that are copied where that is not enough, and sessions
that outlive the connections they were made for.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from snowflake.connector.errors import ProgrammingError

import mintdb
from mintdb import Lease, Mint
from mintdb.contract import Way


def names(connection: Any) -> list[str]:
    return [name for (name,) in connection.cursor().execute("select name from customer order by id").fetchall()]


def test_a_connection_finds_nothing_of_the_one_whose_session_it_goes_on_with(db: Lease) -> None:
    with db.connect(role="first") as first:
        first.cursor().execute("create temporary table scratch (id int)")
        first.cursor().execute("set v = 1")
        first.autocommit(False)
        first.cursor().execute("insert into customer (name) values ('Cid')")
        first.rollback()
        first.cursor().execute("create schema attic")
    for _ in range(2):
        with db.connect() as second:
            assert (second.schema, second.role, second.in_transaction) == ("PUBLIC", None, False)
            assert names(second) == ["Ann", "Ben"]
            for gone in ("select * from scratch", "select $v"):
                with pytest.raises(ProgrammingError):
                    second.cursor().execute(gone)


def test_a_schema_that_was_dropped_is_not_the_current_one_of_the_next_connection(db: Lease) -> None:
    with db.connect() as first:
        first.cursor().execute("create schema attic")
    with db.connect(schema="attic") as second:
        assert second.cursor().execute("select current_schema()").fetchone() == ("ATTIC",)
        with db.connect() as first:
            first.cursor().execute("drop schema attic")
    with db.connect(schema="attic") as third, pytest.raises(ProgrammingError, match="does not have a current schema"):
        third.cursor().execute("create table t (id int)")


class Overheard:
    """A session of DuckDB's, and what it was asked."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.asked: list[str] = []

    def execute(self, sql: str, *args: Any) -> Any:
        self.asked.append(sql)
        return self._session.execute(sql, *args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


def test_the_way_back_into_the_schema_is_on_the_test_that_wrote(mint: Mint, monkeypatch: pytest.MonkeyPatch) -> None:
    with mint.lease() as wrote, wrote.connect() as connection:
        connection.cursor().execute("insert into customer (name) values ('Cid')")
    duck = mint.open().pool.home._account._resting[-1]  # type: ignore[attr-defined]  # this engine's clone
    overheard = Overheard(duck._session)
    monkeypatch.setattr(duck, "_session", overheard)
    with mint.lease() as reads, reads.connect() as connection:
        assert connection.duck is duck
        assert overheard.asked == []
        assert names(connection) == ["Ann", "Ben"]


def test_rows_that_do_not_fit_the_log_are_put_back_too(mint: Mint) -> None:
    with mint.lease() as lease, lease.connect() as connection:
        cursor = connection.cursor()
        cursor.execute("insert into orders (id) select seq4() from table(generator(rowcount => 300000))")
        cursor.execute("create table copied as select id, 'a text that takes room' as v from orders")
        connection.duck.execute('checkpoint "SHOP"')  # as DuckDB does by itself when a log has grown long
    assert lease.restored is not None
    assert lease.restored.way is Way.REWIND
    with mint.lease() as lease, lease.connect() as connection:
        assert connection.cursor().execute("select count(*) from orders").fetchone() == (0,)
        with pytest.raises(ProgrammingError):
            connection.cursor().execute("select * from copied")


def test_a_dropped_account_keeps_no_file_open(server_home: Path, tmp_path: Path) -> None:
    with mintdb.open(tmp_path, engine="snowflake") as mint, mint.lease() as lease:
        lease.connect().close()
        folder = str(mint.open().pool.home._account.folder)
        assert any(file.startswith(folder) for file in open_files())
    assert not any(file.startswith(folder) for file in open_files())


def open_files() -> list[str]:
    return [os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]


def test_a_mark_that_was_taken_beside_an_open_transaction_holds_what_was_committed(mint: Mint) -> None:
    home = mint.open().pool.home
    with mint.lease() as lease:
        writes, waits = lease.connect(), lease.connect(autocommit=False)
        waits.cursor().execute("insert into orders (id) values (1)")
        writes.cursor().execute("insert into customer (name) values ('Cid')")
        home.push_mark()
        waits.rollback()
        for again in ("Dan", "Eve"):
            writes.cursor().execute("insert into customer (name) values (%s)", (again,))
            assert names(writes)[-1] == again
            home.restore()
            assert names(writes) == ["Ann", "Ben", "Cid"]
        home.drop_mark(1)
    with mint.lease() as lease, lease.connect() as connection:
        assert names(connection) == ["Ann", "Ben"]
