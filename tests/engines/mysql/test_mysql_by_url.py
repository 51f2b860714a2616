"""A MySQL server that a URL names: test_mysql_external where it can be, and MySQL's own logins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.engines.mysql import test_mysql_external as external
from tests.engines.mysql.mariadb import require_mysql, root_of, run, stay
from tests.engines.mysql.test_mysql_external import OWN, TESTER, account_with, message_of, project
from tests.engines.mysql.workloads import MYSQL

import mintdb
from mintdb.engines.mysql import errors
from mintdb.engines.mysql.server import MysqlServer

__all__ = ["project"]
pytestmark = pytest.mark.parametrize("language", [MYSQL], indirect=True, ids=["mysql"])

# What holds on MariaDB holds here.
test_a_grant = external.test_an_account_with_a_grant_for_mints_databases_alone_is_enough
test_left_open = external.test_a_transaction_that_was_left_open_is_ended_there_too
test_never_dropped = external.test_a_database_that_mintdb_did_not_make_is_never_dropped
test_made_anew = external.test_a_database_of_a_fixed_name_that_somebody_made_anew_is_theirs
test_a_dead_run = external.test_what_a_dead_run_has_left_is_not_whatever_has_its_name_now
test_two_runs = external.test_two_runs_that_want_one_name_wait_for_each_other
test_a_login = external.test_a_login_that_is_refused
test_no_functions = external.test_a_server_that_logs_and_trusts_no_functions_says_what_to_set


def test_an_account_that_may_create_no_database_is_told_the_grant(server: MysqlServer, project: Path) -> None:
    with account_with(server, "select on *.*") as tester:
        assert (
            message_of(errors.PrivilegeMissing, project, tester)
            == """\
account 'tester'@'127.0.0.1' may not create databases on mysql://tester:***@127.0.0.1:3306/theirs
  it said    INSERT, DELETE command denied to user 'tester'@'127.0.0.1' for table 'databases'
  1. as an administrator:  grant all on `mint%`.* to 'tester'@'127.0.0.1'
     (a fixed `name` needs the same grant for that name)
  2. or take the URL away: mintdb then runs a server of its own"""
        )


def test_a_login_that_the_server_does_not_know_yet_goes_by_tls(
    server: MysqlServer, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pymysql._auth._have_cryptography", False)
    with account_with(server, OWN) as tester:
        opened = mintdb.open(project, engine="mysql", url=tester.url, schema="sql:schema.sql")
        with opened as mint, mint.lease() as lease:
            assert run(lease.address, "select owner from account") == [("Ann",)]
        wrong = message_of(errors.LoginRefused, project, replace(tester, password="wrong"))
        assert "Access denied for user 'tester'@'127.0.0.1' (using password: YES)" in wrong


@pytest.mark.parametrize("required", ["set global require_secure_transport = 1", f"alter user {TESTER} require ssl"])
def test_a_server_or_an_account_that_requires_tls_is_given_it(
    server: MysqlServer, project: Path, required: str
) -> None:
    root = replace(root_of(server), options={})  # PyMySQL asks for TLS by itself then
    with account_with(server, OWN) as tester:
        run(root, required)
        try:
            opened = mintdb.open(project, engine="mysql", url=tester.url, schema="sql:schema.sql")
            with opened as mint, mint.lease() as lease:
                assert run(lease.address, "select owner from account") == [("Ann",)]
        finally:
            run(root, "set global require_secure_transport = 0")


def test_where_there_is_no_tls_either_the_package_is_named(
    server_home: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stay({"ssl_cert": "/nowhere"}, binaries=require_mysql()) as server, account_with(server, OWN) as tester:
        monkeypatch.setattr("pymysql._auth._have_cryptography", False)
        text = message_of(errors.LoginNeedsCryptography, project, tester)
        monkeypatch.undo()
    assert (
        text
        == """\
PyMySQL cannot log in to mysql://tester:***@127.0.0.1:3306/theirs without the package cryptography
  the login is one of caching_sha2_password, MySQL's default, and the server offers no TLS
  1. pip install 'pymysql[rsa]'
  2. or let the server offer TLS
  3. or take the URL away: mintdb then runs a server of its own"""
    )
