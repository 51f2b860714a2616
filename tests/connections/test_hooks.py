"""Hooks go in before or after a driver, cost nothing until then, and come out again without a trace."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import types

import asyncpg
import psycopg
import psycopg2
import psycopg_pool
import pytest
import sqlalchemy as sa

from mintdb.connections import hooks
from mintdb.connections.hooks.patch import Moved, Patches
from mintdb.connections.ledger import Ledger, ledger
from mintdb.connections.pools import pools


def python(code: str, *arguments: str) -> str:
    """What a fresh interpreter prints, in which every warning is an error."""
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def test_watching_imports_no_driver_and_no_framework() -> None:
    out = python(
        """
import sys
before = set(sys.modules)
from mintdb.connections import hooks
hooks.watch()
third_party = {name.partition(".")[0] for name in sys.modules if name not in before}
print(sorted(third_party - sys.stdlib_module_names - {"mintdb"}), "asyncio" in sys.modules)
"""
    )
    assert out == "[] False\n"


def test_a_connection_that_dies_with_the_interpreter_says_nothing() -> None:
    """By then the names of every module are gone: what a hook needs it must have bound before.

    Names of `sys` with an underscore go first, while standard error is still there to be written to.
    """
    out = python(
        """
import sys
from mintdb.connections import hooks
hooks.watch()
from pymysql.connections import Connection
sys._kept = [sys.modules["mintdb.connections.hooks.pymysql"], Connection.__new__(Connection)]
"""
    )
    assert out == ""


def test_a_driver_warns_of_nothing_that_another_test_has_opened(dsn: str) -> None:
    """The warning would fail the test that runs when the garbage collector comes by."""
    out = python(
        """
import gc, sys, warnings
from mintdb.connections import hooks
from mintdb.connections.facts import Opening
from mintdb.connections.ledger import ledger
hooks.watch()
import psycopg

def forget(opened, collected):
    ledger.enter(Opening(opened))
    connection = psycopg.connect(sys.argv[1])
    connection.itself = connection
    del connection
    ledger.enter(Opening(collected))
    gc.collect()

sys.unraisablehook = lambda failed: print(type(failed.exc_value).__name__)
forget("test_a", "test_b")
print("of another")
forget("test_a", "test_a")
""",
        dsn,
    )
    assert out == "of another\nResourceWarning\n"


def test_a_driver_imported_after_the_hooks_is_seen_whatever_name_it_is_bound_to(dsn: str) -> None:
    out = python(
        """
import sys
from mintdb.connections import hooks
from mintdb.connections.ledger import ledger
hooks.watch()
from psycopg2 import connect as connect_2
from psycopg import connect as connect_3
import sqlalchemy, asyncpg, psycopg_pool
assert sqlalchemy.__loader__ is sqlalchemy.__spec__.loader and "mintdb" not in type(sqlalchemy.__loader__).__module__
for connect in connect_2, connect_3:
    connection = connect(sys.argv[1])
    print([(entry.driver.name, entry.is_open) for entry in ledger.open_entries()])
    connection.close()
print(ledger.open_entries(), hooks.unseen())
""",
        dsn,
    )
    assert out == "[('psycopg2', True)]\n[('psycopg', True)]\n[] {}\n"


def test_a_pool_that_could_not_be_made_is_passed_over(dsn: str) -> None:
    half_made = object.__new__(psycopg_pool.ConnectionPool)
    hooks.watch()
    hooks.unwatch()
    assert pools.find(half_made) is None
    half_made._closed = True  # its finalizer asks


def test_a_connection_that_was_open_before_the_hooks_is_known_though_not_who_opened_it(dsn: str) -> None:
    out = python(
        """
import sys
import psycopg
import psycopg2, sqlalchemy, psycopg_pool
class Unhashable(type):
    __hash__ = None
class Own(psycopg2.extensions.connection, metaclass=Unhashable):
    pass
connection, connection_2 = psycopg.connect(sys.argv[1]), psycopg2.connect(sys.argv[1], connection_factory=Own)
engine = sqlalchemy.create_engine(sys.argv[1].replace("postgresql", "postgresql+psycopg"))
with engine.connect():
    pass
from mintdb.connections import hooks
from mintdb.connections.ledger import ledger
from mintdb.connections.pools import pools
hooks.watch()
entries = ledger.open_entries()
print({entry.backend_pid for entry in entries} > {connection.info.backend_pid, connection_2.info.backend_pid})
print(len(entries), {entry.site for entry in entries}, [owner.kind for owner in pools.living()])
connection.close()
connection_2.close()
print(len(pools.let_go("postgres")))
""",
        dsn,
    )
    assert out == "True\n3 {None} ['SQLAlchemy engine']\n0\n"


def test_connections_left_open_at_interpreter_exit_disturb_nothing(dsn: str) -> None:
    out = python(
        """
import sys, warnings
warnings.simplefilter("ignore", ResourceWarning)
from mintdb.connections import hooks
hooks.watch()
import psycopg, psycopg2
kept = psycopg.connect(sys.argv[1]), psycopg2.connect(sys.argv[1])
kept[0].myself = kept
print("end")
""",
        dsn,
    )
    assert out == "end\n"


def test_watching_twice_and_unwatching_twice_is_as_once(dsn: str) -> None:
    before = psycopg.BaseConnection.__init__, psycopg.Connection.close, psycopg2._connect
    hooks.watch()
    hooks.watch()
    assert psycopg2._connect is not before[2]
    psycopg.connect(dsn).close()
    total = ledger.total
    hooks.unwatch()
    hooks.unwatch()

    assert (psycopg.BaseConnection.__init__, psycopg.Connection.close, psycopg2._connect) == before
    psycopg.connect(dsn).close()
    psycopg2.connect(dsn).close()
    assert ledger.total == total
    ledger.clear()


def test_a_driver_whose_entry_points_moved_is_named_and_works_on(monkeypatch: pytest.MonkeyPatch, dsn: str) -> None:
    hooks.unwatch()
    monkeypatch.delattr(psycopg2, "_connect")
    monkeypatch.setattr(psycopg2, "connect", connect := types.FunctionType((lambda dsn: dsn).__code__, {}))

    hooks.watch()
    ledger.clear()
    try:
        assert hooks.unseen() == {"psycopg2": "psycopg2.connect no longer calls psycopg2._connect"}
        assert psycopg2.connect is connect
        psycopg.connect(dsn).close()
        assert ledger.total == 1
    finally:
        hooks.unwatch()
        ledger.clear()


def test_half_a_driver_is_never_hooked() -> None:
    class Driver:
        def connect(self) -> str:
            return "as it was"

    patches = Patches()
    patches.replace(Driver, "connect", lambda original: lambda self: "hooked")
    with pytest.raises(Moved, match="has no 'close'"):
        patches.replace(Driver, "close", lambda original: original)

    assert Driver().connect() == "as it was"


def test_who_wraps_a_hooked_function_later_keeps_the_wrapper(monkeypatch: pytest.MonkeyPatch) -> None:
    hooks.watch()
    hooked = psycopg.Connection.close
    wrapper = lambda self: hooked(self)  # noqa: E731
    psycopg.Connection.close = wrapper
    hooks.unwatch()
    try:
        assert psycopg.Connection.close is wrapper
    finally:
        psycopg.Connection.close = hooked.__wrapped__


def test_pools_whose_insides_moved_work_on(monkeypatch: pytest.MonkeyPatch, dsn: str, watched: Ledger) -> None:
    monkeypatch.setattr(pools, "add", None)
    monkeypatch.setattr(pools, "find", None)
    monkeypatch.setattr(watched, "taken", None)

    async def use_asyncpg() -> int:
        async with asyncpg.create_pool(dsn, min_size=1, max_size=1) as pool:
            return await pool.fetchval("select 1")

    engine = sa.create_engine(dsn.replace("postgresql", "postgresql+psycopg"))
    with engine.connect() as connection:
        assert connection.scalar(sa.text("select 1")) == 1
    with psycopg_pool.ConnectionPool(dsn, min_size=1) as pool, pool.connection() as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    assert asyncio.run(use_asyncpg()) == 1

    assert set(hooks.unseen()) == {"sqlalchemy", "psycopg_pool", "asyncpg"}
    engine.dispose()


def test_a_connection_that_cannot_be_described_opens_all_the_same(
    monkeypatch: pytest.MonkeyPatch, dsn: str, watched: Ledger
) -> None:
    monkeypatch.setattr("mintdb.connections.ledger.take", None)

    with psycopg.connect(dsn) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    psycopg2.connect(dsn).close()

    assert set(hooks.unseen()) == {"psycopg", "psycopg2"}
    assert hooks.unseen()["psycopg"] == "TypeError: 'NoneType' object is not callable"
