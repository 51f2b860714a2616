"""Give connections that stay open over a rewind the session state that they had before the test, or close them.

What a test SET, PREPAREd, DECLAREd, LISTENed to, locked or left in temporary tables goes; what a pool's connect event
or a wider fixture had set stays. Not every setting can be read back (`set app.tenant = …` is in no catalog), so the
ways differ:

- a connection of a pool that does nothing to its connections is reset altogether: nobody had set anything;
- one of a pool with a connect event or a configure callback is closed, and the pool dresses its next one anew;
- one that cannot be closed, because nobody would open it again, gets back what can be read: see `remember`. Where it is
  seen for the first time after a test, what is set and listened to may be the application's own, and stays; locks and
  temporary tables would be in the next test's way, and go.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from threading import get_ident
from typing import ParamSpec, TypeVar

from mintdb.connections import mysql_state
from mintdb.connections.facts import Entry, Owner, SpeaksMysql
from mintdb.connections.ledger import ledger
from mintdb.connections.mysql_state import MysqlState
from mintdb.connections.pools import pools
from mintdb.contract import BY_MINTDB
from mintdb.facts import dataclass

# transaction_* belong to a transaction, although they are called settings of the session while it lasts.
_READ_SETTINGS = """
select (select coalesce(json_object_agg(name, setting), '{}') from pg_catalog.pg_settings
         where source = 'session' and name not like 'transaction\\_%')::text,
       pg_catalog.current_setting('role')"""
_READ_ALL = """,
       (select coalesce(json_agg(channel), '[]') from pg_catalog.pg_listening_channels() as channel)::text,
       (select coalesce(json_agg(json_build_array(classid::bigint, objid::bigint, objsubid, mode)), '[]')
          from pg_catalog.pg_locks where locktype = 'advisory' and pid = pg_catalog.pg_backend_pid())::text,
       (select coalesce(json_agg(oid::regclass::text), '[]') from pg_catalog.pg_class
         where relnamespace = pg_catalog.pg_my_temp_schema() and relkind in ('r', 'v', 'S', 'p'))::text,
       (select coalesce(json_agg(name), '[]') from pg_catalog.pg_prepared_statements where from_sql)::text,
       (select coalesce(json_agg(name), '[]') from pg_catalog.pg_cursors where is_holdable)::text"""

# What a driver prepares for itself is not from SQL: its connection object counts on it.
_DEALLOCATE = """
do $$ declare n text; begin
  for n in select name from pg_catalog.pg_prepared_statements where from_sql loop
    execute pg_catalog.format('deallocate %I', n);
  end loop;
end $$"""

RESET_ALL = (
    "reset session authorization",
    "reset role",
    "reset all",
    "unlisten *",
    "close all",
    _DEALLOCATE,
    "discard temp",
    "discard sequences",
    "select pg_catalog.pg_advisory_unlock_all()",
)
RESET_WITHOUT_DRIVERS = tuple("deallocate all" if each is _DEALLOCATE else each for each in RESET_ALL)
"""The same in less than half the time, where no driver counts on statements that it has prepared."""


@dataclass(frozen=True)
class State:
    """What can be read of a session's state."""

    settings: frozenset[tuple[str, str]] = frozenset()
    channels: frozenset[str] = frozenset()
    locks: frozenset[tuple[int, int, int, str]] = frozenset()
    temporary: frozenset[str] = frozenset()
    role: str = "none"
    prepared: frozenset[str] = frozenset()  # by an SQL statement
    cursors: frozenset[str] = frozenset()  # WITH HOLD


PLAIN = State()
"""A session to which nothing was done."""


def remember(entries: Iterable[Entry]) -> None:
    """Note connections' present state as the one to return to: at a mark, for those that `put_back` cannot close.

    One round trip each, four on MariaDB; those that are in use, asynchronous or known already are left out.
    """
    for entry in entries:
        if entry.baseline is None:
            entry.baseline = _try(_read_any, entry)


def find_held(entry: Entry) -> tuple[str, ...]:
    """What a session keeps between transactions and the server tells nobody else: temporary tables, LISTEN.

    One round trip on an idle connection; nothing of one that is in use, asynchronous or cannot answer.
    """
    state = _try(_read, entry)
    if state is None:
        return ()
    tables = [f"temporary table {name}" for name in sorted(state.temporary)]
    return (*tables, *(f"LISTEN {channel}" for channel in sorted(state.channels)))


def put_back(entries: Iterable[Entry]) -> Sequence[Entry]:
    """Put the state of open connections back, or close them through their pool; returns those left as they are.

    Left are connections in use and those of event loops; one round trip each, give those only that the test used.
    """
    left = {id(entry): entry for entry in entries if entry.is_open}

    def keep(entry: Entry) -> bool:
        return left.pop(id(entry), None) is None or _undress(entry)

    pools.visit_idle(keep, _owners(left.values()))
    return [entry for entry in left.values() if not _put_back_what_is_readable(entry)]


def _owners(entries: Iterable[Entry]) -> Iterable[Owner]:
    return list(dict.fromkeys(entry.owner for entry in entries if entry.owner is not None))


def _undress(entry: Entry) -> bool:
    """Reset a pool's idle connection altogether; False if it must be closed instead."""
    if entry.owner is None or entry.owner.pool is None or entry.owner.pool.is_dressed():
        return False
    if entry.baseline is None:
        # Seen for the first time. What is set now may be its driver's (client_encoding) or the test's; nothing else is
        # asked for: the first question after temporary tables, locks and the like takes a session three times as long.
        entry.baseline = _try(_read_settings, entry)
    return entry.baseline == PLAIN and _try(_run, entry, RESET_ALL) is not None


def _put_back_what_is_readable(entry: Entry) -> bool:
    if entry.baseline is None and entry.alias is not None:
        return False  # Django's are made new where mintdb.django is at work
    now = _try(_read_any, entry)
    if entry.baseline is None and now is not None:
        entry.baseline = _without_obstacles(now)
    before = entry.baseline
    if isinstance(now, State) and isinstance(before, State):
        statements = list(differences(now, before))
        return not statements or _try(_run, entry, statements) is not None
    if isinstance(now, MysqlState) and isinstance(before, MysqlState):
        return all(_ask(entry, each) is not None for each in mysql_state.differences(now, before))
    return False


def _without_obstacles(state: State | MysqlState) -> State | MysqlState:
    if isinstance(state, MysqlState):
        return replace(state, locks=frozenset())
    return replace(state, locks=frozenset(), temporary=frozenset())


def differences(now: State, before: State) -> Iterator[str]:
    """The statements that lead from one state back to the other."""
    if now.role != before.role:
        yield f"set role {'none' if before.role == 'none' else _name(before.role)}"
    for name, _ in sorted(now.settings - before.settings):
        yield f"reset {_setting(name)}"
    for name, value in sorted(before.settings - now.settings):
        yield f"select pg_catalog.set_config({_literal(name)}, {_literal(value)}, false)"
    yield from (f"unlisten {_name(channel)}" for channel in sorted(now.channels - before.channels))
    yield from (f"listen {_name(channel)}" for channel in sorted(before.channels - now.channels))
    yield from (_unlock(*lock) for lock in sorted(now.locks - before.locks))
    yield from (f"deallocate {_name(statement)}" for statement in sorted(now.prepared - before.prepared))
    yield from (f"close {_name(cursor)}" for cursor in sorted(now.cursors - before.cursors))
    if now.temporary - before.temporary:
        yield from _drop(now.temporary - before.temporary, everything=not before.temporary)


def _unlock(classid: int, objid: int, parts: int, mode: str) -> str:
    """pg_locks shows a bigint key in two halves with objsubid 1, and two int keys with objsubid 2."""
    shared = "_shared" if mode == "ShareLock" else ""
    if parts == 1:
        key = (classid << 32) | objid
        return f"select pg_catalog.pg_advisory_unlock{shared}({_signed(key, 64)})"
    return f"select pg_catalog.pg_advisory_unlock{shared}({_signed(classid, 32)}, {_signed(objid, 32)})"


def _signed(number: int, bits: int) -> int:
    return number - (1 << bits) if number >> (bits - 1) else number


def _drop(names: Iterable[str], *, everything: bool) -> Iterator[str]:
    if everything:
        yield "discard temp"
    else:
        # Views and sequences go with their tables, or are dropped with the session.
        yield from (f"drop table if exists {name} cascade" for name in sorted(names))


def _read_any(entry: Entry) -> State | MysqlState | None:
    if isinstance(entry.driver, SpeaksMysql):
        return mysql_state.read(lambda statement: _ask(entry, statement))
    return _read(entry)


def _read(entry: Entry) -> State | None:
    row = _query(entry, _READ_SETTINGS + _READ_ALL)
    if row is None or len(row) != 7:
        return None
    settings, role, channels, locks, temporary, prepared, cursors = row
    return State(
        _pairs(settings),
        frozenset(json.loads(channels or "[]")),
        frozenset(tuple(lock) for lock in json.loads(locks or "[]")),
        frozenset(json.loads(temporary or "[]")),
        role or "none",
        frozenset(json.loads(prepared or "[]")),
        frozenset(json.loads(cursors or "[]")),
    )


def _read_settings(entry: Entry) -> State | None:
    row = _query(entry, _READ_SETTINGS)
    return None if row is None or len(row) != 2 else State(_pairs(row[0]), role=row[1] or "none")


def _pairs(settings: str | None) -> frozenset[tuple[str, str]]:
    return frozenset(json.loads(settings or "{}").items())


def _run(entry: Entry, statements: Sequence[str]) -> Sequence[str | None] | None:
    return _query(entry, "; ".join(statements))


def _query(entry: Entry, sql: str) -> Sequence[str | None] | None:
    connection = _idle(entry)
    return None if connection is None else entry.driver.query(connection, f"{BY_MINTDB} {sql}")


def _ask(entry: Entry, statement: str) -> Sequence[Sequence[object]] | None:
    connection, driver = _idle(entry), entry.driver
    # These drivers do not tell whether another thread is in the middle of something.
    if connection is None or not isinstance(driver, SpeaksMysql) or entry.thread_ident != get_ident():
        return None
    return _try(driver.ask, connection, f"{BY_MINTDB} {statement}")


def _idle(entry: Entry) -> object | None:
    """The connection of an entry, where it may be asked something: blocking, and still the same."""
    connection = entry.connection()
    if connection is None or entry.driver.is_async(connection) or ledger.find(connection) is not entry:
        return None
    return connection


P = ParamSpec("P")
T = TypeVar("T")


def _try(question: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """A connection that cannot answer (its server is gone, its protocol is in another mode) is not put back."""
    try:
        return question(*args, **kwargs)
    except Exception:  # noqa: BLE001  a driver's errors have no common base
        return None


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _setting(name: str) -> str:
    """Parts are quoted one by one: `app.tenant` is a name of two."""
    return ".".join(map(_name, name.split(".")))


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
