"""Users' suites on SQLite, run as their users run them: nothing in their code knows of mintdb."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.engines import django_app
from tests.frameworks.examples import example
from tests.frameworks.suites import Suite

from mintdb.engines.places import find_places

pytestmark = pytest.mark.usefixtures("server_home")

SCHEMA = """
create table account (id integer primary key autoincrement, owner text not null unique, balance int not null default 0);
insert into account (owner) values ('Ann');
"""
SETTINGS = """
[databases.default]
engine = "sqlite"
schema = "sql:schema.sql"
export = { DATABASE = "path", DATABASE_URL = "sqlalchemy", ASYNC_URL = "sqlite+aiosqlite" }
"""
ORDERS = """
[databases.orders]
engine = "sqlite"
schema = "django"
export = { ORDERS_FILE = "path" }
"""


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    return Suite(tmp_path).write(**{"mintdb.toml": SETTINGS, "schema.sql": SCHEMA})


def test_every_way_to_connect_is_put_back_and_accounted_for(suite: Suite) -> None:
    suite.write(
        test_ways="""
        import asyncio, contextlib, os, sqlite3, subprocess, sys, threading
        import aiosqlite, pytest, sqlalchemy as sa
        from sqlalchemy.ext.asyncio import create_async_engine

        engine = sa.create_engine(os.environ["DATABASE_URL"])  # for the whole run, as applications do
        NEW = "insert into account (owner) values ('Bob')"

        def count():
            connection = sqlite3.connect(os.environ["DATABASE"])
            try:
                return connection.execute("select count(*), max(id) from account").fetchone()
            finally:
                connection.close()

        def plain():
            connection = sqlite3.connect(os.environ["DATABASE"])
            with connection:
                connection.execute(NEW)
            connection.close()

        def by_engine():
            with engine.begin() as connection:
                connection.execute(sa.text(NEW))

        def in_a_thread():
            thread = threading.Thread(target=plain)
            thread.start(); thread.join()

        def in_another_process():
            code = f"import os, sqlite3; c = sqlite3.connect(os.environ['DATABASE']); c.execute({NEW!r}); c.commit()"
            subprocess.run([sys.executable, "-c", code], check=True)

        def by_aiosqlite():
            async def work():
                async with aiosqlite.connect(os.environ["DATABASE"]) as connection:
                    await connection.execute(NEW)
                    await connection.commit()
            asyncio.run(work())

        def by_async_engine():
            async def work():
                engine = create_async_engine(os.environ["ASYNC_URL"])
                async with engine.begin() as connection:
                    await connection.execute(sa.text(NEW))
                await engine.dispose()
            asyncio.run(work())

        def in_wal_mode():
            connection = sqlite3.connect(os.environ["DATABASE"])
            assert connection.execute("pragma journal_mode = wal").fetchone() == ("wal",)
            with connection:
                connection.execute(NEW)
            connection.close()

        def by_a_link():
            os.path.lexists("link.db") or os.symlink(os.environ["DATABASE"], "link.db")
            with contextlib.closing(sqlite3.connect("link.db")) as connection, connection:
                connection.execute(NEW)

        def attached():
            connection = sqlite3.connect(":memory:")
            connection.close()
            connection = sqlite3.connect("other.db")
            connection.execute("attach ? as shop", [os.environ["DATABASE"]])
            with connection:
                connection.execute("insert into shop.account (owner) values ('Bob')")
            connection.close()

        WAYS = [plain, by_engine, in_a_thread, in_another_process, by_aiosqlite, by_async_engine]
        WAYS += [in_wal_mode, by_a_link, attached]

        @pytest.mark.parametrize("way", [way for way in WAYS for _ in range(2)])
        def test_the_next_account_is_the_second(way):
            assert count() == (1, 1)
            way()
            assert count() == (2, 2)

        def test_the_fixture_connects(mintdb):
            with mintdb.connect() as connection:
                assert connection.execute("select owner from account").fetchall() == [("Ann",)]
            assert mintdb.url_for("path") == os.environ["DATABASE"]
        """
    )
    suite.environment["DJANGO_SETTINGS_MODULE"] = "web"
    ran = suite.write(**{"mintdb.toml": SETTINGS + ORDERS}, **django_app.files("sqlite")).run("-q", "-W", "error")
    assert ran.outcomes == {"passed": 21}, ran.output
    assert "LEAK" not in ran.output
    assert "ABANDONED" not in ran.output
    assert "swapped" not in ran.output
    assert "link.db" not in ran.output  # for one that mintdb did not make


def test_what_is_left_open_is_named_and_never_in_the_way(suite: Suite) -> None:
    suite.write(
        jobs="""
        import os, sqlite3, threading
        import aiosqlite

        def begin(**options):
            connection = sqlite3.connect(os.environ["DATABASE"], **options)
            connection.execute("insert into account (owner) values ('Bob')")
            return connection

        def mail(begun, go_on):
            connection = begin()
            begun.set()
            go_on.wait()

        def mail_twice(begun, go_on, told):
            connection = sqlite3.connect(os.environ["DATABASE"])
            with connection:
                connection.execute("insert into account (owner) values ('Cleo')")
            begun.set()
            go_on.wait()
            try:
                with connection:
                    connection.execute("insert into account (owner) values ('Dora')")
            except sqlite3.OperationalError as error:
                told.append(str(error))  # its file has lost its name

        async def begin_async():
            connection = await aiosqlite.connect(os.environ["DATABASE"])
            await connection.execute("insert into account (owner) values ('Bob')")
            return connection
        """,
        test_leaks="""
        import asyncio, os, sqlite3, subprocess, sys, threading
        import pytest
        from jobs import begin, begin_async, mail, mail_twice

        kept = []
        child = []
        begun, go_on, told = threading.Event(), threading.Event(), []

        @pytest.fixture(autouse=True)
        def in_mint_condition():
            connection = sqlite3.connect(os.environ["DATABASE"], timeout=0)
            with connection:
                connection.execute("update account set balance = 1")
            assert connection.execute("select owner from account").fetchall() == [("Ann",)]
            connection.close()

        def test_in_this_thread():
            kept.append(begin())

        def test_in_a_thread_that_goes_on():
            begun = threading.Event()
            go_on = threading.Event()
            kept.append(go_on)
            threading.Thread(target=mail, args=(begun, go_on), name="mailer", daemon=True).start()
            begun.wait()

        def test_idle_in_a_thread_that_goes_on():
            threading.Thread(target=mail_twice, args=(begun, go_on, told), name="twice", daemon=True).start()
            begun.wait()

        def test_it_goes_on():
            go_on.set()
            [thread.join() for thread in threading.enumerate() if thread.name == "twice"]
            assert told == ["attempt to write a readonly database"]
            connection = sqlite3.connect(os.environ["DATABASE"])
            assert connection.execute("select owner from account").fetchall() == [("Ann",)]
            connection.close()

        def test_in_another_process():
            begin = "import jobs; connection = jobs.begin(); print(flush=True); input()"
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            child.append(subprocess.Popen([sys.executable, "-c", begin], **pipes))
            child[0].stdout.readline()

        def test_that_process_has_not_ended():
            assert child[0].poll() is None
            child[0].communicate(b"\\n")

        def test_in_a_loop_that_has_ended():
            kept.append(asyncio.run(begin_async()))

        def test_idle():
            kept.append(sqlite3.connect(os.environ["DATABASE"]))

        def test_never_closed():
            begin()

        def test_nothing():
            with pytest.raises(sqlite3.ProgrammingError):
                kept[0].commit()

        @pytest.fixture(scope="module")
        def wide():
            connection = sqlite3.connect(os.environ["DATABASE"])
            yield connection
            connection.close()

        def test_half_read(wide):
            for connection in (wide, sqlite3.connect(os.environ["DATABASE"])):
                kept.append(connection.execute("select owner from account, (values (1), (2), (3))"))
                assert kept[-1].fetchone() == ("Ann",)

        def test_the_wide_connection_goes_on(wide):
            assert kept[-2].fetchone() is None
            assert wide.execute("select owner from account").fetchall() == [("Ann",)]

        def test_attached():
            connection = sqlite3.connect("other.db")
            connection.execute("attach ? as shop", [os.environ["DATABASE"]])
            connection.execute("insert into shop.account (owner) values ('Bob')")
            kept.append(connection)

        def test_a_file_that_is_gone(wide):
            os.unlink(os.environ["DATABASE"])
        """,
    )
    ran = suite.run("-q")
    assert ran.outcomes == {"passed": 14}, ran.output
    assert "mintdb: swapped 2 x because somebody holds a lock on its file\n" in ran.output  # the thread, the process
    assert "mintdb: swapped 1 x because a thread that goes on has it open\n" in ran.output
    cut_off = r"process \d+, in a transaction, could not be ended after test_leaks.py::test_in_another_process: it goes"
    assert re.search(cut_off, ran.output), ran.output
    ended = (
        "putting the database back after test_leaks.py::test_a_file_that_is_gone had to end a connection of the tests' "
    )
    assert f"{ended}own process, opened test_leaks.py:65 in wide\n" in ran.output, ran.output
    assert "LEAK  test_leaks.py::test_in_this_thread left 1 connection in a transaction" in ran.output, ran.output
    attached = rf"test_attached left 1 connection open\n  idle in transaction on {suite.folder}/other.db\n"
    assert re.search(attached, ran.output), ran.output
    for test in ("in_a_loop_that_has_ended", "idle"):
        assert f"LEAK  test_leaks.py::test_{test} left 1 connection open" in ran.output, ran.output
    assert "likewise 1 more test: test_leaks.py::test_in_a_thread_that_goes_on" in ran.output
    assert "ABANDONED  test_leaks.py::test_never_closed never closed 1 connection" in ran.output
    assert "opened   jobs.py:6 in begin\n" in ran.output
    assert "jobs.py:28 in begin_async" in ran.output
    assert "conn.close()  (sqlite3's `with conn:` only ends the transaction)" in ran.output
    assert "backend" not in ran.output
    strict = suite.run("-q", "--mintdb-leaks", "error")
    assert strict.outcomes == {"passed": 14, "error": 9}, strict.output


def test_what_a_wide_fixture_wrote_lives_as_long_as_that_fixture(suite: Suite) -> None:
    suite.write(
        test_wide="""
        import os, sqlite3
        import pytest

        def run(*statements):
            connection = sqlite3.connect(os.environ["DATABASE"])
            with connection:
                for statement in statements:
                    connection.execute(statement)
            connection.close()

        def owners():
            connection = sqlite3.connect(os.environ["DATABASE"])
            try:
                return [owner for owner, in connection.execute("select owner from account order by id")]
            finally:
                connection.close()

        @pytest.fixture(scope="class")
        def cleo():
            run("insert into account (owner) values ('Cleo')")

        @pytest.fixture(scope="session")
        def dora():
            run("insert into account (owner) values ('Dora')", "create table extra (a)")

        @pytest.fixture(scope="module")
        def eve():
            connection = sqlite3.connect(os.environ["DATABASE"])
            yield connection
            connection.close()

        class TestCleo:
            def test_one(self, cleo):
                run("delete from account")

            def test_two(self, cleo):
                assert owners() == ["Ann", "Cleo"]
                run("insert into account (owner) values ('Dora')")

            def test_three(self, cleo, eve):
                assert owners() == ["Ann", "Cleo"]

        class TestDora:
            def test_one(self, dora, eve):
                assert owners() == ["Ann", "Dora"]
                eve.execute("insert into account (owner) values ('Eve')")
                eve.commit()

            def test_two(self, eve):
                assert eve.execute("select count(*) from account").fetchone() == (2,)
                run("insert into extra values (1)")
                assert eve.execute("select count(*) from extra").fetchone() == (1,)

            def test_three(self, eve):
                assert eve.execute("select count(*) from extra").fetchone() == (0,)
        """
    )
    ran = suite.run("-q")
    assert ran.outcomes == {"passed": 6}, ran.output
    assert "LEAK" not in ran.output


def test_an_applications_memory_is_one_database_that_outlives_its_connections(suite: Suite) -> None:
    suite.environment["PYTHONPATH"] = str(suite.folder / "installed" / "site-packages")
    suite.write(
        **{
            "mintdb.toml": f'project = "My.Shop"\n{SETTINGS}',
            "installed/site-packages/my_shop-1.dist-info/METADATA": "Name: my-shop\nVersion: 1\n",
            "installed/site-packages/my_shop-1.dist-info/RECORD": "branches/north.py,,\n",
            "installed/site-packages/branches/north.py": """
                import sqlite3
                def open(): return sqlite3.connect(":memory:")
            """,
        }
    )
    suite.write(
        shop="""
        import sqlite3
        from functools import partial
        from sqlalchemy import create_engine, text
        from sqlalchemy.ext.asyncio import create_async_engine
        from sqlalchemy.pool import NullPool, QueuePool

        POOLS = {"product": None, "customer": None, "coupon": NullPool}
        engine = create_engine("sqlite:///:memory:")
        async_engine = create_async_engine("sqlite+aiosqlite://")
        models = {name: create_engine("sqlite:///:memory:", poolclass=pool) for name, pool in POOLS.items()}
        connect = partial(sqlite3.connect, ":memory:", check_same_thread=False)
        models["purchase"] = create_engine("sqlite://", poolclass=QueuePool, creator=connect)

        def add(owner):
            connection = sqlite3.connect(":memory:")
            with connection:
                connection.execute("insert into account (owner) values (?)", [owner])
            connection.close()

        def count():
            with engine.connect() as connection:
                return connection.scalar(text("select count(*) from account"))

        async def count_async():
            async with async_engine.connect() as connection:
                return await connection.scalar(text("select count(*) from account"))
        """,
        test_shop="""
        import asyncio, sqlite3
        from concurrent.futures import ThreadPoolExecutor
        import aiosqlite, pytest
        from sqlalchemy import text
        from shop import add, async_engine, count, count_async, engine, models

        @pytest.mark.parametrize("attempt", [1, 2])
        def test_all_see_it(attempt):
            assert count() == 1
            with ThreadPoolExecutor(4) as threads:
                list(threads.map(add, ["Bob", "Cleo", "Dora"]))
                assert list(threads.map(lambda _: count(), range(8))) == [4] * 8
            shared = sqlite3.connect("file:bank?mode=memory&cache=shared", uri=True)
            assert shared.execute("select count(*) from account").fetchone() == (4,)
            shared.close()

            async def all_at_once():
                try:
                    return await asyncio.gather(*(count_async() for _ in range(4)))
                finally:
                    await async_engine.dispose()
            assert asyncio.run(all_at_once()) == [4] * 4

        def test_so_do_threads_that_are_handed_the_call_itself():
            async def count(connecting):
                async with connecting as connection, connection.execute("select count(*) from account") as found:
                    return await found.fetchone()

            async def in_each_way():
                return [
                    await count(aiosqlite.connect(":memory:")),
                    await count(aiosqlite.connect("file::memory:?cache=shared", uri=True)),
                    (await asyncio.to_thread(sqlite3.connect, ":memory:", check_same_thread=False)),
                ]

            *found, connection = asyncio.run(in_each_way())
            assert [*found, connection.execute("select count(*) from account").fetchone()] == [(1,)] * 3
            connection.close()

        @pytest.fixture
        def tables():
            for name, model in models.items():
                with model.begin() as connection:
                    connection.execute(text(f"create table {name} (n int)"))
            yield
            for name, model in models.items():
                with model.begin() as connection:
                    connection.execute(text(f"drop table {name}"))

        @pytest.mark.parametrize("attempt", [1, 2])
        def test_an_engine_for_each_model(tables, attempt):
            def dashboard(_=None):
                found = []
                for name, model in models.items():
                    with model.connect() as connection:
                        found.append(connection.scalar(text(f"select count(*) from {name}")))
                return found

            for name, model in models.items():
                with model.begin() as connection:
                    connection.execute(text(f"insert into {name} values (1)"))
            with ThreadPoolExecutor(4) as threads:
                assert list(threads.map(dashboard, range(20))) == [[1, 1, 1, 1]] * 20

        def test_the_tested_distribution_is_the_application_where_it_is_installed():
            from branches import north
            connection = north.open()
            assert connection.execute("select count(*) from account").fetchone() == (1,)
            connection.close()

        def test_a_librarys_own_is_its_own(tmp_path):
            import sys
            folder = tmp_path / "site-packages" / "cachelib"
            folder.mkdir(parents=True)
            (folder / "__init__.py").write_text(
                "import aiosqlite, sqlite3\\n"
                "def open(): return sqlite3.connect(':memory:')\\n"
                "async def find_tables():\\n"
                "    async with aiosqlite.connect(':memory:') as connection:\\n"
                "        return await connection.execute_fetchall('select name from sqlite_master')\\n"
            )
            sys.path.insert(0, str(folder.parent))
            import cachelib
            connection = cachelib.open()
            assert connection.execute("select count(*) from sqlite_master").fetchone() == (0,)
            assert type(connection) is sqlite3.Connection
            connection.close()
            assert list(asyncio.run(cachelib.find_tables())) == []
        """,
    )
    ran = suite.run("-q")
    assert ran.outcomes == {"passed": 7}, ran.output
    assert "LEAK" not in ran.output
    assert "SPRAWL" not in ran.output


def test_workers_and_commands_have_files_of_their_own(suite: Suite, server_home: Path) -> None:
    suite.write(
        test_workers="""
        import os, sqlite3, unittest

        class TestAccounts(unittest.TestCase):
            def check(self):
                connection = sqlite3.connect(os.environ["DATABASE"])
                with connection:
                    connection.execute("insert into account (owner) values ('Bob')")
                assert connection.execute("select max(id) from account").fetchone() == (2,)
                connection.close()

            test_one = test_two = test_three = test_four = check
        """
    )
    ran = suite.run("-q", "-n", "2")
    assert ran.outcomes == {"passed": 4}, ran.output
    command = [sys.executable, "-m", "mintdb.cli", "run", "--", sys.executable, "-m", "unittest", "-q", "test_workers"]
    run = subprocess.run(command, cwd=suite.folder, capture_output=True, text=True, timeout=120, env=dict(os.environ))
    assert run.returncode == 0, run.stderr
    assert "4 put back: 4 rewound" in run.stderr, run.stderr
    assert list(find_places().live.glob("sqlite/runs/*")) == []


def test_an_application_that_retries_keeps_its_own_sessions_and_real_commits(tmp_path: Path) -> None:
    zoo = example("fastapi_zoo", tmp_path)
    settings = (zoo.folder / "pyproject.toml").read_text()
    here = settings.replace('{ ZOO_URL = "postgresql+asyncpg" }', '{ ZOO_URL = "sqlite+aiosqlite" }\nengine = "sqlite"')
    ran = zoo.write(**{"pyproject.toml": here}).run("-q", "-p", "asyncio")
    assert ran.outcomes == {"passed": 10}, ran.output
