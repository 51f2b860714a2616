"""Django's test cases, whoever runs them: databases from templates, put back and not flushed, gone at the end."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.connections.private_server import running
from tests.frameworks.django_projects import DjangoProject, new_project

POOL = '{"OPTIONS": {"pool": true}}'
PREPARES = '{"OPTIONS": {"server_side_binding": true, "prepare_threshold": 1}}'  # its driver counts on its statements
EVERY_RUNNER = {
    "runner": (("manage",), {}),
    "parallel": (("manage", "--parallel", "2"), {}),
    "spawned": (("manage", "--parallel", "2"), {"SHOP_START": "spawn", "SHOP_ALIAS": PREPARES}),
    "pytest": (("pytest",), {"SHOP_ALIASES": "replica archive"}),
    "xdist": (("pytest", "-n", "2"), {}),
    "psycopg2": (("manage",), {"SHOP_PSYCOPG2": "1"}),
    "pool": (("manage",), {"SHOP_ALIAS": POOL}),
}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A server of somebody's with room for 20 connections."""
    with running(max_connections=20) as port:
        yield port


@pytest.fixture
def project(tmp_path: Path, port: int, server_home: Path) -> Iterator[DjangoProject]:
    """The small shop; whatever its suite does, nothing of it is on the server afterwards."""
    project = new_project(tmp_path / "shop", port)
    yield project
    assert project.databases() == set()


@pytest.mark.parametrize(("how", "environment"), EVERY_RUNNER.values(), ids=EVERY_RUNNER)
def test_every_test_finds_what_the_migrations_made_and_nothing_else(
    project: DjangoProject, how: tuple[str, ...], environment: dict[str, str]
) -> None:
    runner, *options = how
    if runner == "manage":
        ran = project.manage("test", *options, **environment)
        assert "Ran 20 tests" in ran.output, ran.output
    else:
        ran = project.pytest(*options, **environment)
        assert ran.outcomes == {"passed": 20}, ran.output
    assert ran.code == 0, ran.output
    assert "had to end" not in ran.output


def test_what_a_runner_writes_belongs_to_every_test_and_what_a_module_or_class_sets_up_to_its_own(
    project: DjangoProject,
) -> None:
    settings = project.folder / "project" / "settings.py"
    text = settings.read_text().replace('if "SHOP_DATABASE" in os.environ', "if False")
    settings.write_text(f'{text}\nTEST_RUNNER = "project.runner.Runner"\n')
    project.write(
        **{
            "project/runner.py": """
            from django.contrib.auth.models import User
            from django.test.runner import DiscoverRunner

            class Runner(DiscoverRunner):
                def setup_databases(self, **options):
                    before = super().setup_databases(**options)
                    User.objects.create(username="of the runner")
                    return before
            """
        },
        tests_of_runner="""
        from django.contrib.auth.models import User
        from django.db import connection, models
        from django.test import TestCase, TransactionTestCase
        from shop.models import Order

        def setUpModule():
            Order.objects.create(name="of the module")

        class WritesBeforeDjango(TestCase):
            @classmethod
            def setUpClass(cls):
                cls.order = Order.objects.create(name="of the class")
                super().setUpClass()

            @classmethod
            def tearDownClass(cls):
                super().tearDownClass()
                cls.order.delete()

            def test_finds_both(self):
                assert User.objects.get().username == "of the runner"
                assert set(Order.objects.values_list("name", flat=True)) == {"of the module", "of the class"}

            def test_finds_them_again(self):
                self.test_finds_both()

        class WithoutDjango(WritesBeforeDjango):
            @classmethod
            def setUpClass(cls):
                cls.order = Order.objects.create(name="of the class")
                cls.addClassCleanup(cls.order.delete)

            @classmethod
            def tearDownClass(cls):
                assert Order.objects.count() == 2

        class First(TestCase):
            def test_finds_it(self):
                assert User.objects.get().username == "of the runner"
                assert Order.objects.get().name == "of the module"

        class Second(TransactionTestCase):
            def test_finds_it(self):
                User.objects.get(username="of the runner").delete()
                class Young(models.Model):
                    class Meta:
                        app_label = "shop"
                with connection.schema_editor() as editor:
                    editor.create_model(Young)

        class Third(TransactionTestCase):
            serialized_rollback = True

            def test_finds_it_and_no_table_of_another_test(self):
                assert User.objects.get().username == "of the runner"
                assert "shop_young" not in connection.introspection.table_names()
        """,
    )
    ran = project.manage("test", "tests_of_runner", "shop.tests.TransactionTests", "shop.tests.Rollbacks")
    assert ran.code == 0, ran.output
    assert "Ran 18 tests" in ran.output


def test_whoever_left_a_connection_is_named_and_never_in_the_way(project: DjangoProject) -> None:
    project.write(
        **{
            "shop/worker.py": """
            import sys, time, psycopg
            session = psycopg.connect(sys.argv[1], autocommit=True)
            while True:
                session.execute("update shop_order set name = 'done' where name = 'new'")
                time.sleep(0.01)
            """
        },
        test_left="""
        import subprocess, sys, threading, time
        import pytest
        from django.db import connection
        from shop.models import Order

        pytestmark = pytest.mark.django_db(transaction=True)

        @pytest.fixture(scope="session")
        def worker(django_db_setup, django_db_blocker):
            with django_db_blocker.unblock():
                values = connection.settings_dict
            url = f"postgresql://postgres@127.0.0.1:{values['PORT']}/{values['NAME']}"
            with open("worker.log", "w") as log:
                subprocess.Popen([sys.executable, "shop/worker.py", url], stdout=log, stderr=log)

        def poll(seen):
            while True:
                seen.append(Order.objects.count())
                time.sleep(0.01)

        def test_thread():
            Order.objects.create(name="a")
            seen = []
            threading.Thread(target=poll, args=(seen,), name="poller", daemon=True).start()
            while 1 not in seen:
                time.sleep(0.01)

        @pytest.mark.parametrize("n", range(3))
        @pytest.mark.filterwarnings("ignore::ResourceWarning")  # nobody stops the worker
        def test_worker(worker, n):
            order = Order.objects.create(name="new")
            assert order.pk == 1
            while order.name != "done":
                time.sleep(0.01)
                order.refresh_from_db()
        """,
    )
    ran = project.pytest("test_left.py")
    assert ran.outcomes == {"passed": 4}, ran.output
    assert "LEAK  test_left.py::test_thread left 1 connection open" in ran.output
    assert 'opened   test_left.py:19 in poll, thread "poller"' in ran.output
    assert ran.output.count("LEAK") == 1, ran.output
    assert "still connected at the end: backend" in ran.output
    assert f"({sys.executable} shop/worker.py postgresql://postgres@127.0.0.1:{project.port}/test_shop)" in ran.output
    assert "terminating connection due to administrator command" in (project.folder / "worker.log").read_text()


def test_what_a_wide_fixture_writes_lives_as_long_as_the_fixture(project: DjangoProject) -> None:
    project.write(
        test_wide="""
        import pytest
        from django.contrib.auth.models import User
        from django.test import TestCase
        from shop.models import Order, Product

        @pytest.fixture(scope="session")
        def django_db_setup(django_db_setup, django_db_blocker):
            with django_db_blocker.unblock():
                User.objects.create(username="of the session")

        @pytest.fixture(scope="module")
        def poster(django_db_setup, django_db_blocker):
            with django_db_blocker.unblock():
                return Order.objects.create(name="of the module")

        def names():
            return [*User.objects.values_list("username", flat=True), *Order.objects.values_list("name", flat=True)]

        @pytest.mark.parametrize("n", range(2))
        def test_committed(poster, transactional_db, n):
            assert names() == ["of the session", "of the module"]
            assert Order.objects.create(name="of a test").pk == poster.pk + 1
            User.objects.all().delete()

        @pytest.mark.parametrize("n", range(2))
        def test_rolled_back(poster, db, n):
            assert names() == ["of the session", "of the module"]
            Order.objects.create(name="of a test")
        """,
        test_wide_after="""
        from django.contrib.auth.models import User
        from shop.models import Order

        def test_after(transactional_db):
            assert User.objects.get().username == "of the session"
            assert not Order.objects.exists()
        """,
    )
    ran = project.pytest("test_wide.py", "test_wide_after.py")
    assert ran.outcomes == {"passed": 5}, ran.output


def test_rolled_back_tests_cost_no_put_back_unless_somebody_else_wrote_behind_them(project: DjangoProject) -> None:
    project.write(
        test_async="""
        import subprocess, sys, time
        import pytest
        from django.db import connection
        from shop.models import Order

        def others():
            with connection.cursor() as cursor:
                cursor.execute("select pg_stat_clear_snapshot()")  # what it shows is frozen within a transaction
                cursor.execute(
                    "select count(*) from pg_stat_activity where datname = current_database()"
                    " and backend_type = 'client backend' and application_name = '' and pid <> pg_backend_pid()"
                )
                return cursor.fetchone()[0]

        @pytest.mark.parametrize("n", range(3))
        @pytest.mark.asyncio
        @pytest.mark.django_db(transaction=True)
        async def test_committed(n):
            assert (await Order.objects.acreate(name="a")).pk == 1

        @pytest.mark.parametrize("n", range(3))
        @pytest.mark.asyncio
        async def test_rolled_back(db, n):
            assert await Order.objects.acount() == 0
            await Order.objects.acreate(name="a")

        def test_nothing_is_left(db):
            deadline = time.monotonic() + 60
            while others() and time.monotonic() < deadline:  # a backend ends a moment after its client
                pass
            assert others() == 0
            assert not Order.objects.exists()

        INSERT = "import sys, psycopg; psycopg.connect(sys.argv[1], autocommit=True).execute(sys.argv[2])"

        def test_a_program_comes_and_goes(db):
            values = connection.settings_dict
            url = f"postgresql://postgres@127.0.0.1:{values['PORT']}/{values['NAME']}"
            command = [sys.executable, "-W", "ignore", "-c", INSERT, url, "insert into shop_order (name) values ('x')"]
            subprocess.run(command, check=True)
            assert Order.objects.exists()

        @pytest.mark.parametrize("n", range(5))
        def test_plain(db, n):
            assert not Order.objects.exists()
            Order.objects.create(name="a")
        """
    )
    ran = project.pytest("-p", "asyncio", "-o", "asyncio_default_fixture_loop_scope=function", "test_async.py")
    assert ran.outcomes == {"passed": 13}, ran.output
    assert "LEAK" not in ran.output
    assert re.search(r" [4-6] rolled back", ran.output), ran.output


def test_under_leaks_error_the_guilty_test_fails_and_no_other(project: DjangoProject) -> None:
    project.write(
        test_guilty="""
        import threading
        from django.test import TransactionTestCase
        from shop.models import Order

        kept = []

        class Tests(TransactionTestCase):
            def test_1_innocent(self):
                Order.objects.create(name="a")

            def test_2_guilty(self):
                forever = threading.Event()
                def leave():
                    kept.append(Order.objects.count())
                    forever.wait()
                threading.Thread(target=leave, name="sitter", daemon=True).start()
                while not kept:
                    pass

            def test_3_innocent(self):
                assert Order.objects.create(name="a").pk == 1
        """
    )
    by_pytest = project.pytest("test_guilty.py", MINTDB_LEAKS="error")
    assert by_pytest.outcomes == {"passed": 3, "error": 1}, by_pytest.output
    assert "ERROR test_guilty.py::Tests::test_2_guilty" in by_pytest.output
    by_runner = project.manage("test", "test_guilty", MINTDB_LEAKS="error", PYTEST_CURRENT_TEST="")
    assert "FAILED (errors=1)" in by_runner.output
    assert "ERROR: test_2_guilty" in by_runner.output
    assert 'thread "sitter"' in by_runner.output
    assert "LEAK  test_guilty.Tests.test_2_guilty left 1 connection open" in by_runner.output


def test_generated_examples_start_over_and_raw_requests_keep_the_tests_transaction(project: DjangoProject) -> None:
    project.write(
        test_generated="""
        import pytest, schemathesis
        from django.core.asgi import get_asgi_application
        from django.core.wsgi import get_wsgi_application
        from django.http import JsonResponse
        from django.urls import path
        from hypothesis import HealthCheck, given, settings, strategies
        from hypothesis.extra.django import LiveServerTestCase, TestCase
        from mintdb.hypothesis import rewind_examples
        from project.urls import urlpatterns
        from shop.models import Order, Product

        SCHEMA = {
            "openapi": "3.0.0", "info": {"title": "shop", "version": "1"},
            "paths": {"/orders/": {
                "get": {"responses": {"200": {"description": "all"}}},
                "post": {"responses": {"201": {"description": "made"}}},
            }},
        }
        urlpatterns.append(path("schema.json", lambda request: JsonResponse(SCHEMA)))
        few = settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
        names = strategies.text("abc", min_size=1)

        @pytest.fixture
        def token(transactional_db):
            return Product.objects.create(name="token")

        @rewind_examples
        @few
        @given(name=names)
        def test_a_fixtures_rows_are_there_for_each_example(token, name):
            assert Product.objects.filter(pk=token.pk).exists()
            assert Order.objects.create(name=name).pk == 1

        @few
        @given(name=names)
        def test_the_setting_says_the_same(token, name):
            assert Order.objects.create(name=name).pk == 1

        @pytest.mark.mintdb(rewind_examples=False)
        @few
        @given(name=strategies.just("x"))
        def test_a_marker_takes_it_out_again(token, name):
            assert Order.objects.count() == Order.objects.create(name=name).pk - 1

        @few
        @given(name=names)
        def test_without_a_database(name):
            assert name

        @few
        @given(name=names)
        def test_a_transaction_of_djangos_is_left_to_it(db, name):
            Order.objects.create(name=name)

        class Live(LiveServerTestCase):
            @few
            @given(name=names)
            def test_each_example_starts_over(self, name):
                assert Order.objects.create(name=name).pk == 1

        class Atomic(TestCase):
            def test_raw_requests(self):
                Order.objects.create(name="seen")
                schema = schemathesis.openapi.from_dict(SCHEMA)
                schema.app = get_wsgi_application()

                @few
                @given(case=schema["/orders/"]["GET"].as_strategy())
                def call(case):
                    answer = case.call(app=schema.app)
                    assert (answer.status_code, answer.json()) == (200, {"orders": ["seen"]})

                call()
                assert Order.objects.count() == 1

        def loaded(how, live_server):
            if how == "url":
                return schemathesis.openapi.from_url(live_server.url + "/schema.json")
            if how == "asgi":
                return schemathesis.openapi.from_asgi("/schema.json", get_asgi_application())
            return schemathesis.openapi.from_wsgi("/schema.json", get_wsgi_application())

        @pytest.mark.parametrize("how", ["asgi", "wsgi", "url"])
        def test_each_request_starts_over(live_server, how):
            @rewind_examples
            @few
            @given(case=loaded(how, live_server)["/orders/"]["POST"].as_strategy())
            def call(case):
                assert case.call().status_code == 201
                assert Order.objects.get().pk == 1

            call()
        """
    )
    plugins = ("-p", "hypothesispytest", "-W", "ignore::DeprecationWarning")
    ran = project.pytest("test_generated.py", *plugins, MINTDB_REWIND_EXAMPLES="true")
    assert ran.outcomes == {"passed": 10}, ran.output


def test_servers_in_threads_and_in_processes_of_their_own_start_over(project: DjangoProject) -> None:
    project.write(
        settings_live="""
        from project.settings import *

        INSTALLED_APPS = ["daphne", *INSTALLED_APPS]
        ASGI_APPLICATION = "project.asgi.application"
        DATABASES["default"]["TEST"] = {"NAME": "test_shop"}  # Channels' own wish
        """,
        **{
            "project/asgi.py": """
            from django.core.asgi import get_asgi_application

            application = get_asgi_application()
            """
        },
        test_live="""
        from urllib.request import urlopen
        from channels.testing import ChannelsLiveServerTestCase
        from django.contrib.staticfiles.testing import StaticLiveServerTestCase
        from django.db import connection
        from django.test import TransactionTestCase
        from hypothesis import settings
        from hypothesis.stateful import RuleBasedStateMachine, rule
        from shop.models import Order, Product

        few = settings(max_examples=4, stateful_step_count=2, deadline=None, database=None)

        class StartsOver:
            def test_1(self):
                with urlopen(f"{self.live_server_url}/orders/", data=b"name=web") as answer:
                    self.assertEqual(answer.status, 201)
                self.assertEqual(Order.objects.get(name="web").pk, 1)
                self.assertEqual(Product.objects.count(), 2)

            test_2 = test_1

            def test_3_a_swap(self):
                with connection.cursor() as cursor:
                    cursor.execute("alter table shop_order add note text")

            test_4 = test_1

        class InAThread(StartsOver, StaticLiveServerTestCase):
            pass

        class InAProcess(StartsOver, ChannelsLiveServerTestCase):
            pass

        class Machine(RuleBasedStateMachine):
            made = 0

            @rule()
            def make(self):
                self.made += 1
                assert Order.objects.create(name="x").pk == self.made

        class InAMachine(TransactionTestCase, Machine.TestCase):
            settings = few
        """,
    )
    variables = {"PYTHONWARNINGS": "ignore", "MINTDB_REWIND_EXAMPLES": "true"}
    ran = project.manage("test", "--settings", "settings_live", "test_live", **variables)
    assert ran.code == 0, ran.output
    assert "Ran 9 tests" in ran.output
    assert "LEAK" not in ran.output, ran.output
