"""What every engine keeps: claims about one lease after another."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import mintdb
from mintdb.contract import Way
from mintdb.core.lease import Lease, LeaseEnded
from mintdb.mint import Mint
from tests.contract.conftest import ACCOUNTS, AT_THE_MARK, SOURCES, fetch, rows, run, write
from tests.contract.engines import Kind

NEW = "insert into account (owner) values ('Cleo')"


def test_what_a_test_commits_is_gone_after_it(mint: Mint) -> None:
    with mint.lease() as first:
        write(first, NEW, "insert into entry (account_id, amount) values (1, 5), (2, 6)")
        url = first.url
    with mint.lease() as second:
        assert first.restored
        assert first.restored.way is Way.REWIND
        assert second.url == url
        assert rows(second, ACCOUNTS) == AT_THE_MARK
        assert rows(second, "select * from entry") == []


def test_what_was_there_at_the_mark_comes_back(mint: Mint) -> None:
    with mint.lease() as first:
        write(first, "update account set balance = 7 where id = 2", "delete from account where id = 1")
    with mint.lease() as second:
        assert rows(second, ACCOUNTS) == AT_THE_MARK
        assert rows(second, "select owner from rich") == [("Ann",)]


def test_numbers_that_the_database_gives_begin_again(mint: Mint) -> None:
    for _ in range(2):
        with mint.lease() as lease:
            write(lease, NEW)
            assert rows(lease, "select max(id) from account") == [(3,)]


def test_nothing_is_put_back_where_nothing_was_written(mint: Mint) -> None:
    with mint.lease() as lease:
        assert rows(lease, ACCOUNTS) == AT_THE_MARK
        with closing(lease.connect()) as connection:
            run(connection, "select 1")
            connection.rollback()
    assert lease.restored
    assert lease.restored.way is Way.UNTOUCHED


def test_what_is_rolled_back_leaves_nothing(mint: Mint) -> None:
    with mint.lease() as lease, closing(lease.connect()) as connection:
        run(connection, NEW)
        connection.rollback()
    with mint.lease() as lease:
        assert rows(lease, ACCOUNTS) == AT_THE_MARK
        write(lease, NEW)
        assert rows(lease, "select count(*) from account") == [(3,)]


def test_threads_commit_over_connections_of_their_own(mint: Mint) -> None:
    with mint.lease() as lease:
        with ThreadPoolExecutor(4) as threads:
            names = [f"insert into account (owner) values ('user {number}')" for number in range(20)]
            list(threads.map(lambda statement: write(lease, statement), names))
        assert rows(lease, "select count(*) from account") == [(22,)]
    with mint.lease() as lease:
        assert rows(lease, ACCOUNTS) == AT_THE_MARK


def test_another_process_commits_and_is_put_back(mint: Mint, kind: Kind) -> None:
    with mint.lease() as lease:
        url = lease.url_for(f"{kind.engine}+{kind.driver}")
        code = f"import sqlalchemy as sa\nwith sa.create_engine({url!r}).begin() as c: c.execute(sa.text({NEW!r}))"
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
        assert rows(lease, "select count(*) from account") == [(3,)]
    with mint.lease() as lease:
        assert rows(lease, ACCOUNTS) == AT_THE_MARK


def test_a_connection_that_stays_open_sees_the_mark_again(mint: Mint) -> None:
    with closing(mint_connection(mint)) as resident:
        for _ in range(3):
            with mint.lease() as lease:
                assert fetch(resident, ACCOUNTS) == AT_THE_MARK
                run(resident, NEW)
                resident.commit()
                assert len(fetch(resident, ACCOUNTS)) == 3
            assert lease.restored
            assert lease.restored.way is Way.REWIND


def mint_connection(mint: Mint) -> Any:  # Any: of any driver
    """A connection that was opened between two leases, so that no test is to be blamed for it."""
    return mint.open().pool.home.connect()


def test_the_schema_is_put_back_under_the_same_url(mint: Mint) -> None:
    with mint.lease() as first:
        write(first, "create table extra (id int)", "drop view rich", "alter table account add column age int")
        url = first.url
    with mint.lease() as second:
        assert second.url == url
        assert rows(second, "select * from account order by id") == AT_THE_MARK
        assert rows(second, "select owner from rich") == [("Ann",)]
        with pytest.raises(Exception, match=r"(?i)extra"):
            rows(second, "select * from extra")


def test_two_leases_at_once_are_two_databases(mint: Mint) -> None:
    with mint.lease() as one, mint.lease() as other:
        assert one.url != other.url
        write(one, NEW)
        assert len(rows(one, ACCOUNTS)) == 3
        assert rows(other, ACCOUNTS) == AT_THE_MARK


def test_a_clone_of_ones_own_is_gone_afterwards(mint: Mint) -> None:
    with mint.lease(isolation="clone") as lease:
        write(lease, NEW)
    assert lease.restored
    assert lease.restored.way is Way.DROP
    with mint.lease() as home:
        assert rows(home, ACCOUNTS) == AT_THE_MARK


def test_a_transaction_that_was_left_open_is_ended_and_named(mint: Mint) -> None:
    kept = []
    with mint.lease(test="tests/test_shop.py::test_refund") as lease:
        connection = mint_connection(mint)
        kept.append(connection)
        run(connection, NEW)
    assert lease.restored
    report = lease.restored.report
    assert "LEAK  tests/test_shop.py::test_refund left 1 connection open" in report
    assert "tests/contract/test_claims.py" in report
    with mint.lease() as lease:
        write(lease, NEW)
        assert len(rows(lease, ACCOUNTS)) == 3
    with pytest.raises(Exception, match=r".+"):
        kept[0].commit()


def test_a_transaction_that_a_thread_holds_never_reaches_the_next_test(mint: Mint) -> None:
    begun, go_on = threading.Event(), threading.Event()
    failed: list[Exception] = []

    def work() -> None:
        connection = mint_connection(mint)
        run(connection, NEW)
        begun.set()
        go_on.wait(60)
        try:
            connection.commit()
        except Exception as error:
            failed.append(error)
        del connection

    thread = threading.Thread(target=work, name="mailer")
    with mint.lease(test="the test") as first:
        thread.start()
        assert begun.wait(60)
    assert first.restored
    assert "mailer" in first.restored.report
    with mint.lease() as second:
        go_on.set()
        thread.join(60)
        assert rows(second, ACCOUNTS) == AT_THE_MARK


def test_a_lease_that_is_kept_can_be_looked_at(mint: Mint, kind: Kind) -> None:
    with mint.lease() as lease:
        write(lease, NEW)
        kept = lease.keep()
    with mint.lease() as lease:
        assert rows(lease, ACCOUNTS) == AT_THE_MARK
    engine = sa.create_engine(kept.url_for(f"{kind.engine}+{kind.driver}"))
    with engine.connect() as connection:
        assert connection.scalar(sa.text("select count(*) from account")) == 3
    engine.dispose()


def test_marks_hold_what_a_wider_fixture_wrote(mint: Mint) -> None:
    clone = mint.open().pool.home
    with mint.lease() as lease:
        assert not clone.wrote()
        write(lease, NEW)
        assert clone.wrote()
        clone.push_mark()
        assert not clone.wrote()
        write(lease, "delete from account")
    with mint.lease() as lease:
        assert len(rows(lease, ACCOUNTS)) == 3
        clone.drop_mark(1)
    with mint.lease() as lease:
        assert rows(lease, ACCOUNTS) == AT_THE_MARK


def test_who_stepped_aside_knows_what_was_written_meanwhile(mint: Mint) -> None:
    clone = mint.open().pool.home
    for _ in range(2):
        with mint.lease() as lease:
            clone.step_aside()
            write(lease, NEW, "update account set balance = 7 where id = 2", "delete from account where id = 1")
        assert lease.restored
        assert lease.restored.way is Way.REWIND
        with mint.lease() as lease:
            assert rows(lease, ACCOUNTS) == AT_THE_MARK


def test_a_mark_beneath_another_can_go_first(project: Path, kind: Kind) -> None:
    with mintdb.open(project, **kind.settings) as mint:  # of its own: marks are in nobody's way
        clone = mint.open().pool.home
        with mint.lease() as lease:
            write(lease, "insert into account (owner) values ('of the module')")
            clone.push_mark()
            write(lease, "insert into account (owner) values ('of the session')")
            write(lease, "update account set balance = 9 where id = 2")
            clone.push_mark()
            clone.drop_mark(1)
        with mint.lease() as lease:
            assert [owner for _, owner, _ in rows(lease, ACCOUNTS)] == ["Ann", "Bob", "of the session"]
            assert rows(lease, "select balance from account where id = 2") == [(9,)]
            clone.drop_mark(1)
        with mint.lease() as lease:
            assert rows(lease, ACCOUNTS) == AT_THE_MARK


def test_several_configured_databases_of_an_engine_are_each_put_back(kind: Kind, tmp_path: Path) -> None:
    (tmp_path / "schema.sql").write_text(kind.schema)
    (tmp_path / "mintdb.toml").write_text(
        f'[databases.default]\nengine = "{kind.engine}"\nschema = "sql:schema.sql"\n'
        f'[databases.notes]\nengine = "{kind.engine}"\nseed = "sql:notes.sql"\n'
    )
    (tmp_path / "notes.sql").write_text("create table note (id int primary key);")
    with mintdb.open(tmp_path) as mint:
        for _ in range(2):
            with mint.lease() as accounts, mint.lease("notes") as notes:
                assert (rows(accounts, ACCOUNTS), rows(notes, "select * from note")) == (AT_THE_MARK, [])
                write(accounts, NEW)
                write(notes, "insert into note values (1)")


def test_a_lease_that_has_ended_hands_out_nothing(mint: Mint) -> None:
    with mint.lease() as lease:
        pass
    with pytest.raises(LeaseEnded):
        lease.connect()


def test_sqlalchemy_is_led_there_by_its_own_form_of_url(lease: Lease, kind: Kind) -> None:
    engine = sa.create_engine(lease.url_for(f"{kind.engine}+{kind.driver}"))
    with engine.begin() as connection:
        connection.execute(sa.text(NEW))
    assert len(rows(lease, ACCOUNTS)) == 3
    engine.dispose()


def test_a_seed_is_a_layer_upon_the_schema(project: Path, kind: Kind) -> None:
    (project / "seed.sql").write_text("update account set balance = 5;")
    with mintdb.open(project, seed="sql:seed.sql", **kind.settings) as mint, mint.lease() as lease:
        assert rows(lease, ACCOUNTS) == [(1, "Ann", 5), (2, "Bob", 5)]


def test_tables_come_from_scripts_models_functions_evolutions_and_alembic(sources: Path, kind: Kind) -> None:
    for schema in SOURCES:
        with mintdb.open(sources, engine=kind.engine, schema=schema, settle=0.3) as mint:
            for _ in range(2):
                with mint.lease() as lease:
                    assert rows(lease, "select id, name from keeper") == [(1, "Ann")], schema
                    write(lease, "insert into keeper values (2, 'Bob')")
                assert lease.restored
                assert lease.restored.way is Way.REWIND, schema
