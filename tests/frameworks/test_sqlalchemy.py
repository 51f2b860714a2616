"""The fixtures with SQLAlchemy engines and sessions, as suites use them: every driver, every loop, both isolations."""

from __future__ import annotations

import os

import pytest

from tests.frameworks.suites import Suite

SETTINGS = """
[tool.mintdb.databases.default]
schema = "metadata:zoo:Base"
export = {{ ZOO_URL = "postgresql+{blocking}", ASYNC_ZOO_URL = "postgresql+{asynchronous}" }}

[tool.pytest.ini_options]
asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "function"
filterwarnings = ["error"]
pythonpath = ["."]
"""
ZOO = """
    import os

    from sqlalchemy import ForeignKey, create_engine, func, select, text
    from sqlalchemy.exc import IntegrityError
    from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
    from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker


    class Base(DeclarativeBase):
        pass


    class Animal(Base):
        __tablename__ = "animal"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(unique=True)
        mother_id: Mapped[int | None] = mapped_column(ForeignKey("animal.id", deferrable=True, initially="DEFERRED"))


    engine = create_engine(os.environ["ZOO_URL"])
    SessionLocal = sessionmaker(engine, expire_on_commit=False)
    async_engine = create_async_engine(os.environ["ASYNC_ZOO_URL"])
    narrow_engine = create_async_engine(os.environ["ASYNC_ZOO_URL"], pool_size=1, max_overflow=0)
    AsyncSessionLocal = async_sessionmaker(async_engine, expire_on_commit=False)


    def add(name, **more):
        with SessionLocal() as session:
            session.add(animal := Animal(name=name, **more))
            session.commit()
            return animal.id


    async def add_async(name, **more):
        async with AsyncSessionLocal() as session:
            session.add(animal := Animal(name=name, **more))
            await session.commit()
            return animal.id


    async def first_free(*names):
        async with AsyncSessionLocal() as session:
            for name in names:
                session.add(Animal(name=name))
                try:
                    await session.flush()
                except IntegrityError:
                    await session.rollback()
                    continue
                await session.commit()
                return name
"""


def zoo(suite: Suite, *, blocking: str = "psycopg", asynchronous: str = "asyncpg", **files: str) -> Suite:
    """A project with an application that commits, and its tests."""
    settings = SETTINGS.format(blocking=blocking, asynchronous=asynchronous)
    return suite.write(**{"pyproject.toml": settings, "zoo": ZOO, **files})


def run(suite: Suite, *arguments: str) -> str:
    """Run the suite with pytest-asyncio, which other suites here do without."""
    ran = suite.run("-p", "asyncio", "-q", *arguments)
    assert ran.code == 0, ran.output
    return ran.output


COMMITTING = """
    import asyncio
    import threading

    import pytest
    from sqlalchemy import select, text
    from zoo import Animal, add, add_async, async_engine, first_free, narrow_engine

    names = select(Animal.name).order_by(Animal.name)


    @pytest.mark.parametrize("attempt", range(3))
    def test_the_application_and_the_session_see_each_others_commits(mintdb_session, attempt):
        mintdb_session.add(Animal(name="Max"))
        mintdb_session.commit()
        assert add("Cody") == 2
        assert mintdb_session.scalars(names).all() == ["Cody", "Max"]


    def test_what_a_session_left_uncommitted_is_in_nobodys_way(mintdb_session):
        mintdb_session.add(Animal(name="Max"))
        mintdb_session.flush()


    def test_the_engine_is_one_for_the_run(mintdb_engine, mintdb_session):
        assert mintdb_session.get_bind() is mintdb_engine
        with mintdb_engine.connect() as connection:
            assert connection.scalar(text("select count(*) from animal")) == 0


    @pytest.mark.parametrize("attempt", range(3))
    async def test_the_same_on_a_new_event_loop_each_time(mintdb_async_session, attempt):
        mintdb_async_session.add(Animal(name="Max"))
        await mintdb_async_session.commit()
        assert await add_async("Cody") == 2
        assert (await mintdb_async_session.scalars(names)).all() == ["Cody", "Max"]


    async def test_an_asynchronous_session_is_left_in_the_middle_of_its_work(mintdb_async_session):
        mintdb_async_session.add(Animal(name="Max"))
        await mintdb_async_session.flush()


    async def test_concurrent_requests_retry(mintdb_async_engine):
        got = await asyncio.gather(*(first_free("Max", "Cody", "Robby") for _ in range(3)))
        assert sorted(got) == ["Cody", "Max", "Robby"]
        async with mintdb_async_engine.connect() as connection:
            assert (await connection.scalar(text("select count(*) from animal"))) == 3


    @pytest.mark.parametrize("attempt", range(2))
    async def test_a_pool_that_had_somebody_wait_serves_the_next_loop(attempt):
        async def ask():
            async with narrow_engine.connect() as connection:
                return await connection.scalar(text("select 1"))

        assert await asyncio.gather(*(ask() for _ in range(3))) == [1, 1, 1]


    def test_a_module_level_engine_outlives_a_loop_within_one_test(mintdb_async_engine):
        async def pid(engine):
            async with engine.connect() as connection:
                return await connection.scalar(text("select pg_backend_pid()"))

        for engine in (async_engine, mintdb_async_engine):
            assert asyncio.run(pid(engine)) != asyncio.run(pid(engine))


    def test_a_session_is_left_behind_on_a_loop_that_is_closed(mintdb_async_session):
        async def leave():
            mintdb_async_session.add(Animal(name="Max"))
            await mintdb_async_session.flush()

        asyncio.run(leave())


    async def test_nothing_of_all_that_is_left(mintdb_async_session):
        assert (await mintdb_async_session.scalars(names)).all() == []
"""


@pytest.mark.parametrize(("blocking", "asynchronous"), [("psycopg2", "asyncpg"), ("psycopg", "psycopg")])
def test_sessions_really_commit_and_are_put_back(suite: Suite, blocking: str, asynchronous: str) -> None:
    zoo(suite, blocking=blocking, asynchronous=asynchronous, test_zoo=COMMITTING)
    printed = run(suite)
    assert "15 passed" in printed
    assert "LEAK" not in printed


@pytest.mark.skipif(not os.environ.get("MINTDB_SOAK"), reason="the zoo's suite runs on a session loop, too")
def test_a_session_loop_is_as_good_as_a_loop_for_each_test(suite: Suite) -> None:
    scopes = [f"-oasyncio_default_{kind}_loop_scope=session" for kind in ("fixture", "test")]
    printed = run(zoo(suite, test_zoo=COMMITTING), *scopes)
    assert "15 passed" in printed
    assert "LEAK" not in printed


IN_ONE_TRANSACTION = """
    import asyncio

    import asyncpg
    import psycopg
    import pytest
    import zoo
    from mintdb.core.lease import NoMarkInTransaction
    from mintdb.sqlalchemy.errors import (
        CommitUndone, ConnectionLost, NeedsRealCommit, OutOfTurn, SecondConnection, TwoKindsOfSession,
    )
    from sqlalchemy import select, text
    from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError
    from zoo import Animal, AsyncSessionLocal, SessionLocal, add, add_async, first_free

    names = select(Animal.name).order_by(Animal.name)


    @pytest.fixture
    def joined(mintdb_join):
        mintdb_join(SessionLocal, AsyncSessionLocal)


    @pytest.mark.parametrize("attempt", range(2))
    def test_the_application_joins(mintdb_session, joined, attempt):
        mintdb_session.add(Animal(name="Max"))
        mintdb_session.commit()
        add("Cody")
        with pytest.raises(IntegrityError):
            add("Cody")
        assert mintdb_session.scalars(names).all() == ["Cody", "Max"]


    @pytest.mark.parametrize("attempt", range(2))
    async def test_an_asynchronous_application_joins(mintdb_async_session, joined, attempt):
        assert [await first_free("Max", "Cody") for _ in range(3)] == ["Max", "Cody", None]
        assert (await mintdb_async_session.scalars(names)).all() == ["Cody", "Max"]


    def test_a_deferred_constraint_is_checked_by_a_commit(joined):
        with SessionLocal() as session:
            session.add(Animal(name="Cody", mother_id=7))
            session.flush()  # deferred: nothing is wrong yet
            session.add(Animal(id=7, name="Max"))
            session.commit()
        with pytest.raises(IntegrityError):
            add("Robby", mother_id=99)
        with SessionLocal() as session:
            assert session.scalars(names).all() == ["Cody", "Max"]


    def test_a_commit_of_what_has_failed_is_in_nobodys_way(joined):
        with SessionLocal() as session:
            session.add(Animal(name="Max"))
            session.flush()
            with pytest.raises(ProgrammingError):
                session.execute(text("select * from nowhere"))
            with pytest.raises(DBAPIError, match="transaction is aborted"):
                session.commit()
        add("Cody")
        with SessionLocal() as session:
            assert session.scalars(names).all() == ["Cody"]


    async def test_a_deferred_constraint_is_checked_by_an_asynchronous_commit(joined):
        with pytest.raises(IntegrityError):
            await add_async("Robby", mother_id=99)
        assert await add_async("Max")


    def test_what_needs_a_real_commit_is_refused(mintdb_session):
        for statement in ("select pg_notify('zoo', 'x')", "listen zoo", "commit", "select 1; commit"):
            with pytest.raises(NeedsRealCommit):
                mintdb_session.execute(text(statement))


    def test_there_is_no_mark_in_it(mintdb_session, mintdb):
        with pytest.raises(NoMarkInTransaction):
            mintdb.mark()


    def test_a_second_connection_is_refused_whatever_opens_it(mintdb_session, mintdb):
        mintdb_session.execute(text("select 1"))
        for connect in (zoo.engine.connect, lambda: psycopg.connect(mintdb.url), mintdb.connect):
            with pytest.raises(SecondConnection):
                connect()


    async def test_an_asynchronous_driver_is_refused_as_well(mintdb, joined):
        with pytest.raises(SecondConnection):
            await asyncpg.connect(mintdb.url)


    async def test_blocking_and_asynchronous_sessions_are_not_mixed(mintdb_session, joined):
        mintdb_session.execute(text("select 1"))
        with pytest.raises(TwoKindsOfSession):
            await add_async("Max")


    @pytest.mark.mintdb(isolation="rewind")
    async def test_one_test_really_commits(mintdb_session, joined):
        await asyncio.gather(add_async("Max"), add_async("Cody"))
        assert mintdb_session.scalars(names).all() == ["Cody", "Max"]


    def test_nothing_of_all_that_is_left(mintdb_session):
        assert mintdb_session.scalars(names).all() == []


    async def test_what_a_concurrent_request_commits_is_never_lost_in_silence(joined):
        await add_async("Max")  # the connection is open
        started, flushed, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def fails():
            async with AsyncSessionLocal() as session:
                session.add(Animal(name="Cody"))
                started.set()
                await session.flush()
                flushed.set()
                await done.wait()
                await session.rollback()

        failing = asyncio.create_task(fails())
        await started.wait()
        with pytest.raises(OutOfTurn, match="a session begins while another one is being answered"):
            await add_async("Robby")  # both savepoints would be set at once
        await flushed.wait()
        assert await add_async("Robby")
        done.set()
        with pytest.raises(CommitUndone):
            await failing


    def is_asleep(url):
        with psycopg.connect(url, dbname="postgres") as beside:
            asleep = "select 1 from pg_stat_activity where query ~ '^select pg_sleep' and state = 'active'"
            return beside.execute(asleep).fetchone()


    async def test_a_cancelled_task_takes_the_one_connection_with_it_and_that_is_said(joined, mintdb):
        async def slow():
            async with AsyncSessionLocal() as session:
                await session.execute(text("select pg_sleep(600)"))

        task = asyncio.create_task(slow())
        while not is_asleep(mintdb.url):
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(ConnectionLost, match="cut short   test_zoo.py"):
            await add_async("Max")


    async def test_an_application_that_makes_an_error_page_of_it(joined):
        pages = await asyncio.gather(add_async("Max"), add_async("Cody"), return_exceptions=True)
        assert ["500" if isinstance(page, Exception) else "200" for page in pages] == ["200", "200"]
"""


def test_sessions_share_one_transaction(suite: Suite) -> None:
    printed = zoo(suite, test_zoo=IN_ONE_TRANSACTION).run("-p", "asyncio", "--mintdb-isolation=transaction").output
    assert "1 failed, 16 passed" in printed
    said = printed.partition("- refused by mintdb -")[2]
    assert 'a session begins while another one is connecting: under isolation = "transaction" both share one' in said
    assert "zoo.py:" in said.partition("began first")[2].splitlines()[0]
    assert "LEAK" not in printed


MISTAKES = """
    import os

    import pytest
    from mintdb.sqlalchemy import create_async_engine, create_engine
    from mintdb.sqlalchemy.errors import (
        DriverNotInstalled, DriverOfTheOtherKind, EngineElsewhere, SessionAfterTest,
    )
    from sqlalchemy import create_engine as create_elsewhere, select, text
    from sqlalchemy.orm import sessionmaker
    from zoo import Animal, AsyncSessionLocal, SessionLocal

    kept = []


    def test_keeps_its_sessions(mintdb_session, mintdb_async_session):
        mintdb_session.add(Animal(name="Max"))
        mintdb_session.commit()
        kept.extend([mintdb_session, mintdb_async_session])


    async def test_uses_the_sessions_of_another_test():
        with pytest.raises(SessionAfterTest, match="the session of test_mistakes.py::test_keeps_its_sessions was"):
            kept[0].scalars(select(Animal))
        with pytest.raises(SessionAfterTest):
            await kept[1].scalars(select(Animal))


    def test_joins_an_engine_that_is_bound_to_production(mintdb_join):
        mintdb_join(SessionLocal, AsyncSessionLocal)
        production = create_elsewhere("postgresql+psycopg://ann:secret@db.example.com/shop")
        with pytest.raises(EngineElsewhere) as caught:
            mintdb_join(sessionmaker(production))
        assert "secret" not in str(caught.value)
        assert "created    test_mistakes.py:" in str(caught.value)
        assert "from ZOO_URL, ASYNC_ZOO_URL" in str(caught.value)


    def test_asks_for_drivers_that_do_not_fit(mintdb):
        for create, driver in ((create_engine, "asyncpg"), (create_async_engine, "psycopg2")):
            with pytest.raises(DriverOfTheOtherKind):
                create(mintdb.address, driver)
        for create in (create_engine, create_async_engine):
            with pytest.raises(DriverNotInstalled, match="pip install psycopg2cffi"):
                create(mintdb.address, "psycopg2cffi")
"""


def test_mistakes_are_told_in_words(suite: Suite) -> None:
    assert "4 passed" in run(zoo(suite, test_mistakes=MISTAKES))


def test_options_of_the_engines_are_a_fixture_to_override(suite: Suite) -> None:
    zoo(
        suite,
        test_zoo="""
            import pytest

            @pytest.fixture(scope="session")
            def mintdb_engine_options():
                return {"driver": "psycopg2", "pool_size": 2}

            def test_they_are_taken(mintdb_engine):
                assert mintdb_engine.url.drivername == "postgresql+psycopg2"
                assert mintdb_engine.pool.size() == 2

            def test_a_clone_of_its_own(mintdb_lease, mintdb_session): ...

            @pytest.mark.mintdb(isolation="clone")
            def test_an_engine_of_a_clone_goes_with_it(mintdb_session):
                mintdb_session.connection()
        """,
    )
    printed = run(suite)
    assert "LEAK" not in printed
    assert "3 passed" in printed


def test_nothing_needs_to_be_configured(suite: Suite) -> None:
    suite.write(
        **{"pyproject.toml": "[tool.pytest.ini_options]\nfilterwarnings = ['error']\n"},
        test_plain="""
            import asyncio

            import pytest
            from sqlalchemy import text

            @pytest.mark.parametrize("attempt", range(2))
            def test_a_session(mintdb_session, attempt):
                mintdb_session.execute(text("create table t (x int)"))
                mintdb_session.commit()

            def test_an_asynchronous_session(mintdb_async_session):
                asyncio.run(mintdb_async_session.execute(text("create table t (x int)")))
        """,
    )
    ran = suite.run("-q")
    assert ran.outcomes == {"passed": 3}, ran.output
