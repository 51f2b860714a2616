"""isolation = "transaction": what one connection can be right about is right, and what it cannot is said at once.

On SQLite, whose driver has to be kept from committing by itself; test_sqlalchemy.py has PostgreSQL.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, scoped_session, sessionmaker

from mintdb.address import Address
from mintdb.sqlalchemy import TestSession, Transactions, open_session
from mintdb.sqlalchemy.errors import (
    CommitUndone,
    EngineElsewhere,
    NeedsRealCommit,
    OutOfTurn,
    Refused,
    SecondConnection,
    SessionAfterTest,
    TransactionEnded,
)
from mintdb.sqlalchemy.statements import find_why_not, parts_of


class Base(DeclarativeBase):
    pass


class Animal(Base):
    __tablename__ = "animal"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'zoo.db'}")
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def maker(engine: sa.Engine) -> sessionmaker[Session]:
    """What the application makes its sessions with."""
    return sessionmaker(engine)


@pytest.fixture
def transactions(engine: sa.Engine) -> Iterator[Transactions]:
    address = Address(engine="sqlite", database=str(engine.url.database))
    with Transactions([address], variables={"DATABASE_URL": "sqlalchemy"}) as transactions:
        yield transactions


@pytest.fixture
def joined(transactions: Transactions, maker: sessionmaker[Session]) -> sessionmaker[Session]:
    transactions.join(maker)
    return maker


def add(maker: sessionmaker[Session], name: str) -> None:
    with maker() as session:
        session.add(Animal(name=name))
        session.commit()


def names(maker: sessionmaker[Session]) -> list[str]:
    with maker() as session:
        return list(session.scalars(sa.select(Animal.name).order_by(Animal.name)))


def test_the_applications_commits_are_seen_by_its_next_session_and_gone_after_the_test(
    engine: sa.Engine, maker: sessionmaker[Session]
) -> None:
    address = Address(engine="sqlite", database=str(engine.url.database))
    with Transactions([address], variables={}) as transactions:
        transactions.join(maker)
        add(maker, "Max")
        with maker.begin() as session:
            session.add(Animal(name="Cody"))
        assert names(maker) == ["Cody", "Max"]
    assert names(maker) == []
    add(maker, "Robby")  # the sessionmaker is as it was, and so is sqlite3's own way to begin
    assert names(maker) == ["Robby"]


def test_a_retry_after_a_rollback_goes_on(joined: sessionmaker[Session]) -> None:
    def first_free(*candidates: str) -> str | None:
        with joined() as session:
            for name in candidates:
                session.add(Animal(name=name))
                try:
                    session.flush()
                except IntegrityError:
                    session.rollback()
                    continue
                session.commit()
                return name
        return None

    assert [first_free("Max", "Cody") for _ in range(3)] == ["Max", "Cody", None]
    assert names(joined) == ["Cody", "Max"]


def test_what_a_session_rolls_back_or_never_commits_is_gone(joined: sessionmaker[Session]) -> None:
    with joined() as session:
        session.add(Animal(name="first"))
        session.commit()
        session.add(Animal(name="second"))
        session.flush()
        session.rollback()
        session.add(Animal(name="third"))
        session.flush()
    assert names(joined) == ["first"]


def test_a_nested_begin_undoes_only_its_own_part(joined: sessionmaker[Session]) -> None:
    with joined() as session:
        session.add(Animal(name="outer"))
        with pytest.raises(IntegrityError), session.begin_nested():
            session.add_all([Animal(name="inner"), Animal(name="outer")])
        session.commit()
    assert names(joined) == ["outer"]


def test_sessions_may_stand_on_each_other_as_long_as_the_younger_ends_first(joined: sessionmaker[Session]) -> None:
    with joined() as older:
        older.add(Animal(name="older"))
        older.flush()
        add(joined, "younger")
        older.commit()
    assert names(joined) == ["older", "younger"]


def test_a_thread_joins_too(joined: sessionmaker[Session], engine: sa.Engine) -> None:
    # sqlite3 refuses another thread's use unless it is told; SQLAlchemy does for a file.
    thread = threading.Thread(target=add, args=(joined, "Max"))
    thread.start()
    thread.join()
    assert names(joined) == ["Max"]


def test_a_scoped_session_that_was_made_before_joins(engine: sa.Engine, transactions: Transactions) -> None:
    scoped = scoped_session(sessionmaker(engine))
    scoped()
    transactions.join(scoped)
    scoped.add(Animal(name="Max"))
    scoped.commit()
    with pytest.raises(SecondConnection):
        engine.connect()
    scoped.remove()


def test_a_second_connection_is_refused_where_it_is_opened(joined: sessionmaker[Session], engine: sa.Engine) -> None:
    add(joined, "Max")
    with pytest.raises(SecondConnection) as caught:
        engine.connect()
    assert f"asked for at  {Path(__file__).relative_to(Path.cwd())}" in str(caught.value)


def test_the_pool_is_whole_after_a_refusal(joined: sessionmaker[Session], engine: sa.Engine) -> None:
    for _ in range(20):  # more than a pool has
        with pytest.raises(SecondConnection):
            engine.connect()


def test_other_databases_are_nobodys_business(transactions: Transactions, tmp_path: Path) -> None:
    other = sa.create_engine(f"sqlite:///{tmp_path / 'other.db'}")
    with other.begin() as connection:
        connection.execute(sa.text("create table t (x int)"))
    other.dispose()


def test_concurrent_sessions_are_told_apart_before_they_lie(joined: sessionmaker[Session]) -> None:
    with joined() as first, joined() as second:
        first.add(Animal(name="first"))
        first.flush()
        second.add(Animal(name="second"))
        second.flush()
        with pytest.raises(OutOfTurn, match="a session commits while a younger one is at work"):
            first.commit()


def test_a_rollback_that_would_undo_anothers_commit_is_refused(joined: sessionmaker[Session]) -> None:
    with joined() as older:
        older.add(Animal(name="older"))
        older.flush()
        add(joined, "younger")
        with pytest.raises(CommitUndone, match=r"committed .*test_sqlalchemy_in_one_transaction\.py:.* in add"):
            older.rollback()


def test_a_rollback_that_would_undo_anothers_writing_is_refused(joined: sessionmaker[Session]) -> None:
    with joined() as older, joined() as younger:
        older.add(Animal(name="early"))
        older.flush()
        younger.add(Animal(name="younger"))
        younger.flush()
        older.add(Animal(name="late"))
        older.flush()  # upon the younger one's savepoint
        with pytest.raises(CommitUndone, match="rolls back what another one has written"):
            younger.rollback()


def test_a_rollback_that_would_undo_anothers_nested_part_is_refused(joined: sessionmaker[Session]) -> None:
    with joined() as older, joined() as younger:
        older.execute(sa.text("select 1"))
        younger.add(Animal(name="younger"))
        younger.flush()
        with older.begin_nested():
            older.add(Animal(name="late"))
        with pytest.raises(CommitUndone):
            younger.rollback()


def test_threads_at_once_are_right_or_refused(joined: sessionmaker[Session]) -> None:
    kept, refused = [], []
    together = threading.Barrier(4)

    def work(name: str) -> None:
        together.wait(10)
        for number in range(20):
            try:
                add(joined, f"{name}{number}")
            except Refused as error:
                refused.append(error)
            else:
                kept.append(f"{name}{number}")

    threads = [threading.Thread(target=work, args=name) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kept) + len(refused) == 80
    assert set(kept) <= set(names(joined))


def test_a_session_that_failed_is_in_nobodys_way(joined: sessionmaker[Session]) -> None:
    with joined() as first, joined() as second:
        for session in (first, second):
            session.add(Animal(name=str(id(session))))
            session.flush()
        with pytest.raises(OutOfTurn):
            first.commit()
    add(joined, "Max")
    assert "Max" in names(joined)


@pytest.mark.parametrize("end", [Session.commit, Session.rollback, Session.close])
def test_who_has_only_read_is_in_nobodys_way(joined: sessionmaker[Session], end: Callable[[Session], None]) -> None:
    with joined() as reader, joined() as writer:
        reader.scalars(sa.select(Animal)).all()
        writer.add(Animal(name="Max"))
        writer.flush()
        end(reader)  # whoever began first
        reader.scalars(sa.select(Animal)).all()
        writer.rollback()
        end(reader)
        writer.add(Animal(name="Cody"))
        writer.flush()
        reader.scalars(sa.select(Animal)).all()
        writer.commit()
        end(reader)
    assert names(joined) == ["Cody"]


def test_who_has_only_read_and_writes_then_can_still_roll_back(joined: sessionmaker[Session]) -> None:
    with joined() as older, joined() as younger:
        older.add(Animal(name="older"))
        older.flush()
        younger.scalars(sa.select(Animal)).all()
        older.commit()
        younger.add(Animal(name="younger"))
        younger.flush()
        younger.rollback()
    assert names(joined) == ["older"]


def test_the_connections_own_commit_is_refused(joined: sessionmaker[Session]) -> None:
    with joined() as session:
        for end in (session.connection().commit, session.connection().rollback):
            with pytest.raises(NeedsRealCommit, match="the connection's own"):
                end()
        session.connection().close()  # means nothing here
        session.add(Animal(name="Max"))
        session.commit()
    assert names(joined) == ["Max"]


def test_who_ends_the_transaction_by_hand_is_told(engine: sa.Engine, maker: sessionmaker[Session]) -> None:
    address = Address(engine="sqlite", database=str(engine.url.database))
    transactions = Transactions([address], variables={}, test="test_zoo.py::test_add").__enter__()
    transactions.join(maker)
    session = maker()
    session.add(Animal(name="Max"))
    session.flush()
    session.connection().connection.commit()
    with pytest.raises(OperationalError):
        session.commit()  # its savepoint is gone
    with pytest.raises(TransactionEnded, match=r"of test_zoo\.py::test_add on .*zoo\.db was ended in the test's midst"):
        transactions.__exit__()
    add(maker, "Cody")  # the sessionmaker and the pool are as they were
    assert names(maker) == ["Cody", "Max"]


def test_an_applications_own_begin_for_sqlite_is_in_nobodys_way(
    joined: sessionmaker[Session], engine: sa.Engine
) -> None:
    """SQLAlchemy's page on SQLite has it."""
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("begin"))
    add(joined, "Max")
    assert names(joined) == ["Max"]


def test_a_joined_session_says_so_when_its_test_is_over(engine: sa.Engine, maker: sessionmaker[Session]) -> None:
    address = Address(engine="sqlite", database=str(engine.url.database))
    scoped = scoped_session(maker)
    with Transactions([address], variables={}) as transactions:
        transactions.join(scoped)
        left = scoped()
        left.add(Animal(name="left"))
        left.flush()
    for use in (left.commit, left.begin, lambda: left.scalars(sa.select(Animal))):
        with pytest.raises(SessionAfterTest):
            use()
    left.close()
    scoped.add(Animal(name="next"))  # the registry has a session that the next test may use
    scoped.commit()
    scoped.remove()
    assert names(maker) == ["next"]


def test_an_engine_that_leads_elsewhere_is_refused_before_anything_is_sent(
    transactions: Transactions, tmp_path: Path
) -> None:
    production = sessionmaker(sa.create_engine(f"sqlite:///{tmp_path / 'production.db'}"))
    transactions.join(production)
    with pytest.raises(EngineElsewhere, match=r"production\.db, which is not the test's database"):
        add(production, "Max")
    assert not (tmp_path / "production.db").exists()


def test_a_session_says_so_when_its_test_is_over(engine: sa.Engine) -> None:
    with open_session(engine, test="test_zoo.py::test_add") as session:
        session.add(Animal(name="Max"))
        session.commit()
    for use in (lambda: session.scalars(sa.select(Animal)), session.begin, session.commit):
        with pytest.raises(SessionAfterTest, match=r"of test_zoo\.py::test_add was used after"):
            use()


def test_a_tests_own_session_is_closed_in_silence(transactions: Transactions, engine: sa.Engine) -> None:
    """Whatever stands on it: at the end of a test nobody means anything by a rollback."""
    kind = transactions.kind_of(TestSession)
    options = {"join_transaction_mode": "create_savepoint"}
    with open_session(engine, test="the test", kind=kind, **options) as older:
        older.add(Animal(name="older"))
        older.flush()
        younger = kind(engine, **options)
        younger.add(Animal(name="younger"))
        younger.flush()


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("notify orders, 'x'", "NOTIFY"),
        ("LISTEN orders", "LISTEN"),
        ("select pg_notify('orders', 'x')", "pg_notify()"),
        ("commit", "COMMIT"),
        ("/* by hand */ -- really\n rollback", "ROLLBACK"),
        ("begin", "BEGIN"),
        ("prepare transaction 'x'", "PREPARE TRANSACTION"),
    ],
)
def test_a_statement_that_needs_a_commit_is_known(statement: str, what: str) -> None:
    found = find_why_not(statement)
    assert found is not None
    assert found[0] == what


@pytest.mark.parametrize(
    "statement",
    [
        "rollback to savepoint x",
        "ROLLBACK TO x",
        "release savepoint x",
        "prepare plan as select 1",
        "select 'commit'",
        "insert into notify values (1)",
        "",
    ],
)
def test_a_statement_that_needs_none_is_let_through(statement: str) -> None:
    assert find_why_not(statement) is None


def test_a_commit_among_several_statements_is_found() -> None:
    several = "insert into t values ('a; commit'); commit /* ; */;"
    assert [find_why_not(part) is not None for part in parts_of(several)] == [False, True]


def test_such_a_statement_is_refused(joined: sessionmaker[Session]) -> None:
    with joined() as session, pytest.raises(NeedsRealCommit, match='COMMIT under isolation = "transaction"'):
        session.execute(sa.text("commit"))
