"""A MariaDB server that nobody has prepared for mintdb: test_mysql_external where it is most likely to be run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engines.mysql import test_mysql_external as external
from tests.engines.mysql.mariadb import PlainServer, dump, plain, root_of, run
from tests.engines.mysql.test_mysql_external import project

import mintdb
from mintdb.core.marks import setting_up

__all__ = ["project"]
VERSIONED = "create table kept (id int primary key) with system versioning; insert into kept values (1);"
NOTHING = "do 0"
WRITES = ("insert into `from` values ()", "insert into kept values (2)")

# What holds on a server of mintdb's own holds here.
test_a_grant = external.test_an_account_with_a_grant_for_mints_databases_alone_is_enough
test_left_open = external.test_a_transaction_that_was_left_open_is_ended_there_too
test_no_functions = external.test_a_server_that_logs_and_trusts_no_functions_says_what_to_set


@pytest.fixture(scope="module")
def server(server_home: Path) -> Iterator[PlainServer]:
    with plain() as server:
        yield server


@pytest.mark.parametrize("written", [NOTHING, *WRITES])
def test_a_wide_fixture_in_the_midst_of_a_test_has_what_it_wrote_itself_and_no_more(
    server: PlainServer, project: Path, written: str
) -> None:
    with (project / "schema.sql").open("a") as schema:
        schema.write(VERSIONED)
    ours = ["insert into account (owner) values ('Bob')", "do nextval(numbers)"]
    with mintdb.open(project, engine="mysql", url=root_of(server).url, schema="sql:schema.sql") as mint:
        pool = mint.open().pool
        with mint.lease() as lease:
            at_first = dump(lease.address)
            run(lease.address, written)
            with_fixture = dump(lease.address)
        with mint.lease() as lease:
            run(lease.address, *ours)
            with setting_up([pool.marks], "wide", settle=0):
                run(lease.address, written)
        for _ in range(2):
            assert not pool.marks.held_test
            assert pool.home.marks == (written != NOTHING)
            with mint.lease() as lease:
                assert dump(lease.address) == with_fixture
                run(lease.address, *ours)
        pool.marks.after_teardown("wide")
        with mint.lease() as lease:
            pool.marks.go_back(settle=0)
            assert dump(lease.address) == at_first
