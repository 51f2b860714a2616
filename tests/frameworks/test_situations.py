"""docs/why/situations.md: what the documented recipe and mintdb give in one situation after the other, really run.

python -m tests.frameworks.test_situations    # writes the page's table anew
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from tests.frameworks.suites import Suite

PAGE = Path(__file__).parents[2] / "docs" / "why" / "situations.md"
ROOM = "<!-- generated: python -m tests.frameworks.test_situations -->"
WAYS = ("recipe", "transaction", "rewind")
SETTINGS = """
[tool.mintdb.databases.default]
schema = "metadata:zoo:Base"
export = { DATABASE_URL = "libpq" }
"""
ZOO = """
    import os
    import threading

    from sqlalchemy import DateTime, ForeignKey, create_engine, func, select
    from sqlalchemy.exc import IntegrityError
    from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker

    URL = os.environ["DATABASE_URL"]
    # What would wait for ever is told after a moment.
    engine = create_engine(URL.replace("://", "+psycopg://", 1), connect_args={"options": "-c lock_timeout=500"})
    Sessions = sessionmaker(engine)


    class Base(DeclarativeBase):
        pass


    class Animal(Base):
        __tablename__ = "animal"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(unique=True)
        born: Mapped[object] = mapped_column(DateTime(timezone=True), server_default=func.now())
        mother_id: Mapped[int | None] = mapped_column(ForeignKey("animal.id", deferrable=True, initially="DEFERRED"))


    def add(name, **more):
        with Sessions() as session:
            session.add(animal := Animal(name=name, **more))
            session.commit()
            return animal.id


    def names():
        with Sessions() as session:
            return sorted(session.scalars(select(Animal.name)))


    def first_free(*candidates):
        with Sessions() as session:
            for name in candidates:
                session.add(Animal(name=name))
                try:
                    session.flush()
                except IntegrityError:
                    session.rollback()
                    continue
                session.commit()
                return name
"""
TESTS = '''
    import json
    import threading

    import psycopg
    import pytest
    import zoo
    from mintdb.errors import MintdbError
    from sqlalchemy import func, select, text
    from sqlalchemy.exc import IntegrityError, SQLAlchemyError
    from sqlalchemy.orm import sessionmaker
    from zoo import Animal, add, first_free, names

    kept = []


    def commit():
        "a commit, seen by the next session"
        add("Max")
        assert names() == ["Max"], "not seen"


    def rollback_and_retry():
        "a rollback, then a retry"
        add("Max")
        assert first_free("Max", "Cody") == "Cody", "not retried"
        assert names() == ["Cody", "Max"], "rows are lost"


    def nested():
        "`begin_nested()` that fails inside"
        with zoo.Sessions() as session:
            session.add(Animal(name="Max"))
            try:
                with session.begin_nested():
                    session.add_all([Animal(name="Cody"), Animal(name="Max")])
            except IntegrityError:
                pass
            session.commit()
        assert names() == ["Max"], "rows are lost"


    def second_connection():
        "a second connection looks"
        add("Max")
        with zoo.engine.connect() as connection:
            assert connection.scalar(select(func.count()).select_from(Animal)) == 1, "it sees no rows"


    def thread():
        "a thread works while the test waits"
        working = threading.Thread(target=add, args=["Max"])
        working.start()
        working.join()
        assert names() == ["Max"], "rows are lost"


    def overlapping_requests():
        "two requests overlap"
        with zoo.Sessions() as first, zoo.Sessions() as second:
            first.add(Animal(name="first"))
            first.flush()
            second.add(Animal(name="second"))
            second.flush()
            first.commit()
            second.commit()
        assert names() == ["first", "second"], "rows are lost"


    def commit_beside_a_rollback():
        "one request commits, and an older one rolls back"
        with zoo.Sessions() as older:
            older.add(Animal(name="older"))
            older.flush()
            add("younger")
            older.rollback()
        assert names() == ["younger"], "what was committed is lost"


    def notify():
        "NOTIFY reaches who listens"
        with psycopg.connect(zoo.URL, autocommit=True) as listener:
            listener.execute("listen zoo")
            with zoo.Sessions() as session:
                session.execute(text("select pg_notify('zoo', 'hello')"))
                session.commit()
            assert list(listener.notifies(timeout=3, stop_after=1)), "nothing arrives"


    def deferred_constraint():
        "a deferred constraint is violated"
        try:
            add("Max", mother_id=99)
        except IntegrityError:
            return
        raise AssertionError("the commit succeeds")


    def now():
        "`now()` in three transactions"
        for name in "abc":
            add(name)
        with zoo.Sessions() as session:
            assert len(set(session.scalars(select(Animal.born)))) == 3, "the time stands still"


    def sequence():
        "the first row has the number 1"
        assert add("Max") == 1, "it has another one"


    def set_local():
        "SET LOCAL ends with its transaction"
        with zoo.Sessions() as session:
            session.execute(text("set local application_name = 'zoo'"))
            session.commit()
            assert session.scalar(text("show application_name")) != "zoo", "it outlives its commit"


    def drop_on_commit():
        "a temporary table ON COMMIT DROP"
        with zoo.Sessions() as session:
            session.execute(text("create temp table brief (x int) on commit drop"))
            session.commit()
            assert session.scalar(text("select to_regclass('brief')")) is None, "it outlives its commit"


    def skip_locked():
        "FOR UPDATE SKIP LOCKED, beside who has locked the row"
        add("Max")
        with zoo.Sessions() as first, zoo.Sessions() as second:
            first.execute(select(Animal).with_for_update())
            rows = second.execute(select(Animal).with_for_update(skip_locked=True)).all()
            assert not rows, "it gets the row as well"


    def create_table():
        "CREATE TABLE, gone for the next test"
        with zoo.Sessions() as session:
            session.execute(text("create table extra (x int)"))
            session.commit()


    def create_index_concurrently():
        "CREATE INDEX CONCURRENTLY"
        with zoo.Sessions() as session:
            connection = session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
            connection.execute(text("create index concurrently extra on animal (name)"))


    def truncate():
        "TRUNCATE over another connection"
        add("Max")
        with psycopg.connect(zoo.URL, options="-c lock_timeout=500") as connection:
            connection.execute("truncate animal restart identity")
        assert names() == [], "rows are left"


    def never_closed():
        "a session is never closed"
        session = zoo.Sessions()
        session.add(Animal(name="Max"))
        session.flush()
        kept.append(session)


    situations = [value for value in list(globals().values()) if getattr(value, "__module__", "") == __name__]


    @pytest.fixture
    def recipe(monkeypatch):
        """https://docs.sqlalchemy.org, "Joining a Session into an External Transaction (such as for test suites)"."""
        connection = zoo.engine.connect()
        transaction = connection.begin()
        monkeypatch.setattr(zoo, "Sessions", sessionmaker(connection, join_transaction_mode="create_savepoint"))
        yield
        kept.clear()
        transaction.rollback()
        connection.close()


    @pytest.fixture
    def transaction(mintdb_join):
        mintdb_join(zoo.Sessions)


    @pytest.fixture
    def rewind():
        """Nothing at all."""


    ways = [
        "recipe",
        pytest.param("transaction", marks=pytest.mark.mintdb(isolation="transaction")),
        "rewind",
    ]


    def the_test_before():
        """What a test leaves that inserted a row and was rolled back. Under rewind the first attempt is one."""
        with zoo.engine.connect() as connection:
            connection.execute(text("insert into animal (name) values ('before')"))
            connection.rollback()


    def told(situation):
        try:
            situation()
        except AssertionError as wrong:
            return f"**wrong**: {str(wrong).splitlines()[0]}"
        except MintdbError as refused:
            return f"refused: `{type(refused).__name__}`"
        except (SQLAlchemyError, psycopg.Error) as error:
            name = type(getattr(error, "orig", None) or error).__name__
            return "**hangs**" if name == "LockNotAvailable" else f"fails: `{name}`"
        return "right"


    @pytest.mark.filterwarnings("ignore")
    @pytest.mark.parametrize("attempt", range(2))  # the second time tells whether the first one left anything
    @pytest.mark.parametrize("situation", situations, ids=lambda situation: situation.__name__)
    @pytest.mark.parametrize("way", ways)
    def test_situation(request, way, situation, attempt):
        if way != "rewind":
            the_test_before()
        request.getfixturevalue(way)
        with open("told.jsonl", "a") as file:
            print(json.dumps([situation.__doc__, way, told(situation)]), file=file)
'''


def table(suite: Suite) -> str:
    """Run every situation in every way, twice, and tell the second time in a table."""
    suite.write(**{"pyproject.toml": SETTINGS}, zoo=ZOO, test_situations=TESTS)
    ran = suite.run("-q")
    assert ran.code == 0, ran.output
    told: dict[str, dict[str, str]] = {}
    for line in (suite.folder / "told.jsonl").read_text().splitlines():
        situation, way, said = json.loads(line)
        told.setdefault(situation, {})[way] = said
    if "in never_closed" in ran.output:
        told["a session is never closed"]["rewind"] += ", and its line is named"
    rows = [f"| {situation} | {' | '.join(said[way] for way in WAYS)} |" for situation, said in told.items()]
    return "\n".join(rows)


def page(rows: str) -> str:
    """The page with this table."""
    before, room, after = PAGE.read_text(encoding="utf-8").partition(ROOM)
    assert room, f"{PAGE} has no place for the table"
    head = '| | SQLAlchemy\'s recipe | `isolation = "transaction"` | `isolation = "rewind"` |\n|---|---|---|---|'
    return f"{before}{room}\n\n{head}\n{rows}\n\n{after.partition(END)[1]}{after.partition(END)[2]}"


END = "<!-- end of the table -->"


def test_the_table_of_situations_is_what_is_so(suite: Suite) -> None:
    rows = table(suite)
    assert PAGE.read_text(encoding="utf-8") == page(rows), "write it anew:  python -m tests.frameworks.test_situations"
    assert all(row.split("|")[4].strip().startswith("right") for row in rows.splitlines())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        PAGE.write_text(page(table(Suite(Path(folder)))), encoding="utf-8")
