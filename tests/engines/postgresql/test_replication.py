"""Replication slots and subscriptions are no rows of a clone; they go with the test that made them all the same."""

from __future__ import annotations

from pathlib import Path

import psycopg

import mintdb
from mintdb.contract import Way
from mintdb.report.summary import Summary

LOGICAL = {"wal_level": "logical", "max_wal_senders": "5"}
FOUND = """
select array(select slot_name::text from pg_replication_slots order by 1),
       array(select subname::text from pg_subscription order by 1)
"""
LOST = (
    "replication slot 'fixtures', subscription 'fixtures' of a wider fixture went when the database was swapped after"
    ' test_orders.py::test_ddl: let that test have a clone of its own:  @pytest.mark.mintdb(isolation="clone")'
)


def replicate(connection: psycopg.Connection, name: str) -> None:
    connection.execute(f"select pg_create_logical_replication_slot('{name}', 'test_decoding')")
    target = "connection 'host=nowhere' publication p with (connect = false)"
    connection.execute(f"create subscription {name} {target}")


def test_what_replication_leaves_goes_with_its_test_and_blocks_no_drop(project: Path) -> None:
    with mintdb.open(project, server_settings=LOGICAL) as mint:
        for way, statement in ((Way.UNTOUCHED, "select"), (Way.SWAP, "create table left_over (id int)")):
            with mint.lease() as lease, psycopg.connect(lease.url, autocommit=True) as connection:
                assert connection.execute(FOUND).fetchone() == ([], [])
                replicate(connection, "tests")
                connection.execute(statement)
            assert lease.restored.way is way

        pool = mint.open().pool
        marks = pool.marks
        marks.before_setup("fixture", settle=1)
        with psycopg.connect(pool.home.address.url, autocommit=True) as connection:
            replicate(connection, "fixtures")
        marks.after_setup("fixture", failed=False)
        for _ in range(2):
            with mint.lease() as lease, psycopg.connect(lease.url, autocommit=True) as connection:
                assert connection.execute(FOUND).fetchone() == (["fixtures"], ["fixtures"])
                replicate(connection, "tests")
        with mint.lease() as lease, psycopg.connect(lease.url, autocommit=True) as connection:
            connection.execute("create table left_over (id int)")
        assert lease.restored.lost == ("replication slot 'fixtures', subscription 'fixtures'",)
        summary = Summary()
        summary.count(lease.restored, "test_orders.py::test_ddl")
        assert summary.troubles == [LOST]
        name = pool.home.address.database
        server = pool.home.address.with_database("postgres")
        mint.close()
        with psycopg.connect(server.url) as connection:
            assert connection.execute("select from pg_database where datname = %s", (name,)).rowcount == 0
