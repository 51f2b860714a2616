"""Make a session fit to rewind with: no trigger, setting or time limit of the user's may have a say in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

from psycopg import Connection, Error, sql
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

from mintdb.facts import dataclass

Session: TypeAlias = Connection[TupleRow]

LOCK_TIMEOUT_MS = 250  # a lock held longer than this by a session that may stay: the caller retries or swaps
OWN_PATH = "pg_catalog, pg_temp"
OID_OF_THIS = sql.SQL("select oid from pg_catalog.pg_database where datname = pg_catalog.current_database()")

SETTINGS = {
    # Stops ordinary triggers, rules and foreign keys. Left on for good: switching it throws cached plans away.
    "session_replication_role": "replica",
    "lock_timeout": f"{LOCK_TIMEOUT_MS}ms",
    "statement_timeout": "0",
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "default_transaction_deferrable": "off",
    "default_table_access_method": "heap",
    "default_tablespace": "",
    "temp_tablespaces": "",
    "search_path": OWN_PATH,
    "client_min_messages": "error",
    "row_security": "off",
    "jit": "off",
    "check_function_bodies": "off",  # ours are known to be right: a fifth of what declaring them costs
    "max_parallel_workers_per_gather": "0",
    "synchronous_commit": "off",
    # Values that travel as text must read back as they were.
    "timezone": "UTC",
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "xmloption": "content",
}
SINCE_17 = {"transaction_timeout": "0", "event_triggers": "off"}


@dataclass(frozen=True)
class Powers:
    """What the server and the role allow."""

    version: int  # as libpq counts: 180006
    superuser: bool
    wal: bool = False  # pg_walinspect can be used
    database: int = 0  # its oid

    @property
    def blocks(self) -> bool:
        """Whether pg_walinspect tells block references as numbers (16+) rather than text (15)."""
        return self.version >= 160000

    @property
    def flushes(self) -> bool:
        """Whether a logical message can flush the WAL by itself."""
        return self.version >= 170000


def prepare(session: Session) -> Powers:
    """Take the session over and learn its powers."""
    version = session.info.server_version
    if session.info.parameter_status("is_superuser") != "on":
        return Powers(version, superuser=False)
    settings = SETTINGS | (SINCE_17 if version >= 170000 else {})
    cursor = session.execute(sql.SQL("; ").join([OID_OF_THIS, *map(_setting, settings.items())]))  # one trip
    return Powers(version, superuser=True, database=cursor.fetchall()[0][0])


@contextmanager
def names_as_the_user(session: Session) -> Iterator[None]:
    """In the block, a name in a function of the user's means what it means in a session of the user's."""
    session.execute("set search_path to default")
    try:
        yield
    finally:
        if session.info.transaction_status != TransactionStatus.INERROR:  # its end undoes it
            session.execute(_setting(("search_path", OWN_PATH)))


def _setting(item: tuple[str, str]) -> sql.Composed:
    return sql.SQL("set {} to {}").format(sql.Identifier(item[0]), _value(*item))


def _value(name: str, value: str) -> sql.Composable:
    # search_path is a list: one quoted literal would name a single schema
    return sql.SQL(OWN_PATH) if name == "search_path" else sql.Literal(value)


# A lock was held, a deadlock was broken, or a late writer holds the key of a row that was to be put back.
TRANSIENT = {"55P03", "40P01", "40001", "23505", "23P01"}


def is_transient(error: Error) -> bool:
    """Whether the same put-back may work a moment later."""
    return error.sqlstate in TRANSIENT
