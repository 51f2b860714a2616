"""What people read of an engine or a session that cannot be right in a test, word for word, each from the failure."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from mintdb.address import Address
from mintdb.connections import hooks
from mintdb.connections.facts import Opening
from mintdb.connections.ledger import ledger
from mintdb.errors import MintdbError
from mintdb.pytest_plugin.fixtures import CannotReallyCommit
from mintdb.sqlalchemy import Transactions, check_leads_to, create_async_engine, create_engine, open_session

SHOP = Address(engine="postgresql", database="mint_shop_main", host="127.0.0.1", port=5433, user="ann", password="x")
HERE = Path(__file__).relative_to(Path.cwd())


def message_of(fails: Callable[[], object]) -> str:
    """What an error says, with the numbers of lines in this file left out."""
    with pytest.raises(MintdbError) as caught:
        fails()
    return re.sub(rf"{re.escape(str(HERE))}:\d+", "HERE", str(caught.value))


def test_a_driver_that_is_not_installed() -> None:
    assert (
        message_of(lambda: create_engine(SHOP, "psycopg2cffi"))
        == """\
an engine for postgresql+psycopg2cffi needs a driver that cannot be imported
  it said    No module named 'psycopg2cffi'
  1. pip install psycopg2cffi
  2. or name another driver in the fixture mintdb_engine_options:  return {"driver": "…"}"""
    )


@pytest.mark.parametrize(("driver", "extra"), [("psycopg", "postgresql"), ("psycopg2", "psycopg2")])
def test_a_driver_that_an_extra_brings(driver: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, driver, None)
    said = message_of(lambda: create_engine(SHOP, driver))
    assert f"  1. pip install 'mintdb[{extra}]'" in said


def test_an_asynchronous_driver_for_a_blocking_engine() -> None:
    assert (
        message_of(lambda: create_engine(SHOP, "asyncpg"))
        == """\
postgresql+asyncpg is an asynchronous driver, and a blocking engine was asked for
  1. ask for the fixture mintdb_async_engine
  2. or name a driver of that kind in the fixture's options:  return {"driver": "psycopg"}"""
    )


def test_a_blocking_driver_for_an_asynchronous_engine() -> None:
    assert (
        message_of(lambda: create_async_engine(SHOP, "psycopg2"))
        == """\
postgresql+psycopg2 is a blocking driver, and an asynchronous engine was asked for
  1. ask for the fixture mintdb_engine
  2. or name a driver of that kind in the fixture's options:  return {"driver": "asyncpg"}"""
    )


def test_an_engine_that_is_bound_to_production() -> None:
    hooks.unwatch()  # of an engine that it had seen being made, mintdb would name the line
    production = sa.create_engine("postgresql+psycopg://ann:secret@db.example.com/shop")
    assert (
        message_of(lambda: check_leads_to(production, SHOP, variables={"DATABASE_URL": "libpq"}))
        == """\
an engine leads to postgresql+psycopg://ann:***@db.example.com/shop, which is not the test's database
  the test's  postgresql://ann:***@127.0.0.1:5433/mint_shop_main
  1. let the application read its URL from DATABASE_URL
  2. or import the application later: what it reads before mintdb exports the URL stays what it was"""
    )


def test_an_engine_that_was_made_before_anything_was_exported() -> None:
    hooks.watch()
    try:
        engine = sa.create_engine("postgresql+psycopg://127.0.0.1:5433/shop")
        said = message_of(lambda: check_leads_to(engine, SHOP, variables={}))
    finally:
        hooks.unwatch()
    assert said.splitlines()[1:4] == [
        "  created    HERE in test_an_engine_that_was_made_before_anything_was_exported",
        "  the test's  postgresql://ann:***@127.0.0.1:5433/mint_shop_main",
        '  1. let the application read its URL from a variable that `export` names: export = "DATABASE_URL"',
    ]


@pytest.fixture
def maker(tmp_path: Path) -> Iterator[sessionmaker[Session]]:
    """An application's sessions, within one transaction."""
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    address = Address(engine="sqlite", database=str(engine.url.database))
    maker = sessionmaker(engine)
    with Transactions([address], variables={}) as transactions:
        transactions.join(maker)
        yield maker
    engine.dispose()


def test_a_second_connection(maker: sessionmaker[Session]) -> None:
    engine: sa.Engine = maker.kw["bind"]
    assert (
        message_of(engine.connect)
        == f"""\
a second connection to {engine.url.database} under isolation = "transaction"
  asked for at  HERE in message_of
  it would see nothing of what the test wrote, and what it commits would stay
  1. let the application's sessions join:  mintdb_join(SessionLocal)
  2. or let this test really commit:  @pytest.mark.mintdb(isolation="rewind")"""
    )


def test_a_connection_of_a_wider_fixture(maker: sessionmaker[Session]) -> None:
    engine: sa.Engine = maker.kw["bind"]
    before = ledger.enter(Opening("tests/test_shop.py", "setup", "shop", "session"))
    try:
        said = message_of(engine.connect)
    finally:
        ledger.enter(before)
    assert (
        said
        == f"""\
a connection to {engine.url.database} outside of a test's transaction
  asked for at  HERE in message_of
  what it commits would stay
  1. let a fixture of function scope do it, which asks for mintdb_join
  2. or let this test really commit:  @pytest.mark.mintdb(isolation="rewind")"""
    )


def test_the_one_connection_is_lost(maker: sessionmaker[Session]) -> None:
    with maker() as session:
        session.connection().invalidate()
    assert (
        message_of(lambda: maker().execute(sa.text("select 1")))
        == f"""\
{maker.kw["bind"].url.database} has lost its one connection under isolation = "transaction": what the test wrote is gone
  it was ended by the server, or from outside
  1. let no statement be cut short (a task cancelled, a timeout): it costs the session its connection, here all of them
  2. or let this test really commit:  @pytest.mark.mintdb(isolation="rewind")"""
    )


def test_the_one_transaction_is_ended_by_hand(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    address = Address(engine="sqlite", database=str(engine.url.database))
    transactions = Transactions([address], variables={}, test="tests/test_shop.py::test_order")
    maker = sessionmaker(engine)

    def end_it() -> None:
        with transactions:
            transactions.join(maker)
            with suppress(sa.exc.OperationalError), maker() as session:  # its savepoint is gone
                session.execute(sa.text("create table t (x int)"))
                session.connection().connection.commit()

    assert (
        message_of(end_it)
        == f"""\
the one transaction of tests/test_shop.py::test_order on {engine.url.database} was ended in the test's midst: \
what it had written is committed, or gone
  1. look for a driver connection's own commit() or rollback(): a session's is what mintdb can see
  2. or let this test really commit:  @pytest.mark.mintdb(isolation="rewind")"""
    )
    engine.dispose()


def test_two_sessions_at_once(maker: sessionmaker[Session]) -> None:
    with maker() as first, maker() as second:
        first.execute(sa.text("create table t (x int)"))
        second.execute(sa.text("insert into t values (1)"))
        said = message_of(first.commit)
    assert (
        said
        == """\
a session commits while a younger one is at work: under isolation = "transaction" both share one connection
  began first  HERE in test_two_sessions_at_once
  began later  HERE in test_two_sessions_at_once
  1. let one end before the other goes on: concurrent requests need connections of their own
  2. or let this test really commit:  @pytest.mark.mintdb(isolation="rewind")"""
    )


def test_a_rollback_of_what_another_session_committed(maker: sessionmaker[Session]) -> None:
    with maker() as first:
        first.execute(sa.text("create table t (x int)"))
        with maker() as second:
            second.execute(sa.text("insert into t values (1)"))
            second.commit()
        said = message_of(first.rollback)
    assert (
        said
        == """\
a session rolls back what another one has committed: under isolation = "transaction" both share one connection
  rolls back   HERE in test_a_rollback_of_what_another_session_committed
  committed    HERE in test_a_rollback_of_what_another_session_committed
  1. end the first session (commit, rollback or close) before the other one begins
  2. or let this test really commit:  @pytest.mark.mintdb(isolation="rewind")"""
    )


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (
            "notify orders",
            """\
NOTIFY under isolation = "transaction": a notification is sent, and a channel joined, by a commit, which never comes
  1. let this test really commit:  @pytest.mark.mintdb(isolation="rewind")""",
        ),
        (
            "commit",
            """\
COMMIT under isolation = "transaction": it would end the test's one transaction, and what was written so far would \
stay, or be gone
  1. let this test really commit:  @pytest.mark.mintdb(isolation="rewind")""",
        ),
    ],
)
def test_a_statement_that_needs_a_real_commit(maker: sessionmaker[Session], statement: str, said: str) -> None:
    with maker() as session:
        assert message_of(lambda: session.execute(sa.text(statement))) == said


def test_blocking_and_asynchronous_sessions_in_one_test(maker: sessionmaker[Session], tmp_path: Path) -> None:
    from sqlalchemy.ext.asyncio import create_async_engine

    pytest.importorskip("aiosqlite")
    other = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'shop.db'}").sync_engine
    with maker() as session:
        session.execute(sa.text("select 1"))
        joined = session.get_bind
        transactions = inspect.getclosurevars(joined.__func__).nonlocals["transactions"]
        said = message_of(lambda: transactions.get_connection(session, other))
    assert (
        said
        == f"""\
{tmp_path / "shop.db"} has a blocking connection in this test, and an asynchronous session wants to join it under \
isolation = "transaction"
  1. use sessions of one kind in this test
  2. or let this test really commit:  @pytest.mark.mintdb(isolation="rewind")"""
    )


def test_a_session_after_its_test(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    with open_session(engine, test="tests/test_shop.py::test_order") as session:
        pass
    assert (
        message_of(lambda: session.execute(sa.text("select 1")))
        == """\
the session of tests/test_shop.py::test_order was used after that test had ended
  the database may be another test's by now
  1. ask for the session inside the test
  2. or let what runs longer (a thread, a task, a wider fixture) open sessions of its own"""
    )


def test_a_fixture_without_sqlalchemy(tmp_path: Path, server_home: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_it(mintdb_session): ...")
    hidden = "import sys; sys.modules['sqlalchemy'] = None; import pytest; sys.exit(pytest.main(['--tb=short']))"
    ran = subprocess.run([sys.executable, "-c", hidden], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    said = ran.stdout.partition("SqlalchemyMissing: ")[2].splitlines()[:3]
    assert [line.removeprefix("E").strip() for line in said] == [
        "the fixtures with engines and sessions need SQLAlchemy, which cannot be imported",
        "it said    import of sqlalchemy halted; None in sys.modules",
        "1. pip install 'mintdb[sqlalchemy]'",
    ]


def test_a_test_that_wants_to_commit_on_a_database_of_somebody_elses() -> None:
    assert (
        str(CannotReallyCommit(isolation="rewind", url="postgresql://ann:***@db.example.com/shop_test"))
        == """\
isolation = 'rewind' needs a database of mintdb's own, and the role of \
postgresql://ann:***@db.example.com/shop_test may not create one
  1. take the marker away: the test then runs in a transaction
  2. or run it elsewhere:  alter role … createdb, or take `url` away"""
    )
