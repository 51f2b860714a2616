"""What is wrong with a project's databases is said in a word, at once, and before anything is touched."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from mintdb.django.errors import ConnectionsLeftOpen, StaleDatabaseHeld, TestNameIsRealName
from mintdb.schemas.errors import DjangoAliasMissingError, DjangoMigrationFailedError, DjangoNotConfiguredError
from tests.connections.private_server import running
from tests.frameworks.django_projects import DjangoProject, new_project

TEST = "shop.tests.ResetSequences"
MISSING_MIGRATION = """\
mintdb: models of 'shop' have changes that no migration makes, so the test database has none of them
  1. python manage.py makemigrations shop"""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with running() as port:
        yield port


@pytest.fixture
def project(tmp_path: Path, port: int, server_home: Path) -> DjangoProject:
    return new_project(tmp_path / "shop", port)


def said(output: str) -> str:
    """The error that ended a program, without its module's name."""
    lines = output[output.rindex("mintdb.") :].splitlines()
    return "\n".join([lines[0].partition(": ")[2], *(line for line in lines[1:] if line.startswith(" "))])


def test_a_failing_migration_is_named_with_its_statement_and_nothing_is_kept(project: DjangoProject) -> None:
    project.write(
        **{
            "shop/migrations/0003_broken.py": """
            from django.db import migrations

            class Migration(migrations.Migration):
                dependencies = [("shop", "0002_products")]
                operations = [migrations.RunSQL("alter table shop_ordr add column note text")]
            """
        }
    )
    ran = project.manage("test", TEST)
    assert ran.code != 0
    assert said(ran.output) == textwrap.dedent("""\
        migration shop.0003_broken failed: django.db.utils.ProgrammingError: relation "shop_ordr" does not exist
          at shop/migrations/0003_broken.py
          statement  alter table shop_ordr add column note text
          1. mend it, and run the tests again: nothing was kept of this attempt""")
    assert project.databases() == set()
    (project.folder / "shop/migrations/0003_broken.py").unlink()
    assert project.manage("test", TEST).code == 0


def test_the_name_of_a_real_database_is_refused(project: DjangoProject) -> None:
    ran = project.manage("test", TEST, SHOP_ALIAS='{"TEST": {"NAME": "shop"}}')
    assert ran.code != 0
    assert said(ran.output) == textwrap.dedent("""\
        the test database of alias 'default' would be 'shop', which is the real database of alias 'default'
          1. give it another name in DATABASES:  "TEST": {"NAME": "test_shop"}""")


def test_a_stale_database_goes_by_djangos_rules_but_not_from_under_somebody(project: DjangoProject) -> None:
    project.ask("create database test_shop")
    login = {"host": "127.0.0.1", "port": project.port, "user": "postgres", "dbname": "test_shop"}
    with psycopg.connect(**login, application_name="the other one"):
        ran = project.manage("test", "--noinput", TEST)
        assert ran.code != 0
        assert "cannot replace the test database 'test_shop' of an earlier run: it is in use" in ran.output
        assert "the other one" in ran.output
    refused = project.manage("test", TEST)  # nobody answers the question
    assert refused.code != 0
    assert "EOFError" in refused.output
    assert project.databases() == {"test_shop"}
    assert project.manage("test", "--noinput", TEST).code == 0
    assert project.databases() == set()


def test_a_login_without_createdb_is_told_what_it_lacks(project: DjangoProject) -> None:
    project.ask("create role poor login")
    ran = project.manage("test", TEST, SHOP_ALIAS='{"USER": "poor"}')
    assert ran.code != 0
    assert "may not create databases" in said(ran.output), ran.output
    project.ask("drop role poor")


def test_a_login_with_nothing_but_createdb_is_enough(project: DjangoProject) -> None:
    project.ask("create role builder login createdb")
    ran = project.manage("test", "shop.tests.TransactionTests", SHOP_ALIAS='{"USER": "builder"}')
    assert ran.code == 0, ran.output
    assert "swapped" in ran.output


def test_other_engines_are_left_to_django_with_a_word(project: DjangoProject) -> None:
    sqlite = '{"ENGINE": "django.db.backends.sqlite3", "NAME": "shop.db", "OPTIONS": {}}'
    ran = project.manage("test", "shop.tests.Requests", SHOP_ALIAS=sqlite)
    assert ran.code == 0, ran.output
    assert "mintdb: alias 'default' is sqlite: Django makes and flushes it, as without mintdb" in ran.output


def test_what_is_kept_is_djangos_and_stays(project: DjangoProject) -> None:
    keep = ("test", "--keepdb", "shop.tests.TransactionTests")
    assert project.manage(*keep).code == 0
    assert project.databases() == {"test_shop"}
    project.ask("insert into shop_product (name) values ('by hand')", database="test_shop")
    project.write(
        test_kept="""
        from django.test import TransactionTestCase
        from shop.models import Product

        class Kept(TransactionTestCase):
            def test_1(self):
                assert Product.objects.count() == 3
                Product.objects.all().delete()

            def test_2(self):
                assert Product.objects.count() == 3
        """,
        conftest="""
        import pytest

        @pytest.fixture(scope="session")
        def django_db_setup(django_db_setup, django_db_blocker):
            from django.contrib.auth.models import User
            with django_db_blocker.unblock():
                User.objects.create(username="of the session")
        """,
    )
    ran = project.manage("test", "--keepdb", "test_kept")
    assert ran.code == 0, ran.output
    reused = project.pytest("--reuse-db", "--create-db", "shop/tests.py")
    assert reused.outcomes == {"passed": 20}, reused.output
    again = project.pytest("--reuse-db", "shop/tests.py", "-k", "TransactionTests or Rollbacks")
    assert again.outcomes["passed"] == 11, again.output
    assert project.databases() == {"test_shop"}
    project.ask("drop database test_shop")


def test_templates_are_used_again_until_a_migration_changes_and_a_missing_one_is_named(project: DjangoProject) -> None:
    building = "building the template from django:default"
    (project.folder / "mintdb.toml").write_text('project = "again"\n')
    assert building in project.manage("test", TEST).output
    assert building not in project.manage("test", TEST).output
    migration = project.folder / "shop/migrations/0002_products.py"
    migration.write_text(migration.read_text().replace('"poster"', '"poster", "mug"'))
    changed = project.manage("test", TEST)
    assert building in changed.output
    assert "'mug'" in changed.output  # the tests themselves find the third product
    (project.folder / "shop/models.py").write_text(
        (project.folder / "shop/models.py").read_text() + "\n\nclass Extra(models.Model):\n    pass\n"
    )
    project.write(
        test_extra="""
        from django.test import TestCase
        from shop.models import Extra

        class Extras(TestCase):
            def test_extra(self):
                Extra.objects.count()
        """
    )
    missing = project.manage("test", "test_extra")
    assert building not in missing.output
    assert MISSING_MIGRATION in missing.output
    fresh = project.pytest("test_extra.py", "--mintdb-fresh", "--tb=short")
    assert [line for line in fresh.output.splitlines() if line.startswith("E   mintdb: ")] == [
        f"E   {MISSING_MIGRATION.splitlines()[0]}"
    ]
    told = fresh.output.partition("short test summary")[0]
    assert told.count(MISSING_MIGRATION) == 1  # when the template was built
    unmigrated = project.manage("test", TEST, SHOP_ALIAS='{"TEST": {"MIGRATE": false}}')
    assert building in unmigrated.output  # made from the models


TEXTS = {
    StaleDatabaseHeld(name="test_shop", holders="  by backend 4711, psql"): """\
cannot replace the test database 'test_shop' of an earlier run: it is in use
  by backend 4711, psql
  1. end the program that is connected, or wait for it, and run the tests again
  2. or give this run another name in DATABASES:  "TEST": {"NAME": "…"}""",
    TestNameIsRealName(alias="default", name="shop", owner="main"): """\
the test database of alias 'default' would be 'shop', which is the real database of alias 'main'
  1. give it another name in DATABASES:  "TEST": {"NAME": "test_shop"}""",
    ConnectionsLeftOpen(report="LEAK  …"): "LEAK  …",
    DjangoNotConfiguredError(setting="django", error="DJANGO_SETTINGS_MODULE is not set"): """\
schema source 'django' needs Django's settings
  it said    DJANGO_SETTINGS_MODULE is not set
  1. name them:  export DJANGO_SETTINGS_MODULE=project.settings""",
    DjangoAliasMissingError(setting="django:archiv", alias="archiv", known="default, archive"): """\
schema source 'django:archiv': DATABASES has no alias 'archiv'
  1. it has default, archive""",
    DjangoMigrationFailedError(
        setting="django", migration="migration shop.0003", error="oops", where="shop/x.py:3", statement=""
    ): """\
migration shop.0003 failed: oops
  at shop/x.py:3
  1. mend it, and run the tests again: nothing was kept of this attempt""",
}


@pytest.mark.parametrize(("error", "text"), TEXTS.items(), ids=lambda value: type(value).__name__)
def test_the_text_of_an_error(error: Exception, text: str) -> None:
    assert str(error) == text
