"""A server that a URL names: what an account with few rights can do there, and what is never touched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.engines.mysql.mariadb import dump, root_of, run, stay
from tests.engines.mysql.workloads import MARIADB, Language

import mintdb
from mintdb.address import Address, parse_url
from mintdb.contract import Way
from mintdb.engines.mysql import databases, errors
from mintdb.engines.mysql.external import reserve_external
from mintdb.engines.mysql.maintenance import Maintenance
from mintdb.engines.mysql.server import MysqlServer
from mintdb.errors import MintdbError

SCHEMA = """
create table account (id int auto_increment primary key, owner varchar(40));
create table `from` (id int auto_increment primary key);
create view owners as select owner from account;
insert into account (owner) values ('Ann');
"""
SEQUENCE = "create sequence numbers;"  # MariaDB's
OWN = "all on `mint%`.*"
TESTER = "tester@'127.0.0.1'"


@contextmanager
def account_with(server: MysqlServer, *rights: str) -> Iterator[Address]:
    """The server as an account with these rights reaches it; the URL names a database that it may only read."""
    root = root_of(server)
    run(root, "create database theirs", "create table theirs.t (id int)", "insert into theirs.t values (1)")
    run(root, f"create user {TESTER} identified by 'a b'", f"grant select on theirs.* to {TESTER}")
    for right in rights:
        run(root, f"grant {right} to {TESTER}")
    try:
        yield replace(root, database="theirs", user="tester", password="a b")
    finally:
        run(root, f"drop user {TESTER}", "drop database theirs")


@pytest.fixture
def project(tmp_path: Path, language: Language) -> Path:
    (tmp_path / "schema.sql").write_text(SCHEMA + SEQUENCE * (language is MARIADB))
    return tmp_path


def message_of(kind: type[MintdbError], project: Path, address: Address, **settings: str) -> str:
    with pytest.raises(kind) as caught:
        mintdb.open(project, engine="mysql", url=address.url, schema="sql:schema.sql", **settings).lease()
    return str(caught.value).replace(f":{address.port}/", ":3306/")


def test_an_account_with_a_grant_for_mints_databases_alone_is_enough(
    server: MysqlServer, project: Path, language: Language
) -> None:
    number = ["do nextval(numbers)"] * (language is MARIADB)
    with account_with(server, OWN) as tester:
        before = dump(replace(root_of(server), database="theirs"))
        opened = mintdb.open(project, engine="mysql", url=tester.url, schema="sql:schema.sql")
        with opened as mint:
            with mint.lease() as lease:
                at_the_mark = dump(lease.address)
            for ddl in ([], [], ["alter table account add column age int", "drop view owners"]):
                with mint.lease() as lease, closing(lease.connect(autocommit=True)) as connection:
                    cursor = connection.cursor()
                    cursor.execute("insert into account (owner) values ('Bob')")
                    assert cursor.lastrowid == 2
                    for statement in ("insert into `from` values ()", *number, *ddl):
                        cursor.execute(statement)
                assert lease.restored
                assert lease.restored.way is (Way.SWAP if ddl else Way.REWIND)
                with mint.lease() as lease:
                    assert dump(lease.address) == at_the_mark
        assert dump(replace(root_of(server), database="theirs")) == before
        left = [name for (name,) in run(root_of(server), "show databases like 'mint\\_testan%'")]
        assert [name for name in left if not name.endswith("_template")] == []


def test_a_transaction_that_was_left_open_is_ended_there_too(server: MysqlServer, project: Path) -> None:
    with account_with(server, OWN) as tester:
        opened = mintdb.open(project, engine="mysql", url=tester.url, schema="sql:schema.sql", settle=0)
        with opened as mint:
            with mint.lease() as lease:
                held = mint.open().pool.home.connect()
                held.cursor().execute("update account set owner = 'Eve'")
            with mint.lease() as lease:
                assert run(lease.address, "select owner from account") == [("Ann",)]
            held.close()


def test_an_account_that_may_create_no_database_is_told_the_grant(server: MysqlServer, project: Path) -> None:
    with account_with(server, "select on *.*") as tester:
        assert (
            message_of(errors.PrivilegeMissing, project, tester)
            == """\
account 'tester'@'127.0.0.1' may not create databases on mysql://tester:***@127.0.0.1:3306/theirs
  it said    INSERT, DELETE command denied to user 'tester'@'127.0.0.1' for table `mintdb`.`databases`
  1. as an administrator:  grant all on `mint%`.* to 'tester'@'127.0.0.1'
     (a fixed `name` needs the same grant for that name)
  2. or take the URL away: mintdb then runs a server of its own"""
        )


def test_a_database_that_mintdb_did_not_make_is_never_dropped(server: MysqlServer, project: Path) -> None:
    with account_with(server, "all on *.*") as tester:
        assert (
            message_of(errors.DatabaseNotOurs, project, tester, name="theirs")
            == """\
database 'theirs' exists on mysql://tester:***@127.0.0.1:3306/theirs, and mintdb did not make it
  mintdb never touches a database that it did not make
  1. give the test database another name
  2. or drop it yourself, if nobody needs it"""
        )
        assert run(tester, "select * from t") == [(1,)]


def test_a_database_of_a_fixed_name_that_somebody_made_anew_is_theirs(server: MysqlServer, project: Path) -> None:
    with account_with(server, "all on *.*") as tester:
        held = {"engine": "mysql", "url": tester.url, "schema": "sql:schema.sql", "name": "wanted"}
        with mintdb.open(project, **held) as mint, mint.lease():
            pass
        run(root_of(server), "create database wanted", "create table wanted.precious (id int)")
        try:
            message_of(errors.DatabaseNotOurs, project, tester, name="wanted")
            assert run(root_of(server), "show tables from wanted") == [("precious",)]
        finally:
            run(root_of(server), "drop database wanted")


def test_what_a_dead_run_has_left_is_not_whatever_has_its_name_now(server: MysqlServer) -> None:
    died = Maintenance(parse_url(server.own_url), owner="somebody")
    databases.create(died, "shop_left")
    assert databases.is_ours(died, "shop_left")
    run(root_of(server), "drop database shop_left", "create database shop_left")
    try:
        assert not databases.is_ours(died, "shop_left")
        died.close()
        assert "shop_left" not in server.reap()
        assert run(root_of(server), "show databases like 'shop\\_left'") == [("shop_left",)]
    finally:
        run(root_of(server), "drop database shop_left")


def test_two_runs_that_want_one_name_wait_for_each_other(server: MysqlServer, project: Path) -> None:
    held = {"engine": "mysql", "url": root_of(server).url, "schema": "sql:schema.sql", "name": "wanted"}
    with mintdb.open(project, **held) as mint, mint.lease():
        text = message_of(errors.NameBusy, project, root_of(server), name="wanted", name_timeout="0.1")
    assert text.startswith("database name 'wanted' is taken, held by connection ")
    with mintdb.open(project, **held) as mint, mint.lease() as lease:
        assert lease.address.database == "wanted"


def test_a_login_that_is_refused(server: MysqlServer, project: Path) -> None:
    assert (
        message_of(errors.LoginRefused, project, replace(root_of(server), password="wrong"))
        == """\
the server refused the login of mysql://root:***@127.0.0.1:3306/mysql
  it said    Access denied for user 'root'@'127.0.0.1' (using password: YES)
  1. mend user and password in the URL
  2. or allow the login on the server:  create user …, grant …"""
    )


def test_a_server_that_does_not_answer(project: Path, server: MysqlServer) -> None:
    text = message_of(errors.ServerUnreachable, project, replace(root_of(server), port=1))
    assert text.startswith("no MariaDB or MySQL server answers at mysql://root:***@127.0.0.1:")
    assert "Connection refused" in text


def test_a_server_that_logs_and_trusts_no_functions_says_what_to_set(server: MysqlServer, project: Path) -> None:
    (project / "schema.sql").write_text(
        "create table t (id int);create trigger g before insert on t for each row set @a = 1"
    )
    run(root_of(server), "set global log_bin_trust_function_creators = 0")
    try:
        with account_with(server, OWN) as tester:
            assert (
                message_of(errors.LoggingForbids, project, tester)
                == """\
the server at mysql://tester:***@127.0.0.1:3306/theirs writes a binary log and lets this account create no functions, \
procedures or triggers
  it said    schema.sql:1 failed: You do not have the SUPER privilege and binary logging is enabled (you *might* want \
to use the less safe log_bin_trust_function_creators variable)
  1. on a server that only tests use:  set global log_bin_trust_function_creators = 1
  2. or take the URL away: mintdb then runs a server of its own"""
            )
    finally:
        run(root_of(server), "set global log_bin_trust_function_creators = 1")


def test_a_node_of_a_galera_cluster_is_refused(server_home: Path) -> None:
    with pytest.raises(errors.GaleraRefused) as caught, stay({"wsrep_on": "ON", "wsrep_provider": "none"}):
        pass
    assert (
        str(caught.value).splitlines()[1:]
        == """\
  mintdb knows who is alive by locks in the server, and those hold on one node only
  1. name a server that is no cluster
  2. or take the URL away: mintdb then runs a server of its own""".splitlines()
    )


def test_a_server_that_folds_names_to_lower_case(server_home: Path, tmp_path: Path) -> None:
    settings = {"lower_case_table_names": "1"}
    with stay(settings) as server:
        root = root_of(server)
        (tmp_path / "schema.sql").write_text(
            "create table Account (Id int auto_increment primary key, owner varchar(9));"
        )
        for url in (None, root.url):
            chosen = {"url": url} if url else {"server_settings": settings}
            with mintdb.open(tmp_path, engine="mysql", schema="sql:schema.sql", name="Shop_Test", **chosen) as mint:
                for _ in range(2):
                    with mint.lease() as lease:
                        run(lease.address, "insert into ACCOUNT (owner) values ('Ann')")
                        assert run(lease.address, "select id from account") == [(1,)]


def test_a_name_of_more_than_64_characters_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    with pytest.raises(errors.NameTooLong) as caught:
        mintdb.open(tmp_path, engine="mysql", name="n" * 65).reserve()
    assert (
        str(caught.value)
        == f"""\
the database name '{"n" * 65}' has 65 characters; MariaDB and MySQL allow 64
  1. give `name` a shorter one"""
    )


def test_a_worker_with_a_fixed_name_is_refused() -> None:
    with pytest.raises(errors.FixedNameOnSharedServer, match="worker gw1 cannot have the fixed database name"):
        reserve_external("mysql://ann@db/shop", slot="gw1")
