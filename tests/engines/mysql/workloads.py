"""Random workloads of several connections, for a template with one of everything that is hard to put back.

MariaDB and MySQL share most of it; what only one of them has is told apart by product.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import pymysql
from hypothesis import strategies as st
from tests.engines.mysql.mariadb import connect

from mintdb.address import Address
from mintdb.core.names import new_token

ONLY_MARIADB = ("sequence", "nextval", "setval", "aria", "or replace table", "or replace procedure")
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

OF_MYSQL = (
    "create table shown (id int auto_increment primary key, name varchar(40) collate utf8mb4_0900_as_cs,"
    " token varchar(36) default (concat('t', 1 + 1)), hidden int invisible default 3, born timestamp default"
    " current_timestamp on update current_timestamp, shape geometry, doc json, n int check (n < 100),"
    " m int, constraint loose check (m < 0) not enforced, index ((lower(name))), index late (name(3) desc) invisible,"
    " index tags ((cast(doc->'$.tags' as unsigned array))))",
    "create table linked (id int primary key, shown_id int, foreign key (shown_id) references shown (id)"
    " on delete cascade on update cascade)",
    "create table ranged (id int not null, at date not null, primary key (id, at)) partition by range columns (at)"
    " (partition old values less than ('2020-01-01'), partition new values less than (maxvalue))",
    "set sql_generate_invisible_primary_key = 1",
    "create table keyless (v int)",
    "set sql_generate_invisible_primary_key = 0",
    "create table searched (id int auto_increment primary key, words varchar(80), fulltext (words))",
    "insert into shown (name, hidden, born, shape, doc, n, m) values ('One', 4, '2001-02-03 04:05:06',"
    " st_geomfromtext('point(1 2)'), '{\"tags\": [1, 2]}', 5, 7), ('Two', 5, '2002-02-02', null, null, 6, 8)",
    "insert into searched (words) values ('late apples')",
    "insert into linked values (1, 1), (2, 2)",
    "insert into ranged values (1, '2019-01-01'), (1, '2021-01-01')",
    "insert into keyless values (1), (2)",
    "delete from keyless where v = 1",
)
ROWS_OF_MYSQL = (
    "insert into shown (name, n) values ('{v}', {k})",
    "insert into shown (name, n) values ('{v}', 100)",
    "update shown set hidden = hidden + {k}",
    "update shown set id = id + 10 where id = {k}",
    "delete from shown where id = {k}",
    "update shown set doc = json_set(coalesce(doc, '{{}}'), '$.tags', json_array({k})) where id = 1",
    "insert into linked values (1{k}, {k})",
    "insert into searched (words) values ('apples {v}')",
    "update searched set words = 'pears' where id = {k}",
    "select id from searched where match (words) against ('apples') order by id",
    "insert into ranged values ({k}, '2022-01-0{k}')",
    "update ranged set at = '2023-01-01'",
    "alter table ranged truncate partition old",
    "insert into keyless values ({k})",
    "delete from keyless limit 1",
    "insert into customer (name) values ('{v}') as new on duplicate key update name = concat(new.name, '{k}')",
    "with c as (select id from customer) delete from orders where customer_id in (select id from c)",
)
DDL_OF_MYSQL = (
    "alter table shown add column z int default {k}, algorithm = instant",
    "alter table shown drop column m",
    "alter table shown alter index late visible",
    "alter table shown alter constraint loose enforced",
    "alter table keyless add primary key (v)",
    "alter table customer rename column n to m",
    "drop table shown",
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
    "alter sequence tens increment by 5 nocycle maxvalue 400",
    "alter sequence numbers restart with 50",
    "create or replace table isam (id int)",
    "alter database collate utf8mb4_bin",
)


@dataclass(frozen=True)
class Language:
    """What one product's template is made of, and what its workloads say."""

    template: tuple[str, ...]
    rows: tuple[str, ...]
    ddl: tuple[str, ...]


def _shared(statements: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(each for each in statements if not any(word in each.lower() for word in ONLY_MARIADB))


MARIADB = Language(TEMPLATE, ROWS, DDL)
MYSQL = Language(_shared(TEMPLATE) + OF_MYSQL, _shared(ROWS) + ROWS_OF_MYSQL, _shared(DDL) + DDL_OF_MYSQL)


def statements(language: Language, *, ddl: bool) -> st.SearchStrategy[str]:
    kinds = [st.sampled_from(language.rows)] * 6 + [st.sampled_from(TRANSACTIONS)] * 2 + [st.sampled_from(AROUND)]
    texts = st.one_of(*kinds, *([st.sampled_from(language.ddl)] * 2 if ddl else []))
    return st.builds(lambda text, k, v: text.format(k=k, v=v), texts, st.integers(1, 3), st.sampled_from("pqr"))


def steps(*, ddl: bool, longest: int, language: Language = MARIADB) -> st.SearchStrategy[list[tuple[int, str]]]:
    """Statements, each with the connection that runs it: 0 or 1, or 2 for one that is dropped in the middle."""
    who = st.sampled_from((0, 0, 0, 1, 2))
    return st.lists(st.tuples(who, statements(language, ddl=ddl)), min_size=1, max_size=longest)


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
