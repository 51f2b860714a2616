"""Every project on the embedded server logs in as one role: what one does to it is nobody else's trouble."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

import mintdb
from mintdb.engines.postgresql import inventory
from mintdb.engines.postgresql.embedded import reserve, settings_for

ALTERED = {
    "a search_path that does not exist": "alter role current_user set search_path = nowhere",
    "no time for a statement": "alter role all set statement_timeout = '1ms'",
    "nothing but reading": "alter role current_user set default_transaction_read_only = on",
    "another password": "alter role current_user password 'another'",
    "no login": "alter role current_user nologin",
    "no time left": "alter role current_user valid until '2001-01-01'",
}
SCHEMA = """
create schema shop;
alter role current_user set search_path = shop, public;
create table shop.item (id int);
do $$ begin
    execute format('alter database %I set work_mem = ''5MB''', current_database());
    execute format('alter role current_user in database %I set my.tenant = ''acme''', current_database());
end $$;
"""


@pytest.mark.parametrize("statement", ALTERED.values(), ids=ALTERED)
def test_what_a_test_does_to_the_login_is_put_back_when_the_next_run_begins(project: Path, statement: str) -> None:
    with mintdb.open(project) as mint, mint.lease() as lease:
        with lease.connect(autocommit=True) as connection:
            connection.execute(statement.encode())
        lease.release()
        mint.lease().release()  # mintdb's own sessions do not care
    with mintdb.open(project) as mint, mint.lease() as lease, lease.connect() as connection:
        connection.execute("create table apples as select 1")
        (ends,) = connection.execute("select rolvaliduntil from pg_roles where rolname = current_user").fetchone() or ()
        assert ends is None
        assert connection.execute("show search_path").fetchone() == ('"$user", public',)


def test_what_a_schema_tells_its_login_or_database_is_so_in_every_clone_and_nowhere_else(project: Path) -> None:
    (project / "shop.sql").write_text(SCHEMA)
    with mintdb.open(project, schema="sql:shop.sql") as mint, mint.lease() as lease:
        for ddl in ("create table item_2 (id int)", "drop table item"):  # each is followed by a swap
            with psycopg.connect(lease.url, autocommit=True) as connection:
                connection.execute(ddl.encode())
                told = (
                    "select current_setting('search_path'), current_setting('work_mem'), current_setting('my.tenant')"
                )
                assert connection.execute(told).fetchone() == ("shop, public", "5MB", "acme")
            lease.release()
            lease = mint.lease()  # of the same clone, put back
        with mintdb.open(project) as other, other.lease() as elsewhere, elsewhere.connect() as connection:
            assert connection.execute("show search_path").fetchone() == ('"$user", public',)


def test_alter_system_is_told_and_outlives_neither_its_run_nor_its_server(own_home: Path, project: Path) -> None:
    for goes_on in (True, False):
        with mintdb.open(project) as mint:
            lease = mint.lease()
            with lease.connect(autocommit=True) as connection:
                connection.execute("alter system set default_transaction_read_only = on")
                connection.execute("select pg_reload_conf()")
            with mintdb.open(project) as other:  # beside a run that may need it
                other.lease().release()
            assert list(lease.release().outside) == ["settings of the server"]
            assert list(mint.lease().release().outside) == []
        if not goes_on:
            (running,) = inventory.find_running()
            inventory.stop(running)
            assert inventory.stop(running) == ()  # as somebody finds it whom its keeper forestalls
        with mintdb.open(project) as mint, mint.lease() as lease, lease.connect(autocommit=True) as connection:
            connection.execute("create table apples (id int)")
            assert connection.execute("select from pg_file_settings where sourcefile ~ 'auto.conf'").rowcount == 0


def test_a_server_that_refuses_mintdb_itself_is_named_and_stopped_by_force(own_home: Path, project: Path) -> None:
    with mintdb.open(project) as mint, mint.lease() as lease, lease.connect(autocommit=True) as connection:
        connection.execute("alter role mintdb nologin")
        (running,) = inventory.find_running()
    with pytest.raises(mintdb.MintdbError) as caught:
        inventory.look(running)
    assert (
        str(caught.value)
        == f"""\
the embedded server on port {running.state.port} does not let mintdb in any more
  it said    FATAL:  role "mintdb" is not permitted to log in
  a test or a schema has altered mintdb's own role there, or pg_hba.conf
  1. stop it and begin anew:  mintdb down --force"""
    )
    assert inventory.stop(running, force=True) == ()
    assert inventory.find_running() == []
    with mintdb.open(project) as mint, mint.lease() as lease:
        assert lease.connect().execute("select 1").fetchone() == (1,)
    assert reserve(settings_for()).home.port == running.state.port
