"""What makes a rewind on MySQL silently wrong, or needlessly slow: test_traps where it can be, and MySQL's own."""

from __future__ import annotations

from contextlib import closing

import pytest
from tests.engines.mysql import test_traps
from tests.engines.mysql.mariadb import connect, require_mysql, run
from tests.engines.mysql.test_traps import TWO, Make, changed_by
from tests.engines.mysql.workloads import MYSQL, Language

from mintdb.contract import Way
from mintdb.engines.mysql import embedded
from mintdb.engines.mysql.server import MysqlServer

pytestmark = pytest.mark.parametrize("language", [MYSQL], indirect=True, ids=["mysql"])

# What holds on MariaDB holds here.
test_numbers = test_traps.test_numbers_taken_by_a_transaction_that_was_rolled_back_are_given_again
test_a_counter_above_the_rows = test_traps.test_a_counter_above_the_rows_goes_back_to_where_it_was_and_not_below
test_a_truncate = test_traps.test_a_truncate_is_rows_and_no_change_of_the_schema
test_other_names = test_traps.test_a_statement_from_another_database_is_seen_by_the_name_it_uses
test_triggers = test_traps.test_no_trigger_fires_while_rows_are_put_back_and_all_are_there_afterwards
test_prepared = test_traps.test_rows_that_a_prepared_transaction_locks_are_put_back
test_dropped = test_traps.test_a_dropped_database_is_made_anew_under_its_name
test_readers = test_traps.test_a_wider_session_that_only_reads_stays_unless_its_table_is_needed_alone
test_pollers = test_traps.test_a_poller_whose_statement_has_just_begun_is_not_ended
test_users = test_traps.test_changed_users_are_told_for_they_stay
test_marks = test_traps.test_a_mark_with_ddl_is_returned_to
test_statements = test_traps.test_what_is_logged_as_a_statement_is_seen
test_alike = test_traps.test_a_clone_is_as_its_template_in_everything_that_shows


def test_children_of_a_cascade_are_found_with_the_log_and_without(make: Make) -> None:
    clone = make(
        "create table parent (id int primary key)",
        "create table child (p int, foreign key (p) references parent (id) on delete cascade on update cascade)",
        "create table grandchild (p int, foreign key (p) references parent (id) on delete set null on update set null)",
        "insert into parent values (1), (2)",
        "insert into child values (1), (1)",
        "insert into grandchild values (1), (2)",
    )
    for log in ("set sql_log_bin = 0", "set sql_log_bin = 1"):
        restored = changed_by(clone, log, "delete from parent where id = 1")
        assert restored.tables == ["child", "grandchild", "parent"]
        assert changed_by(clone, log, "update parent set id = 9 where id = 1").way is Way.REWIND


@pytest.mark.parametrize("engine", ["innodb", "memory", "myisam"])
def test_what_a_session_without_log_writes_is_seen(make: Make, engine: str) -> None:
    clone = make(f"create table kept (id int auto_increment primary key, v int) engine={engine}", *TWO)
    for unseen in ("insert into kept (v) values (1)", "insert into kept (v) values (1); delete from kept"):
        assert changed_by(clone, "set sql_log_bin = 0", *unseen.split(";")).tables == ["kept"]
        assert clone.restore().way is Way.UNTOUCHED
    run(clone.address, "insert into kept (v) values (1)")
    clone.push_mark()
    assert changed_by(clone, "set sql_log_bin = 0", "update kept set v = 2").tables == ["kept"]
    assert changed_by(clone, "insert into t (v) values (3)").tables == ["t"]
    assert "kept" in changed_by(clone, "set sql_log_bin = 0", "truncate kept").tables


@pytest.mark.parametrize(
    "ddl",
    [
        "create table extra (id int)",
        "alter table t add column z int, algorithm = instant",
        "alter table t alter column v set default 5",
        "create index by_v on t (v)",
        "create view v as select 1",
        "create function f() returns int deterministic return 1",
        "create event later on schedule every 1 day do set @a = 1",
        "rename table t to u",
    ],
)
def test_nor_is_its_ddl_hidden(make: Make, ddl: str) -> None:
    clone = make(*TWO)
    assert changed_by(clone, "set sql_log_bin = 0", ddl).way is Way.SWAP
    assert clone.restore().way is Way.UNTOUCHED


def test_nor_what_was_prepared(make: Make) -> None:
    clone = make(*TWO)
    ddl = ("prepare it from 'alter table t add column z int'", "execute it")
    assert changed_by(clone, "set sql_log_bin = 0", *ddl).way is Way.SWAP


def test_what_is_done_in_other_databases_counts_as_nothing(make: Make, server: MysqlServer) -> None:
    clone, other = make(*TWO), make(*TWO)
    run(other.address, "insert into t (v) values (1)", "create table extra (id int)", "drop table t")
    assert clone.restore().way is Way.UNTOUCHED


def test_temporary_tables_cost_a_comparison_and_no_more(make: Make) -> None:
    clone = make(*TWO)
    run(clone.address, "create temporary table passing (id int)", "insert into passing values (1)")
    assert clone.restore().reason is None


def test_compressed_transactions_mean_a_sweep(make: Make) -> None:
    clone = make(*TWO)
    compressed = ("set session binlog_transaction_compression = 1", "insert into t (v) values (3)")
    assert changed_by(clone, *compressed).tables == ["other", "t"]


def test_a_log_that_was_rotated_is_read_on_and_one_that_is_gone_means_a_sweep(make: Make) -> None:
    clone = make(*TWO)
    assert changed_by(clone, "insert into t (v) values (3)", "flush binary logs").tables == ["t"]
    reset = "reset binary logs and gtids"
    assert changed_by(clone, "insert into t (v) values (3)", "flush binary logs", reset).tables == ["other", "t"]


def test_what_a_column_has_by_default_is_copied_with_its_rows(make: Make) -> None:
    clone = make(
        "create table t (id int primary key, at timestamp default current_timestamp,"
        " word varchar(9) default (upper('a')))",
        "insert into t values (1, '2001-02-03', 'b')",
    )
    assert str(run(clone.address, "select at, word from t")) == "[(datetime.datetime(2001, 2, 3, 0, 0), 'b')]"
    changed_by(clone, "update t set at = now(), word = default")


def test_who_knows_the_password_needs_no_cryptography(
    make: Make, server: MysqlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = make(*TWO)
    monkeypatch.setattr("pymysql._auth._have_cryptography", False)
    run(clone.address, "select 1")
    with closing(connect(clone.address)) as connection:
        for forgetting in ("create user passing@'%'", "drop user passing@'%'", "flush privileges"):
            connection.cursor().execute(forgetting)
        connection.cursor().execute("insert into t (v) values (3)")
        clone.welcome()
        clone.restore()
    run(clone.address, "select 1")


def test_no_setting_of_the_users_takes_away_what_a_rewind_reads(language: Language) -> None:
    wanted = {"performance_schema_instrument": "%=OFF", "performance_schema": "OFF", "sort_buffer_size": "1M"}
    options = embedded.settings_for(binaries=require_mysql(), server_settings=wanted).options()
    assert options["performance-schema-instrument"] == "wait/io/table/sql/handler=ON"
    assert (options["performance-schema"], options["sort-buffer-size"]) == ("ON", "1M")
