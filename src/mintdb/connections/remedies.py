"""What to do about a connection that somebody has to hear of: steps that can be copied, the likeliest first."""

from __future__ import annotations

from collections.abc import Iterable

from mintdb.connections.finding import Finding
from mintdb.connections.verdict import Kind


def steps_for(finding: Finding) -> list[str]:
    """The numbered steps of a report; none for what is another process's."""
    steps = list(_remedies(finding))
    return [f"{number}. {'or ' * (number > 1)}{step}" for number, step in enumerate(steps, 1)]


def _remedies(finding: Finding) -> Iterable[str]:
    if finding.kind is Kind.FOREIGN:
        return
    yield _closing(finding)
    if finding.thread_is_to_stop:
        yield "stop the thread before the test ends"
    elif finding.task_is_alive and finding.kind is Kind.LEAK and not finding.taken:  # it is the opener's
        yield "cancel the task and wait for it before the test ends"


# A pool's connection in a transaction was taken and not given back; an idle one only shows that its pool lives on.
_GIVING_BACK = {
    "SQLAlchemy engine": "give it back where it was taken:  with engine.connect() as conn: …",
    "SQLAlchemy pool": "give it back where it was taken:  conn.close()",
    "psycopg pool": "give it back where it was taken:  with pool.connection() as conn: …",
    "asyncpg pool": "give it back where it was taken:  async with pool.acquire() as conn: …",
}
_GIVING_BACK_ASYNC = {
    "SQLAlchemy engine": "give it back where it was taken:  async with engine.connect() as conn: …",
    "psycopg pool": "give it back where it was taken:  async with pool.connection() as conn: …",
}
_ENDING_SESSIONS = {
    ("Session", False): "close the session where it was made:  with Session(engine) as session: …",
    ("Session", True): "close the session where it was made:  async with AsyncSession(engine) as session: …",
    ("scoped_session", False): "end the thread's session when its work is done:  Session.remove()",
    ("scoped_session", True): "end the task's session when its work is done:  await Session.remove()",
}
_ENDING_POOLS = {
    "SQLAlchemy engine": "end the engine with the test, or make one for the whole run:  engine.dispose()",
    "SQLAlchemy pool": "end the pool with the test:  pool.dispose()",
    "psycopg pool": "end the pool with the test, or make one for the whole run:  with ConnectionPool(…) as pool: …",
    "asyncpg pool": "end the pool with the test:  async with asyncpg.create_pool(…) as pool: …",
}
_ENDING_POOLS_ASYNC = {
    "SQLAlchemy engine": "end the engine with the test, or make one for the whole run:  await engine.dispose()",
    "psycopg pool": "end the pool with the test:  async with AsyncConnectionPool(…) as pool: …",
}
_CLOSING = {
    "psycopg": "close it where it was opened:  with psycopg.connect(…) as conn: …",
    "psycopg2": "close it where it was opened:  conn.close()  (psycopg2's `with conn:` only ends the transaction)",
    "asyncpg": "close it where it was opened:  await conn.close()",
    "sqlite3": "close it where it was opened:  conn.close()  (sqlite3's `with conn:` only ends the transaction)",
    "aiosqlite": "close it where it was opened:  async with aiosqlite.connect(…) as conn: …",
    "PyMySQL": "close it where it was opened:  with pymysql.connect(…) as conn: …",
    "mysqlclient": "close it where it was opened:  with MySQLdb.connect(…) as conn: …",
    "asyncmy": "close it where it was opened:  async with asyncmy.connect(…) as conn: … (or asyncmy.create_pool)",
    "aiomysql": "close it where it was opened:  async with aiomysql.connect(…) as conn: … (or aiomysql.create_pool)",
}
# Of libraries that open connections for the application, which has none to close.
_ENDING_LIBRARIES = {
    "aiopg": "close it where it was opened:  async with aiopg.create_pool(…) as pool: … (or aiopg.connect)",
    "databases": "end the database where it was made:  async with Database(…) as database: …",
    "dataset": "close the database when the work is done:  db.close()",
    "peewee": "close the database when the work is done:  db.close()",
    "piccolo": "end the pool where it was started:  await engine.close_connection_pool()",
    "playhouse": "close the database when the work is done:  db.close()",
    "pony": "close the database when the work is done:  db.disconnect()",
    "records": "give it back where it was taken:  with db.get_connection() as conn: …",
    "tortoise": "close what was opened with Tortoise.init(…):  await Tortoise.close_connections()",
}


def _closing(finding: Finding) -> str:
    if finding.alias:
        return f"close it in the thread that opened it:  django.db.connections[{finding.alias!r}].close()"
    if finding.may_stay and finding.driver == "asyncpg" and finding.owner != "SQLAlchemy engine":
        return "end the transaction where it was begun:  async with conn.transaction(): …"
    if finding.may_stay:
        one, wait = "session" if finding.session else "conn", "await " * finding.is_async
        return f"commit what was begun, or take it back:  {wait}{one}.commit() or {wait}{one}.rollback()"
    if finding.package in _ENDING_LIBRARIES:
        return _ENDING_LIBRARIES[finding.package]
    if finding.begins:
        return f"leave the block that was entered:  {'async ' * finding.is_async}with engine.begin() as conn: …"
    if finding.session:
        return _ENDING_SESSIONS[finding.session, finding.is_async]
    if finding.owner:
        is_taken = finding.taken is not None or finding.state not in (None, "idle")
        usual, other = (_GIVING_BACK, _GIVING_BACK_ASYNC) if is_taken else (_ENDING_POOLS, _ENDING_POOLS_ASYNC)
        return (usual | other if finding.is_async else usual)[finding.owner]
    if finding.is_async and finding.driver == "psycopg":
        return "close it where it was opened:  async with await psycopg.AsyncConnection.connect(…) as conn: …"
    return _CLOSING.get(finding.driver or "", "close it where it was opened")
