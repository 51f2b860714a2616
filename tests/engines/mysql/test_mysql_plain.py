"""A MariaDB server that nobody has prepared for mintdb: test_mysql_external where it is most likely to be run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.engines.mysql import test_mysql_external as external
from tests.engines.mysql.mariadb import PlainServer, dump, plain, root_of, run
from tests.engines.mysql.test_mysql_external import project
from tests.frameworks.suites import Suite

import mintdb
from mintdb.core.marks import setting_up
from mintdb.engines.mysql import errors
from mintdb.engines.mysql.clone import RESTARTED

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


def test_a_pools_idle_connection_outlives_a_rewind_where_the_server_shows_no_locks(
    server: PlainServer, project: Path
) -> None:
    opened = mintdb.open(project, engine="mysql", url=root_of(server).url, schema="sql:schema.sql", settle=0)
    with opened as mint, closing(mint.open().pool.home.connect(autocommit=True)) as pooled:
        clone = mint.open().pool.home
        for _ in range(3):
            with pooled.cursor() as cursor:
                cursor.execute("insert into account (owner) values ('Bob')")
                assert cursor.lastrowid == 2
            assert clone.restore().ended == []
        reader = clone.connect()
        reader.cursor().execute("select * from account")
        pooled.cursor().execute("insert into account (owner) values ('Bob')")
        assert [session.backend_pid for session in clone.restore().ended] == [reader.thread_id()]
        assert run(clone.address, "select owner from account") == [("Ann",)]


def test_a_transaction_that_xa_prepared_is_named_with_what_ends_it(server: PlainServer, project: Path) -> None:
    root = root_of(server)
    with mintdb.open(project, engine="mysql", url=root.url, schema="sql:schema.sql", settle=0) as mint:
        lease = mint.lease()
        database, branch = lease.address.database, "'left', 'over'"
        run(lease.address, f"xa start {branch}", "delete from account", f"xa end {branch}", f"xa prepare {branch}")
        with pytest.raises(errors.PreparedInTheWay) as caught:
            lease.release()
        rollback = "xa rollback x'6c656674', x'6f766572', 1"
        assert (
            str(caught.value).replace(f":{root.port}/", ":3306/")
            == f"""\
{database} on mysql://root:***@127.0.0.1:3306/mysql cannot be put back: something holds locks in it \
that outlives its session
  prepared   'left'
  mintdb rolls these back on a server of its own only: there they may be anybody's
  1. if it is what a test left:  {rollback}
  2. let the test that prepares a transaction end it:  xa commit …, or xa rollback …
  3. or take the URL away: mintdb then runs a server of its own"""
        )
        run(root, rollback)
        with mint.lease() as lease:
            assert run(lease.address, "select owner from account") == [("Ann",)]


def test_what_only_the_driver_has_a_word_for_is_told_as_it_is(server: PlainServer, tmp_path: Path) -> None:
    suite = Suite(tmp_path).write(
        test_it="""
            def test_breaks_what_mintdb_needs(mintdb):
                with mintdb.connect() as connection:
                    connection.cursor().execute("rename table mintdb.`databases` to mintdb.gone")

            def test_meets_it(): ...

            def test_mends_it(mintdb): ...
        """
    )
    run_it = ("--mintdb-url", root_of(server).url, "--mintdb-isolation", "clone")
    try:
        ran = suite.run(*run_it)
    finally:
        run(root_of(server), "drop database mintdb")
    assert "pymysql.err.ProgrammingError: (1146, \"Table 'mintdb.databases' doesn't exist\")" in ran.output
    assert "KeyError" not in ran.output


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


def test_a_server_that_restarts_under_way_costs_one_swap(server: PlainServer, project: Path) -> None:
    with mintdb.open(project, engine="mysql", url=root_of(server).url, schema="sql:schema.sql") as mint:
        pool = mint.open().pool
        address = pool.home.address
        at_first = dump(address)
        with setting_up([pool.marks], "wide", settle=0):
            run(address, "insert into `from` values ()")
        with_fixture = dump(address)
        reasons = []
        for is_restarted in (False, True, False):
            lease = mint.lease()
            run(address, "insert into account (owner) values ('Bob')", "delete from `from`")
            if is_restarted:
                server.restart()
                run(address, "insert into `from` values ()", "create table more (id int)")
            reasons.append(lease.release().reason)
            assert dump(address) == with_fixture
        assert reasons == [None, RESTARTED, None]
        pool.marks.after_teardown("wide")
        mint.lease().release()
        assert dump(address) == at_first
        with setting_up([pool.marks], "after that", settle=0):
            run(address, "insert into `from` values ()")
            server.restart()
        mint.lease().release()
        assert dump(address) == with_fixture


def test_a_server_that_restarts_and_has_lost_the_marks_rows_is_not_gone_on_with(
    server: PlainServer, project: Path
) -> None:
    with (project / "schema.sql").open("a") as schema:
        schema.write("create table quick (id int) engine = memory; insert into quick values (1);")
    with mintdb.open(project, engine="mysql", url=root_of(server).url, schema="sql:schema.sql") as mint:
        lease = mint.lease()
        server.restart()
        with pytest.raises(errors.ServerGone):
            lease.release()
