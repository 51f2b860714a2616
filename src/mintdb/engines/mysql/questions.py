"""How each server is asked who is connected to a database, and who holds a lock in it.

Two statements for one packet: one that joins the two views would take the server twice as long. When a lease ends, and
mostly nobody is at work, MariaDB is asked in brief, which spares it and the driver half of that.
"""

from __future__ import annotations

from collections.abc import Mapping

from mintdb.engines.mysql.session import Session, literal
from mintdb.facts import dataclass

HOLDS = "@mintdb_held regexp concat('(^|,)', {id}, ' ')"

# MariaDB: the plugin `metadata_lock_info`, loaded in servers of ours, shows a transaction as soon as it has touched a
# table. INNODB_TRX, all that others' servers offer, is cached by the server for 100 ms
# (storage/innobase/trx/trx0i_s.cc, CACHE_MIN_IDLE_TIME_NS).
PLUGIN = "metadata_lock_info"
LOCKS_OF_MARIADB = """
select @mintdb_held := group_concat(thread_id, ' ', lock_mode) from information_schema.metadata_lock_info
where table_schema = {database} or lock_mode like 'MDL_BACKUP_FTWRL%'
"""
TRANSACTIONS = """
select @mintdb_held := group_concat(trx_mysql_thread_id, ' ',
                                    if(trx_rows_modified > 0, 'MDL_SHARED_WRITE', 'MDL_SHARED_READ'))
from information_schema.innodb_trx
"""
BRIEFLY = """
select (select group_concat(thread_id, ' ', lock_mode) from information_schema.metadata_lock_info
        where table_schema = {database} or lock_mode like 'MDL_BACKUP_FTWRL%'),
    (select group_concat(id, ' ', query_id, ' ', command) from information_schema.processlist
        where db = {database} and host <> '')
"""
NOTHING = "select null"
PROCESSES = """
select id, command, {milliseconds}, info, host, {moment} from information_schema.processlist
where (db = {database} or {holds}) and id <> connection_id() order by id
"""
IN_MARIADB = {"milliseconds": "time_ms", "moment": "query_id"}
IN_MYSQL = {"milliseconds": "time * 1000", "moment": "time"}

# MySQL: performance_schema, as it is from the start. It also knows what somebody idle did last, and when.
INSTRUMENT = "wait/lock/metadata/sql/mdl"
LOCKS_OF_MYSQL = """
select @mintdb_held := group_concat(t.processlist_id, ' MDL_', l.lock_type) from performance_schema.metadata_locks l
join performance_schema.threads t on t.thread_id = l.owner_thread_id
where l.lock_status = 'GRANTED'
and (l.object_schema = {database} or l.object_type = 'GLOBAL' and l.lock_type = 'SHARED')
"""
THREADS = """
select p.id, p.command,
    coalesce((cast(n.timer_start as signed) - cast(if(p.command = 'Sleep', e.timer_end, e.timer_start) as signed))
             / 1000000000, p.time * 1000),
    coalesce(p.info, e.sql_text), p.host, coalesce(e.event_id, p.time)
from performance_schema.processlist p join performance_schema.threads t on t.processlist_id = p.id
left join performance_schema.events_statements_current e on e.thread_id = t.thread_id and e.nesting_event_level = 0
left join performance_schema.events_statements_current n
    on n.thread_id = ps_current_thread_id() and n.nesting_event_level = 0
where (p.db = {database} or {holds}) and p.id <> connection_id() order by p.id
"""


@dataclass(frozen=True)
class Questions:
    """What a server is asked. The second answer has, of each session that is connected or in the first: its number,
    command, milliseconds in it, statement, host, and a number that changes whenever it begins a statement.
    """

    held: str
    listed: str
    by_locks: bool  # whether the first shows metadata locks
    brief: str = ""  # one row: the first answer, and of those connected their number, that of statements, and command

    def about(self, database: str) -> list[str]:
        """The two statements."""
        return [each.format(database=literal(database)) for each in (self.held, self.listed)]

    def briefly(self, database: str) -> list[str]:
        """What is enough to know that nobody is at work; the two statements where nothing shorter is."""
        return [self.brief.format(database=literal(database))] if self.brief else self.about(database)


def find_questions(session: Session) -> Questions:
    """The best that this server and this account allow."""
    if session.dialect.is_mariadb and _has_plugin(session):
        return Questions(LOCKS_OF_MARIADB, _processes(IN_MARIADB, by_locks=True), True, BRIEFLY)
    if session.dialect.is_mariadb:
        return Questions(_transactions(session), _processes(IN_MARIADB, by_locks=False), False)
    best = Questions(LOCKS_OF_MYSQL, THREADS.replace("{holds}", HOLDS.format(id="p.id")), True)
    if _is_instrumented(session) and all(session.try_run(each) for each in best.about("")):
        return best
    return Questions(_transactions(session), _processes(IN_MYSQL, by_locks=False), False)


def _has_plugin(session: Session) -> bool:
    active = "select 1 from information_schema.plugins where plugin_name = %s and plugin_status = 'ACTIVE'"
    return bool(session.rows(active, PLUGIN))


def _transactions(session: Session) -> str:
    """Neither product lets an account without PROCESS ask for them."""
    return TRANSACTIONS if session.try_run(TRANSACTIONS) else NOTHING


def _is_instrumented(session: Session) -> bool:
    enabled = "select 1 from performance_schema.setup_instruments where name = {} and enabled = 'YES'"
    statement = enabled.format(literal(INSTRUMENT))
    return session.try_run(statement) and bool(session.rows(statement))


def _processes(columns: Mapping[str, str], *, by_locks: bool) -> str:
    return PROCESSES.format(**columns, holds=HOLDS.format(id="id") if by_locks else "false", database="{database}")
