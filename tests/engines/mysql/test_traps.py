"""What makes a rewind on MariaDB silently wrong, or needlessly slow, one by one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import pymysql
import pytest
from tests.engines.mysql.mariadb import connect, dump, root_of, run

from mintdb.contract import Restored, Way
from mintdb.engines.mysql.clone import MysqlClone
from mintdb.engines.mysql.rewind.transactions import EACH, PATIENCE, Transactions, number_in
from mintdb.engines.mysql.schema import COLUMNS, TRIGGERS
from mintdb.engines.mysql.server import MysqlServer
from mintdb.engines.mysql.session import literal

Make = Callable[..., MysqlClone]
NUMBERED = "create table t (id int auto_increment primary key, v int)"
TWO = (NUMBERED, "create table other (id int auto_increment primary key)", "insert into t (v) values (1), (2)")


LOGGED_IN_ALL_WAYS = (
    "create sequence s",
    "create table isam (id int auto_increment primary key) engine=myisam",
    "create table part (id int auto_increment, at int, primary key (id, at)) partition by hash (at) partitions 3",
    "create table searched (id int auto_increment primary key, words varchar(50), fulltext (words))",
    "create table parent (id int primary key)",
    "create table child (p int, foreign key (p) references parent (id) on delete cascade)",
    "create table history (id int primary key, v int) with system versioning",
)
IN_ALL_WAYS = (
    ("insert into t (v) values (3)",),
    ("begin", "insert into t (v) values (3)", "update t set v = 4", "commit"),
    ("begin", "do nextval(s)", "insert into isam values ()", "insert into t (v) values (3)", "commit"),
    ("begin", "savepoint a", "insert into t (v) values (3)", "rollback to a", "insert into other values ()", "commit"),
    ("xa start 'n'", "insert into t (v) values (3)", "xa end 'n'", "xa commit 'n' one phase"),
    ("insert into part (at) select seq from seq_1_to_9",),
    ("update part set at = at + 1",),
    ("insert into searched (words) values ('apples')",),
    ("insert into parent values (1)",),
    ("insert into child values (1), (1)",),
    ("delete from parent",),
    ("insert into history values (1, 1)",),
    ("update history set v = 2",),
    ("set binlog_format = statement", "update t set v = 9", "set binlog_format = row"),
    ("delete from t",),
    ("insert into t (v) select seq from seq_1_to_99",),
    ("create temporary table passing select * from t", "insert into t (v) select v from passing"),
    ("create table made select * from t",),
)


def run_on(connection: pymysql.Connection, *statements: str) -> None:
    """Run statements over a connection that is open."""
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def changed_by(clone: MysqlClone, *statements: str) -> Restored:
    """Run statements, put the clone back, and see that nothing is left of them."""
    before = dump(clone.address)
    run(clone.address, *statements)
    restored = clone.restore()
    assert dump(clone.address) == before
    return restored


def test_children_that_a_cascade_deletes_or_changes_are_in_no_row_event(make: Make) -> None:
    clone = make(
        "create table parent (id int primary key)",
        "create table child (p int, foreign key (p) references parent (id) on delete cascade on update cascade)",
        "create table grandchild (p int, foreign key (p) references parent (id) on delete set null on update set null)",
        "insert into parent values (1), (2)",
        "insert into child values (1), (1)",
        "insert into grandchild values (1), (2)",
    )
    assert changed_by(clone, "delete from parent where id = 1").tables == ["child", "grandchild", "parent"]
    assert changed_by(clone, "update parent set id = 9 where id = 1").way is Way.REWIND


def test_what_a_session_without_binary_log_writes_is_seen(make: Make) -> None:
    clone = make(*TWO)
    assert changed_by(clone, "set sql_log_bin = 0", "update t set v = 9").tables == ["t"]
    assert changed_by(clone, "set sql_log_bin = 0", "truncate t").tables


@pytest.mark.parametrize(
    "ddl",
    [
        "create table extra (id int)",
        "alter table t add column z int",  # in an instant: InnoDB's table is the same afterwards
        "create view v as select 1",
        "create trigger twice before insert on t for each row set new.v = new.v * 2",
        "create procedure p() select 1",
        "drop event later",
    ],
)
def test_nor_is_its_ddl_hidden(make: Make, ddl: str) -> None:
    clone = make(*TWO, "create event later on schedule every 1 day starts '2035-01-01' do select 1")
    assert changed_by(clone, "set sql_log_bin = 0", ddl).way is Way.SWAP
    assert clone.restore().way is Way.UNTOUCHED


@pytest.mark.parametrize("option", ["", "stats_persistent=0"])
def test_no_number_of_its_writes_makes_the_counters_what_they_were(
    make: Make, server: MysqlServer, option: str
) -> None:
    clone = make(f"create table p (v int) {option}")
    counter = (
        "select modified_counter from information_schema.innodb_sys_tablestats"
        f" where name = '{clone.address.database}/p'"
    )
    with closing(connect(root_of(server, clone.address.database))) as root, root.cursor() as cursor:
        cursor.execute("set sql_log_bin = 0")
        cursor.execute(counter)
        before = cursor.fetchall()
        for _ in range(60):  # statistics that are not persistent count from 0 again after 17 writes to a small table
            cursor.execute("insert into p values (1)")
            cursor.execute(counter)
            if cursor.fetchall() == before:
                break
    assert clone.restore().tables == ["p"]


def test_a_put_back_that_fails_ends_in_a_database_made_anew_and_waits_for_nobody(make: Make) -> None:
    clone = make(*TWO)
    unseen = "alter table t rename column v to w"  # the TRUNCATE explains why the folder was touched
    restored = changed_by(clone, "set sql_log_bin = 0", unseen, "set sql_log_bin = 1", "truncate t")
    assert restored.reason is not None
    assert "putting it back failed" in restored.reason


@pytest.mark.parametrize("engine", ["memory", "myisam", "aria"])
def test_nor_is_it_hidden_in_tables_of_other_engines(make: Make, engine: str) -> None:
    clone = make(f"create table kept (id int auto_increment primary key, v int) engine={engine}", *TWO)
    for unseen in ("insert into kept (v) values (1)", "insert into kept (v) values (1); delete from kept"):
        assert changed_by(clone, "set sql_log_bin = 0", *unseen.split(";")).tables == ["kept"]
        assert clone.restore().way is Way.UNTOUCHED
    run(clone.address, "insert into kept (v) values (1)")
    clone.push_mark()
    assert changed_by(clone, "set sql_log_bin = 0", "update kept set v = 2").tables == ["kept"]
    assert changed_by(clone, "insert into t (v) values (3)").tables == ["t"]


def asks_for_counters(clone: MysqlClone) -> bool:
    """Whether the next rewind asks for InnoDB's counters, and not for its number of transactions alone."""
    asked = clone._rewinder.questions(clone._rewinder.read_log())
    return any("tablestats" in each for each in asked)


def put_back_until_the_log_is_trusted(clone: MysqlClone) -> None:
    explained = 0
    for _ in range(20):  # whoever else is on this server, as its keeper, may have taken a number
        run(clone.address, "insert into t (v) values (3)")
        clone.restore()
        explained = 0 if asks_for_counters(clone) else explained + 1
        if explained > PATIENCE:
            return
    if clone._work.dialect.number != COUNTED_ON:
        pytest.skip(f"{clone._work.dialect.product} numbers otherwise: there the counters are asked for each time")
    raise AssertionError("the log never explained InnoDB's number of transactions")


COUNTED_ON = (10, 11)  # how many numbers an ALTER takes
HIDDEN = {
    "without a log": ("set sql_log_bin = 0", "insert into other values ()"),
    "without a log, emptied": ("set sql_log_bin = 0", "truncate other"),
    "rolled back": ("begin", "insert into other values ()", "rollback"),
    "refused": ("insert ignore into single (v) values (1)",),
}


@pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN.keys())
@pytest.mark.parametrize(
    "logged", [(), ("insert into t (v) values (3)", "update t set v = 4")], ids=["alone", "beside"]
)
def test_what_is_not_in_the_log_is_seen_by_the_number_of_transactions(
    make: Make, hidden: tuple[str, ...], logged: tuple[str, ...]
) -> None:
    single = "create table single (id int auto_increment primary key, v int unique)"
    clone = make(*TWO, single, "insert into single values (1, 1)")
    put_back_until_the_log_is_trusted(clone)
    assert changed_by(clone, *logged, *hidden).way is Way.REWIND
    assert changed_by(clone, *hidden, "set sql_log_bin = 1", *logged).way is Way.REWIND


def test_a_number_that_an_insert_took_and_then_waited_in_vain_is_given_again(make: Make) -> None:
    clone = make(*TWO)
    put_back_until_the_log_is_trusted(clone)
    before = dump(clone.address)
    with closing(connect(clone.address)) as holder, closing(connect(clone.address)) as waiting:
        holder.cursor().execute("start transaction")
        holder.cursor().execute("select * from t where id > 0 for update")
        with pytest.raises(pymysql.err.OperationalError):
            run_on(waiting, "set innodb_lock_wait_timeout = 0", "insert into t (v) values (3)")
        holder.rollback()
        clone.restore()
    assert dump(clone.address) == before


def test_what_comes_into_the_log_behind_the_look_explains_nothing_later(make: Make) -> None:
    clone = make(*TWO)
    before = dump(clone.address)
    for _ in range(5):  # where the machine takes its time after the look, there is another one
        put_back_until_the_log_is_trusted(clone)
        clone.settle(seconds=1, ahead=True)
        run(clone.address, "insert into t (v) values (3)")
        clone.restore()
        run(clone.address, "begin", "insert into other values ()", "rollback")
        clone.restore()
        assert dump(clone.address) == before


def test_nor_does_what_comes_into_it_between_its_reading_and_the_question(make: Make) -> None:
    clone = make(*TWO)
    before = dump(clone.address)
    put_back_until_the_log_is_trusted(clone)
    read = clone._rewinder.read_log()
    run(clone.address, "insert into t (v) values (3)")
    clone._rewinder.put_back(read, clone._work.run_all(clone._rewinder.questions(read)))
    run(clone.address, "begin", "insert into other values ()", "rollback")
    clone.restore()
    assert dump(clone.address) == before


def test_counters_are_asked_for_where_others_take_numbers_time_and_again(make: Make) -> None:
    clone, other = make(*TWO), make(*TWO)
    put_back_until_the_log_is_trusted(clone)
    for expected in (False, True, True):
        run(other.address, "begin", "insert into t (v) values (3)", "rollback")
        clone.restore()
        assert asks_for_counters(clone) is expected


def test_no_transaction_in_the_log_takes_fewer_numbers_than_it_is_taken_for(make: Make, server: MysqlServer) -> None:
    clone = make(*TWO, *LOGGED_IN_ALL_WAYS)
    log, look = clone._rewinder._means.log, lambda: number_in(clone._work.rows(Transactions.question))
    assert log
    with closing(connect(clone.address)) as connection:
        for statements in IN_ALL_WAYS:
            position, before = log.end(), look()
            run_on(connection, *statements)
            seen, _ = log.read(position, clone.address.database)
            assert seen.transactions
            assert look() >= before + EACH * seen.transactions, statements


def test_what_is_logged_as_a_statement_is_seen(make: Make) -> None:
    clone = make(*TWO)
    assert "t" in changed_by(clone, "set binlog_format = statement", "update t set v = 9").tables


def test_numbers_taken_by_a_transaction_that_was_rolled_back_are_given_again(make: Make) -> None:
    clone = make(*TWO)
    restored = changed_by(clone, "begin", "insert into t (v) values (3), (4)", "rollback")
    assert restored.way is Way.REWIND
    with closing(connect(clone.address)) as connection, connection.cursor() as cursor:
        cursor.execute("insert into t (v) values (3)")
        assert cursor.lastrowid == 3


def test_a_counter_above_the_rows_goes_back_to_where_it_was_and_not_below(make: Make) -> None:
    clone = make(*TWO, "alter table t auto_increment = 100")
    changed_by(clone, "insert into t (v) values (1)", "delete from t", "alter table t auto_increment = 7")
    changed_by(clone, "truncate t")


@pytest.mark.parametrize("use", ["do nextval(s)", "do setval(s, 500)", "do nextval(s), setval(s, 3)"])
def test_cached_numbers_of_a_sequence_are_given_again(make: Make, use: str) -> None:
    clone = make("create sequence s start with 5", "do nextval(s)")
    first = run(clone.address, "select nextval(s)")
    clone.restore()
    run(clone.address, use)
    clone.restore()
    assert run(clone.address, "select nextval(s)") == first == [(6,)]


def test_a_sequence_goes_on_as_it_did(make: Make) -> None:
    clone = make("create sequence s start with 5 increment by 3 cache 10")
    for change in ("restart 99 increment 7", "maxvalue 1000 minvalue 4", "start 77", "cycle cache 3", "nocache"):
        for log in (1, 0):
            changed_by(clone, f"set sql_log_bin = {log}", f"alter sequence s {change}")
    assert run(clone.address, "select nextval(s)") == [(5,)]


def test_a_truncate_is_rows_and_no_change_of_the_schema(make: Make) -> None:
    clone = make(*TWO)
    restored = changed_by(clone, "truncate table t", "truncate other")
    assert restored.way is Way.REWIND
    assert restored.tables == ["other", "t"]


def test_temporary_tables_and_other_databases_count_as_nothing(make: Make, server: MysqlServer) -> None:
    clone, other = make(*TWO), make(*TWO)
    run(clone.address, "create temporary table passing (id int)", "insert into passing values (1)")
    run(other.address, "insert into t (v) values (1)", "create table extra (id int)")
    assert clone.restore().way is Way.UNTOUCHED


def test_a_statement_from_another_database_is_seen_by_the_name_it_uses(make: Make, server: MysqlServer) -> None:
    clone = make(*TWO)
    before = dump(clone.address)
    run(root_of(server), f"alter table `{clone.address.database}`.t add column z int")
    assert clone.restore().way is Way.SWAP
    assert dump(clone.address) == before


def test_no_trigger_fires_while_rows_are_put_back_and_all_are_there_afterwards(make: Make) -> None:
    clone = make(
        NUMBERED,
        "create table log (what varchar(20))",
        "create trigger a before insert on t for each row set new.v = new.v * 2",
        "create trigger b after insert on t for each row insert into log values ('in')",
        "create trigger c after insert on t for each row insert into log values ('again')",
        "create trigger d before delete on t for each row signal sqlstate '45000' set message_text = 'never'",
        "insert into t (v) values (1), (2)",
    )
    assert changed_by(clone, "insert into t (v) values (5)", "delete from log").way is Way.REWIND


def test_the_history_of_a_versioned_table_goes_too(make: Make) -> None:
    clone = make("create table h (id int primary key, v int) with system versioning", "insert into h values (1, 1)")
    run(clone.address, "update h set v = 2", "delete from h")
    clone.restore()
    assert run(clone.address, "select id, v from h for system_time all") == [(1, 1)]


def test_rows_that_a_prepared_transaction_locks_are_put_back(make: Make) -> None:
    clone = make(*TWO)
    changed_by(clone, "xa start 'left'", "update t set v = 9", "xa end 'left'", "xa prepare 'left'")


def test_a_log_that_was_rotated_is_read_on_and_one_that_is_gone_means_a_sweep(make: Make, server: MysqlServer) -> None:
    clone = make(*TWO)
    assert changed_by(clone, "insert into t (v) values (3)", "flush binary logs").tables == ["t"]
    restored = changed_by(clone, "insert into t (v) values (3)", "flush binary logs", "reset master")
    assert restored.tables == ["other", "t"]


def test_a_dropped_database_is_made_anew_under_its_name(make: Make) -> None:
    clone = make(*TWO)
    before = dump(clone.address)
    run(clone.address, f"drop database `{clone.address.database}`")
    assert clone.restore().way is Way.SWAP
    assert dump(clone.address) == before


def test_a_wider_session_that_only_reads_stays_unless_its_table_is_needed_alone(make: Make) -> None:
    clone = make(*TWO, "create table plain (v int)")
    with closing(connect(clone.address, autocommit=False)) as reader:
        reader.cursor().execute("select * from plain")
        clone.welcome()
        run(clone.address, "insert into plain values (1)")
        assert clone.restore().ended == []
        reader.cursor().execute("select * from t")
        run(clone.address, "insert into t (v) values (1)")
        assert [session.backend_pid for session in clone.restore().ended] == [reader.thread_id()]


def test_a_poller_whose_statement_has_just_begun_is_not_ended(make: Make) -> None:
    clone = make(*TWO)
    done = threading.Event()
    with closing(connect(clone.address)) as poller, ThreadPoolExecutor(1) as thread:

        def poll() -> int:
            while not done.wait(0.01):
                poller.cursor().execute("select sleep(0.01), v from t")
            return poller.thread_id()

        polling = thread.submit(poll)
        try:
            for _ in range(20):
                run(clone.address, "insert into other values ()")
                assert clone.restore().ended == []
        finally:
            done.set()
        polling.result()


def test_who_is_there_and_what_was_written_is_asked_once_when_a_lease_ends(make: Make, server: MysqlServer) -> None:
    clone = make(*TWO)
    asked = "show status like 'Questions'"

    def questions(*, ahead: bool) -> int:
        before = int(clone._work.row(asked)[1])
        clone.settle(seconds=1, ahead=ahead)
        assert clone.restore().way is Way.UNTOUCHED
        return int(clone._work.row(asked)[1]) - before

    # Where the machine takes its time between the two, both ask.
    assert min(questions(ahead=True) for _ in range(20)) == questions(ahead=False)
    late = clone.settle(seconds=1, ahead=True)
    run(clone.address, "insert into t (v) values (3)")
    assert late.in_the_way == []
    clone.restore()
    clone.restore()
    assert run(clone.address, "select count(*) from t") == [(2,)]


def test_what_is_written_without_log_behind_the_look_is_seen_the_next_time(make: Make) -> None:
    clone = make(*TWO)
    with closing(connect(clone.address, init_command="set sql_log_bin = 0")) as unlogged:
        for _ in range(5):  # where the machine takes its time after the look, there is another one
            run(clone.address, "insert into t (v) values (3)")
            clone.settle(seconds=1, ahead=True)
            unlogged.cursor().execute("insert into other values ()")
            clone.restore()
            clone.restore()
            assert run(clone.address, "select count(*) from other") == [(0,)]


def test_changed_users_are_told_for_they_stay(make: Make, server: MysqlServer) -> None:
    clone = make(*TWO)
    run(clone.address, "create user passing@'%'", "insert into t (v) values (3)")
    assert clone.restore().outside == ("users and their rights",)
    run(root_of(server), "drop user passing@'%'")


def test_a_mark_with_ddl_is_returned_to(make: Make) -> None:
    clone = make(*TWO)
    at_first = dump(clone.address)
    run(clone.address, "create table extra (id int auto_increment primary key)", "insert into extra values (5)")
    clone.push_mark()
    changed_by(clone, "drop table extra", "delete from t")
    clone.drop_mark(1)
    clone.restore()
    assert dump(clone.address) == at_first


@pytest.mark.parametrize("statement", [TRIGGERS, COLUMNS], ids=["triggers", "columns"])
def test_definitions_are_read_without_a_look_at_other_databases(make: Make, statement: str) -> None:
    clone = make(*TWO)
    (told,) = run(clone.address, "explain " + statement.format(here=literal(clone.address.database)))
    assert "Scanned all databases" not in str(told)


def test_a_clone_is_as_its_template_in_everything_that_shows(server: MysqlServer, template: str, make: Make) -> None:
    clone = server.clone(template, "mint_test_abcdefg_alike")
    try:
        alike = dump(replace(clone.address, database=template))
        assert dump(clone.address) == alike
    finally:
        clone.drop()
