"""isolation = "transaction" on a database of somebody else's, with a role that may create none: nothing stays there."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.connections.private_server import running
from tests.frameworks.suites import Suite

SETTINGS = """
[tool.mintdb]
isolation = "transaction"

[tool.mintdb.databases.default]
url = "{url}"
export = {{ DATABASE_URL = "postgresql+psycopg" }}
"""
TESTS = """
    import os
    import threading
    from pathlib import Path

    import psycopg
    import pytest
    from mintdb.pytest_plugin.fixtures import CannotReallyCommit
    from mintdb.sqlalchemy.errors import ConnectionOutside, NeedsRealCommit, SecondConnection
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.orm import sessionmaker

    engine = create_engine(os.environ["DATABASE_URL"])
    SessionLocal = sessionmaker(engine)


    def add(name):
        with SessionLocal() as session:
            session.execute(text("insert into guest (name) values (:name)"), {"name": name})
            session.commit()


    @pytest.fixture(scope="session", autouse=True)
    def wider_than_a_test():
        with pytest.raises(ConnectionOutside, match="run it where mintdb may create databases"):
            add("set-up")
        yield
        with pytest.raises(ConnectionOutside):
            add("teardown")


    def after_the_run():
        threading.main_thread().join()
        with pytest.raises(ConnectionOutside) as caught:
            add("late")
        Path("late.txt").write_text(str(caught.value))


    def test_leaves_a_thread_behind():
        threading.Thread(target=after_the_run).start()


    def test_a_commit_among_several_statements_is_refused(mintdb_session):
        with pytest.raises(NeedsRealCommit, match="run it where mintdb may create databases"):
            mintdb_session.execute(text("insert into guest values ('Bob'); commit"))


    def test_the_drivers_own_commit_is_told(mintdb_session):
        mintdb_session.connection().connection.commit()
        with pytest.raises(DBAPIError, match="savepoint .* does not exist"):
            mintdb_session.commit()


    @pytest.mark.parametrize("attempt", range(2))
    def test_a_session_that_joins(mintdb_join, mintdb_session, attempt):
        mintdb_join(SessionLocal)
        add("Ann")
        assert mintdb_session.scalars(text("select name from guest")).all() == ["Ann"]


    def test_a_commit_of_what_has_failed_is_in_nobodys_way(mintdb_join):
        mintdb_join(SessionLocal)
        with SessionLocal() as session:
            session.execute(text("insert into guest values ('Bob')"))
            for failing in (lambda: session.execute(text("select * from nowhere")), session.commit):
                with pytest.raises(DBAPIError):
                    failing()
        add("Ann")
        with SessionLocal() as session:
            assert session.scalars(text("select name from guest")).all() == ["Ann"]


    def test_a_session_that_does_not_join_is_refused():
        with pytest.raises(SecondConnection):
            add("Ann")


    def test_a_driver_is_refused(mintdb):
        with pytest.raises(SecondConnection):
            psycopg.connect(mintdb.url)


    def test_a_clone_cannot_be_had(mintdb_lease):
        with pytest.raises(Exception, match="may not create databases"):
            mintdb_lease()


    @pytest.mark.mintdb(isolation="rewind")
    @pytest.mark.xfail(raises=CannotReallyCommit)
    def test_real_commits_cannot_be_had():
        add("Ann")
"""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with running() as port:
        yield port


def test_nothing_of_a_test_stays_and_nothing_is_created(suite: Suite, port: int) -> None:
    admin = psycopg.connect(f"host=127.0.0.1 port={port} user=postgres dbname=postgres", autocommit=True)
    admin.execute("create role guest login")
    admin.execute("create database hotel owner guest")
    url = f"postgresql://guest@127.0.0.1:{port}/hotel"
    with psycopg.connect(url) as connection:
        connection.execute("create table guest (name text not null)")
    before = admin.execute("select datname from pg_database order by 1").fetchall()
    ran = suite.write(**{"pyproject.toml": SETTINGS.format(url=url)}, test_guests=TESTS).run("-q")
    assert "9 passed, 1 xfailed, 1 error" in ran.output, ran.output
    assert "the one transaction of test_guests.py::test_the_drivers_own_commit_is_told on hotel was ended" in ran.output
    assert "put back: 10 rolled back" in ran.output
    assert "outside of a test's transaction" in (suite.folder / "late.txt").read_text()
    said = f"mintdb: default: no right to create databases: postgresql://guest@127.0.0.1:{port}/hotel is used as it is"
    assert said in ran.output
    assert admin.execute("select datname from pg_database order by 1").fetchall() == before
    with psycopg.connect(url) as connection:
        assert connection.execute("select count(*) from guest").fetchone() == (0,)
    admin.close()
