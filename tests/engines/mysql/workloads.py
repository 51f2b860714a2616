"""Random workloads of several connections, for a template with one of everything that is hard to put back."""

from __future__ import annotations

import contextlib
from typing import Any

import pymysql
from hypothesis import strategies as st
from tests.engines.mysql.mariadb import connect

from mintdb.address import Address
from mintdb.core.names import new_token

TEMPLATE = (
    "create table customer"
    " (id int auto_increment primary key, name varchar(40) not null, n int default 0, unique (name))",
    "create table orders (id int auto_increment primary key, customer_id int, note varchar(40),"
    " foreign key (customer_id) references customer (id) on delete cascade on update cascade)",
    "create table item (id int auto_increment primary key, order_id int, parent int,"
    " foreign key (order_id) references orders (id) on delete set null,"
    " foreign key (parent) references item (id) on delete cascade)",
    "create table log (id int auto_increment primary key, what varchar(80))",
    "create table plain (a int, b varchar(20))",
    "create table doubled (id int primary key, twice int as (id * 2) stored, thrice int as (id * 3) virtual)",
    "create table part (id int auto_increment, at int, primary key (id, at)) partition by hash (at) partitions 3",
    "create table isam (id int auto_increment primary key, v varchar(20)) engine = MyISAM",
    "create table aria (id int auto_increment primary key, v varchar(20)) engine = Aria",
    "create table memory (id int primary key, v varchar(20)) engine = MEMORY",
    "create table `od-d né` (id int auto_increment primary key, `select` json)",
    "create table triggered (id int auto_increment primary key, v int)",
    "create table zero (id int primary key, at timestamp not null default '2020-01-01 00:00:00')",
    "create sequence numbers",
    "create sequence tens start with 10 increment by 10 cache 3 maxvalue 200 cycle",
    "create table from_sequence (id int not null default nextval(numbers) primary key, v int)",
    "create view names as select name from customer",
    "create view two_names as select name from names limit 2",
    "create function plus_one(n int) returns int deterministic return n + 1",
    "create procedure add_plain(in n int) insert into plain values (n, 'by procedure')",
    "create trigger log_insert after insert on triggered for each row insert into log (what) values (new.v)",
    "create trigger log_more after insert on triggered for each row insert into log (what) values ('more')",
    "create trigger log_delete before delete on triggered for each row insert into log (what) values ('deleted')",
    "create event later on schedule every 1 day starts '2035-01-01' do insert into log (what) values ('event')",
    "insert into customer (name) values ('Ann'), ('Bob'), ('Cy')",
    "insert into orders (customer_id, note) values (1, 'first'), (1, 'second'), (3, null)",
    "insert into item (order_id, parent) values (1, null), (1, 1), (2, 1)",
    "insert into plain values (1, 'x'), (1, 'x'), (null, null)",
    "insert into part (at) values (1), (2), (3), (4)",
    "insert into isam (v) values ('one'), ('two')",
    "insert into triggered (v) values (7), (8)",
    "insert into zero values (0, '2021-02-03 04:05:06')",
    "alter table orders auto_increment = 100",
    "do nextval(tens)",
)

ROWS = (
    "insert into customer (name) values ('{v}')",
    "insert ignore into customer (name) values ('Ann')",
    "insert into customer (name) values ('Ann')",
    "replace into customer (id, name) values (1, 'Ann {v}')",
    "insert into customer (name, n) values ('Bob', 1) on duplicate key update n = n + 1",
    "insert into customer (id, name) values ({k}00, '{v}')",
    "update customer set n = n + {k}",
    "update customer set id = id + 1000 where id = {k}",
    "update customer set name = name where id = 1",
    "delete from customer where id = {k}",
    "delete from customer",
    "insert into orders (customer_id, note) values ({k}, '{v}')",
    "delete from orders where id <= {k}",
    "insert into item (order_id) values (1)",
    "delete from item where id = 1",
    "insert into plain select * from plain",
    "update plain set b = '{v}' limit 1",
    "delete from plain limit 1",
    "call add_plain({k})",
    "insert into doubled (id) values ({k})",
    "insert into part (at) values ({k})",
    "update part set at = at + 1",
    "delete from part where at = {k}",
    "insert into isam (v) values ('{v}')",
    "delete from isam where id = 1",
    "update aria set v = 'x'",
    "insert into aria (v) values ('{v}')",
    "replace into memory values ({k}, '{v}')",
    "insert into `od-d né` (`select`) values ('{{\"a\": {k}}}')",
    "insert into triggered (v) values ({k})",
    "delete from triggered where v >= {k}",
    "insert into zero (id) values ({k})",
    "update zero set at = '2022-01-01' where id = 0",
    "insert into from_sequence (v) values ({k})",
    "select nextval(numbers)",
    "select nextval(tens)",
    "do setval(numbers, {k}00)",
    "truncate table plain",
    "truncate table log",
    "truncate triggered",
    "truncate part",
)
TRANSACTIONS = (
    "begin",
    "begin",
    "start transaction with consistent snapshot",
    "commit",
    "rollback",
    "savepoint a",
    "rollback to savepoint a",
    "set autocommit = 0",
    "set autocommit = 1",
    "select * from customer for update",
    "lock tables customer write",
    "unlock tables",
    "xa start 'x{{x}}{k}'",
    "xa end 'x{{x}}{k}'",
    "xa prepare 'x{{x}}{k}'",
    "xa rollback 'x{{x}}{k}'",
)
AROUND = (
    "create temporary table if not exists passing (id int)",
    "create temporary table customer (id int)",
    "drop temporary table if exists passing",
    "insert into passing values (1)",
    "analyze table customer",
    "optimize table plain",
    "flush tables",
    "set sql_log_bin = 0",
    "set sql_log_bin = 1",
    "set binlog_format = statement",
    "set binlog_format = row",
    "set foreign_key_checks = 0",
    "set foreign_key_checks = 1",
)
DDL = (
    "create table extra (id int auto_increment primary key, v int)",
    "insert into extra (v) values (1)",
    "drop table if exists extra",
    "alter table customer add column z int default 5",
    "alter table plain add index by_a (a)",
    "alter table orders engine = InnoDB",
    "alter table part add partition partitions 1",
    "alter table customer auto_increment = 500",
    "rename table plain to elsewhere",
    "rename table elsewhere to plain",
    "drop table if exists item",
    "drop view two_names",
    "create or replace view names as select 1 as name",
    "drop trigger if exists log_insert",
    "create trigger extra_trigger before insert on plain for each row set new.b = 'by trigger'",
    "drop function if exists plus_one",
    "create or replace procedure add_plain(in n int) select n",
    "drop event if exists later",
    "create sequence more",
    "drop sequence if exists tens",
    "create or replace table isam (id int)",
    "alter database collate utf8mb4_bin",
)


def statements(*, ddl: bool) -> st.SearchStrategy[str]:
    kinds = [st.sampled_from(ROWS)] * 6 + [st.sampled_from(TRANSACTIONS)] * 2 + [st.sampled_from(AROUND)]
    texts = st.one_of(*kinds, *([st.sampled_from(DDL)] * 2 if ddl else []))
    return st.builds(lambda text, k, v: text.format(k=k, v=v), texts, st.integers(1, 3), st.sampled_from("pqr"))


def steps(*, ddl: bool, longest: int) -> st.SearchStrategy[list[tuple[int, str]]]:
    """Statements, each with the connection that runs it: 0 or 1, or 2 for one that is dropped in the middle."""
    return st.lists(st.tuples(st.sampled_from((0, 0, 0, 1, 2)), statements(ddl=ddl)), min_size=1, max_size=longest)


def work(address: Address, workload: list[tuple[int, str]], *, leave_open: bool) -> list[object]:
    """Run a workload; what each step gave, a refusal as its number. Connections are left as they are, or closed."""
    connections: dict[int, Any] = {}
    xid = new_token()  # these are known to the whole server
    results: list[object] = []
    for who, statement in workload:
        if who not in connections:
            connections[who] = connect(address, init_command="set lock_wait_timeout = 0, innodb_lock_wait_timeout = 0")
        results.append(_step(connections[who], statement.replace("{x}", xid)))
    for connection in connections.values():
        if not leave_open:
            with contextlib.suppress(pymysql.MySQLError):
                connection.close()
    # Those that are left open are held, or they would be closed by the garbage collector.
    return [results, connections if leave_open else None]


def _step(connection: Any, statement: str) -> object:
    try:
        with connection.cursor() as cursor:
            count = cursor.execute(statement)
            return count, cursor.lastrowid, cursor.fetchall()
    except pymysql.MySQLError as error:
        return error.args[0] if error.args else "closed"
