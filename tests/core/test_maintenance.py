"""Locks and the registry belong to a session of the server: who dies lets go of everything at once."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from mintdb.address import Address
from mintdb.core.names import DatabaseName, Role, new_token
from mintdb.engines.postgresql import databases
from mintdb.engines.postgresql.connecting import may_be_back
from mintdb.engines.postgresql.errors import DatabaseNotOurs, LockTimeout, ServerGone
from mintdb.engines.postgresql.maintenance import Maintenance
from mintdb.engines.postgresql.own import own_address
from mintdb.engines.postgresql.server import PostgresServer
from tests.waiting import wait_for

HOLDER = """
import sys
from mintdb.address import parse_url
from mintdb.engines.postgresql.maintenance import Maintenance
maintenance = Maintenance(parse_url(sys.argv[1]), owner=sys.argv[2])
maintenance.acquire("a thing", timeout=1)
print(flush=True)
sys.stdin.read()
"""


@pytest.fixture
def address(server: PostgresServer) -> Address:
    return server._maintenance.address


def hold(address: Address, owner: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLDER, address.url, owner]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_a_lock_names_its_holder_and_is_free_once_that_was_killed(maintenance: Maintenance, address: Address) -> None:
    owner = new_token()
    process = hold(address, owner)
    try:
        with pytest.raises(LockTimeout, match=rf"held by mintdb run {owner} \(process {process.pid}\)"):
            maintenance.acquire("a thing", timeout=0.1)
        assert maintenance.is_alive(owner)
    finally:
        end(process)
    with maintenance.lock("a thing", timeout=30):
        pass
    assert not maintenance.is_alive(owner)


def test_a_live_owners_databases_are_left_and_a_dead_ones_are_reaped(
    maintenance: Maintenance, address: Address
) -> None:
    owner = new_token()
    process = hold(address, owner)
    name = str(DatabaseName(Role.CLONE, "orphans", owner=owner, worker="main"))
    try:
        databases.create(maintenance, name, template="template0", owner=owner)
        assert name not in databases.reap(maintenance)
        assert databases.exists(maintenance, name)
    finally:
        end(process)

    def is_reaped() -> bool:  # by us or by the keeper
        databases.reap(maintenance)
        return not databases.exists(maintenance, name)

    wait_for(is_reaped, "the end of the dead owner's database")


def test_a_database_that_mintdb_did_not_make_is_never_dropped(maintenance: Maintenance) -> None:
    name = str(DatabaseName(Role.TRASH, worker=new_token()))
    maintenance.connection.execute(f"create database {name}")
    try:
        assert name not in databases.reap(maintenance)
        with pytest.raises(DatabaseNotOurs):
            databases.create(maintenance, name, template="template0")
        assert databases.exists(maintenance, name)
        assert not databases.is_ours(maintenance, name)
    finally:
        maintenance.connection.execute(f"drop database {name}")


def test_a_name_that_somebody_else_took_after_us_is_not_ours(maintenance: Maintenance) -> None:
    name = f"fixed_{new_token()}"
    databases.create(maintenance, name, template="template0")
    maintenance.connection.execute(f"drop database {name}")
    maintenance.connection.execute(f"create database {name}")
    try:
        assert not databases.is_ours(maintenance, name)
        assert name not in [made.name for made in databases.list_made(maintenance)]
    finally:
        maintenance.connection.execute(f"drop database {name}")


def test_a_drop_ends_whoever_is_connected(maintenance: Maintenance) -> None:
    name = str(DatabaseName(Role.CLONE, "busy", owner=maintenance.owner, worker="main"))
    databases.create(maintenance, name, template="template0", owner=maintenance.owner)
    with psycopg.connect(maintenance.address.with_database(name).url) as connection:
        databases.drop(maintenance, name)  # a plain drop would wait 5 s, and fail
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")


def test_a_prepared_transaction_is_in_no_drops_way(maintenance: Maintenance) -> None:
    name = str(DatabaseName(Role.CLONE, "prepared", owner=maintenance.owner, worker="main"))
    databases.create(maintenance, name, template="template0", owner=maintenance.owner)
    with psycopg.connect(maintenance.address.with_database(name).url, autocommit=True) as connection:
        connection.execute("begin; create table t (n int); prepare transaction 'left'")
    databases.drop(maintenance, name)
    assert not databases.exists(maintenance, name)


def test_a_session_that_the_server_ended_is_told_in_words(maintenance: Maintenance, address: Address) -> None:
    other = Maintenance(address, owner=new_token())
    maintenance.run("select pg_terminate_backend(%s)", other.connection.info.backend_pid)
    with pytest.raises(ServerGone) as caught:
        other.run("select pg_sleep(5)")
    assert (
        str(caught.value)
        == f"""\
the server at postgresql://mintdb:***@127.0.0.1:{address.port}/postgres went away under way
  it said    terminating connection due to administrator command
  1. run the tests again: an embedded server is started anew, and what this run left is cleared up
  2. if it happens again, look at the server's log and at the machine's memory"""
    )


def test_a_session_that_was_interrupted_within_a_statement_goes_on_and_keeps_its_locks(address: Address) -> None:
    interrupted = Maintenance(address, owner=new_token())
    with interrupted.lock("apples", timeout=1):
        interrupted.connection.pgconn.send_query(b"select pg_sleep(60)")  # where a Ctrl-C may come
        assert interrupted.rows("select 1") == [(1,)]
        assert interrupted.is_held("apples")
    assert not interrupted.is_held("apples")
    interrupted.close()


def test_a_registry_that_its_maker_left_half_made_is_finished(maintenance: Maintenance, address: Address) -> None:
    """The database was created, and its maker was killed before it came to the table."""
    from mintdb.engines.postgresql import maintenance as module

    rows = maintenance.rows("select * from pg_tables where schemaname = 'public' and tablename = 'databases'")
    assert rows, "the registry is where this test expects it"
    maintenance.connection.execute("create database half_made template template0")
    try:
        with module.connect(address.with_database("half_made")) as session:
            module._fill(session)
            module._fill(session)
            assert session.execute("select count(*) from databases").fetchone() == (0,)
    finally:
        maintenance.connection.execute("drop database half_made with (force)")


def test_an_embedded_server_may_be_back_as_long_as_its_socket_answers(tmp_path: Path) -> None:
    """One that has just lost a backend closes new connections without a word, as one that stops does."""
    own = own_address(str(tmp_path), 5432, "secret")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / ".s.PGSQL.5432"))
        listener.listen()
        assert may_be_back(own)
    assert not may_be_back(own)  # nobody listens, though the file is there
    assert may_be_back(Address("postgresql", "shop", str(tmp_path), 5432, "ann"))  # who restarts that takes its time
