"""What a wide fixture writes lives exactly as long as that fixture."""

from __future__ import annotations

import pytest

from tests.frameworks.suites import WIDE_SET_UPS, Suite

APP = """
import os
from sqlalchemy import create_engine, text

engine = create_engine(os.environ["SQLALCHEMY_URL"])

def run(sql):
    with engine.begin() as connection:
        result = connection.execute(text(sql))
        return result.scalars().all() if result.returns_rows else None

def add(owner):
    return run(f"insert into account (owner) values ('{owner}') returning id")[0]

def owners():
    return run("select owner from account order by id")
"""


@pytest.fixture
def project(suite: Suite) -> Suite:
    """A suite whose application has one engine for the whole run."""
    return suite.write(app=APP)


def check(suite: Suite, passed: int, *arguments: str) -> str:
    ran = suite.run(*arguments)
    assert ran.outcomes == {"passed": passed}, ran.output
    return ran.output


def test_the_usual_shape_needs_no_line_beyond_export(suite: Suite) -> None:
    suite.write(
        **{
            "pyproject.toml": """
                [tool.mintdb.databases.default]
                export = { SQLALCHEMY_URL = "postgresql+psycopg" }
                [tool.pytest.ini_options]
                filterwarnings = ["error"]
            """,
            "app": """
                import os
                from sqlalchemy import create_engine, select
                from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

                engine = create_engine(os.environ["SQLALCHEMY_URL"])

                class Base(DeclarativeBase): ...

                class Animal(Base):
                    __tablename__ = "animal"
                    id: Mapped[int] = mapped_column(primary_key=True)
                    name: Mapped[str] = mapped_column(unique=True)

                def add(name):
                    with Session(engine) as session:
                        animal = Animal(name=name)
                        session.add(animal)
                        session.commit()
                        return animal.id

                def names():
                    with Session(engine) as session:
                        return list(session.scalars(select(Animal.name).order_by(Animal.id)))
            """,
            "conftest": """
                import app
                import pytest

                @pytest.fixture(scope="session", autouse=True)
                def tables():
                    app.Base.metadata.create_all(app.engine)
            """,
            "test_seeded": """
                import app
                import pytest

                @pytest.fixture(scope="module", autouse=True)
                def seed():
                    app.add("Max")

                @pytest.mark.parametrize("n", range(5))
                def test_the_seed_is_there(n):
                    assert app.names() == ["Max"]
                    assert app.add("Cody") == 2
            """,
            "test_unseeded": """
                import app

                def test_no_seed_here():
                    assert app.names() == []
                    assert app.add("Cody") == 1

                def test_still_none():
                    assert app.names() == []
            """,
        }
    )
    check(suite, 7)
    check(suite, 7, "test_unseeded.py", "test_seeded.py")
    check(suite, 7, "-n", "2")


def test_each_scope_sees_the_wider_ones_and_nothing_else(project: Suite) -> None:
    project.write(
        conftest="""
            import app
            import pytest

            @pytest.fixture(scope="session", autouse=True)
            def of_session():
                app.add("session")
        """,
        test_one="""
            import app
            import pytest

            @pytest.fixture(scope="module", autouse=True)
            def of_module():
                app.add("module one")

            def test_module():
                assert app.owners() == ["session", "module one"]
                app.add("test")

            class TestClass:
                @pytest.fixture(scope="class", autouse=True)
                @classmethod
                def of_class(cls):
                    app.add("class")

                def test_a(self):
                    assert app.owners() == ["session", "module one", "class"]
                    app.run("delete from account")

                def test_b(self):
                    assert app.owners() == ["session", "module one", "class"]
                    app.run("truncate account restart identity cascade")

            def test_class_is_gone():
                assert app.owners() == ["session", "module one"]
                assert app.add("x") == 3
        """,
        test_two="""
            import app
            import pytest
            from mintdb.boundaries import Boundaries

            def test_module_is_gone():
                assert app.owners() == ["session"]
                assert app.add("x") == 2

            @pytest.fixture(scope="class")
            def of_no_class():
                app.add("no class")

            def test_a_class_fixture_of_no_class_is_the_tests_own_and_needs_no_mark(of_no_class):
                assert app.owners() == ["session", "no class"]
                marks = Boundaries.present.mint.open("default").pool.marks
                assert [each.owner.argname for each in marks._held] == ["of_session"]

            def test_it_is_gone():
                assert app.owners() == ["session"]
        """,
    )
    check(project, 7)


def test_a_parametrised_fixture_starts_from_the_mark_below_it(project: Suite) -> None:
    project.write(
        test_params="""
            import app
            import pytest

            @pytest.fixture(scope="module", params=["red", "green", "blue"])
            def colour(request):
                app.add(request.param)
                return request.param

            def test_one(colour):
                assert app.owners() == [colour]
                app.add("x")

            def test_two(colour):
                assert app.owners() == [colour]
        """,
    )
    check(project, 6)


def test_a_wide_fixture_asked_for_in_the_midst_of_a_test_keeps_only_its_own(project: Suite) -> None:
    project.write(
        conftest="""
            import app
            import pytest

            @pytest.fixture(scope="session")
            def late():
                app.add("late")
        """,
        test_late="""
            import app
            import pytest

            @pytest.fixture(scope="module", autouse=True)
            def of_module():
                app.add("module")

            def test_before():
                assert app.owners() == ["module"]

            def test_asks(request):
                app.add("mine")
                request.getfixturevalue("late")
                assert app.owners() == ["module", "mine", "late"]

            def test_after():
                assert app.owners() == ["module", "late"]
        """,
        test_other="""
            import app

            def test_the_module_is_gone_and_the_late_one_stays():
                assert app.owners() == ["late"]
        """,
    )
    check(project, 4)


def test_a_failed_set_up_leaves_nothing(project: Suite) -> None:
    project.write(
        test_fails="""
            import app
            import pytest

            @pytest.fixture(scope="module")
            def broken():
                app.add("half")
                raise RuntimeError("set-up failed")

            def test_fails(broken): ...

            def test_nothing_is_left():
                assert app.owners() == []
        """,
    )
    ran = project.run()
    assert ran.outcomes == {"passed": 1, "error": 1}, ran.output


def test_unittest_classes_and_modules_keep_their_data(project: Suite) -> None:
    project.write(test_unit=WIDE_SET_UPS)
    check(project, 3)


def test_a_swap_in_the_middle_brings_the_marks_along(project: Suite) -> None:
    project.write(
        test_swap="""
            import app
            import pytest

            @pytest.fixture(scope="module", autouse=True)
            def of_module():
                app.add("module")
                app.run("delete from currency where code = 'CHF'")

            @pytest.mark.parametrize("n", range(3))
            def test_ddl(n):
                assert app.owners() == ["module"]
                assert app.run("select count(*) from currency") == [2]
                app.run("alter table account add column extra int")
                app.run("drop table entry")

            def test_dml():
                assert app.owners() == ["module"]
                assert app.add("x") == 2
        """,
    )
    assert "3 swapped" in check(project, 4)


def test_a_fixture_that_changes_the_schema_lives_as_long_as_any_other(project: Suite) -> None:
    project.write(
        test_ddl="""
            import app
            import pytest

            class TestWith:
                @pytest.fixture(scope="class", autouse=True)
                @classmethod
                def table(cls):
                    app.run("create table extra (id serial primary key)")
                    app.run("insert into extra default values")

                @pytest.mark.parametrize("n", range(2))
                def test_rows(self, n):
                    assert app.run("select id from extra") == [1]
                    app.run("insert into extra default values")

                @pytest.mark.parametrize("n", range(2))
                def test_swap_beneath_it(self, n):
                    assert app.run("select id from extra") == [1]
                    app.run("drop table extra")

            class TestWithout:
                def test_gone(self):
                    assert app.run("select to_regclass('extra')::text") == [None]
        """,
    )
    check(project, 5)


def test_a_fixtures_open_connection_survives_the_tests(project: Suite) -> None:
    project.write(
        test_open="""
            import os
            import app
            import psycopg
            import pytest

            @pytest.fixture(scope="module")
            def connection():
                with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
                    connection.execute("create table extra (id int)")
                    connection.commit()
                    yield connection

            @pytest.mark.parametrize("n", range(3))
            def test_same_backend(connection, n, pids=set()):
                pids.add(connection.execute("select pg_backend_pid()").fetchone()[0])
                assert len(pids) == 1
                assert app.owners() == []
                app.add("x")
        """,
    )
    output = check(project, 3)
    assert "LEAK" not in output


def test_what_an_application_writes_at_its_import_is_there_for_every_test(suite: Suite) -> None:
    suite.write(
        app=APP + "\nrun('create table made_at_import (id serial primary key)')\nadd('importer')\n",
        test_import="""
            import app
            import pytest

            @pytest.mark.parametrize("n", range(3))
            def test_it(n):
                assert app.owners() == ["importer"]
                assert app.run("insert into made_at_import default values returning id") == [1]
                app.run("drop table entry")
        """,
    )
    check(suite, 3)
    check(suite, 3, "-n", "2")


def test_a_wide_fixture_on_top_of_a_tests_own_ddl_is_told(project: Suite) -> None:
    project.write(
        test_late="""
            import app
            import pytest

            @pytest.fixture(scope="module")
            def late():
                app.add("late")

            def test_asks_too_late(request):
                app.run("create table mine (id int)")
                request.getfixturevalue("late")

            @pytest.mark.parametrize("n", range(2))
            def test_after(late, n):
                assert app.owners() == ["late"]
        """,
    )
    output = check(project, 3)
    assert output.count("Ask for the fixture by argument") == 1
    assert "what test_late.py::test_asks_too_late wrote before a wider fixture was set up" in output


def test_a_connection_at_import_by_libpqs_variables_finds_the_database_ready(suite: Suite) -> None:
    suite.write(
        **{
            "pyproject.toml": """
                [tool.mintdb.databases.default]
                schema = "sql:schema.sql"
                export = "PG*"
            """,
            "app": """
                import psycopg
                import psycopg2

                for driver in (psycopg, psycopg2):
                    connection = driver.connect("")
                    connection.close()
            """,
            "test_app": "import app\n\ndef test_it(): ...\n",
        }
    )
    check(suite, 1)
