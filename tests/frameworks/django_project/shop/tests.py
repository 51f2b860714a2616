"""What every way of running these has to give: each test finds what the migrations made, and nothing else."""

import io
import threading
from urllib.request import urlopen

from django.core.wsgi import get_wsgi_application
from django.db import connection, transaction
from django.test import Client, LiveServerTestCase, TestCase, TransactionTestCase

from shop.models import Order, Product


class Clean:
    """Whatever its neighbours have done, a test finds the migrations' rows, and sequences at their start."""

    def check(self):
        self.assertEqual(sorted(Product.objects.values_list("name", flat=True)), ["poster", "ticket"])
        self.assertEqual(Order.objects.count(), 0)
        self.assertEqual(Order.objects.create(name="first").pk, 1)
        self.assertEqual(Product.objects.create(name="mug").pk, 3)


class TransactionTests(Clean, TransactionTestCase):
    def test_commits(self):
        self.check()
        with transaction.atomic():
            Order.objects.create(name="second")

    def test_threads_commit(self):
        self.check()

        def order():
            Order.objects.create(name="of a thread")
            connection.close()

        threads = [threading.Thread(target=order) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(Order.objects.count(), 4)

    def test_deletes_the_migrations_rows(self):
        self.check()
        Product.objects.all().delete()

    def test_leaves_a_transaction_open(self):
        self.check()
        transaction.set_autocommit(False)
        Order.objects.create(name="uncommitted")

    def test_leaves_its_session_changed(self):
        self.check()
        with connection.cursor() as cursor:
            cursor.execute("set statement_timeout = '1h'; set time zone 'Asia/Tokyo'; create temp table x (a int)")
            cursor.execute("set app.tenant = 'acme'; prepare mine as select 1; listen news")

    def test_the_session_is_as_new(self):
        self.check()
        with connection.cursor() as cursor:
            cursor.execute("select current_setting('statement_timeout'), current_setting('TimeZone')")
            self.assertEqual(cursor.fetchone(), ("0", "UTC"))
            cursor.execute("select to_regclass('x')::text, coalesce(current_setting('app.tenant', true), '')")
            self.assertEqual(cursor.fetchone(), (None, ""))
            cursor.execute("select count(*) from pg_prepared_statements where from_sql")
            self.assertEqual(cursor.fetchone(), (0,))

    def test_changes_the_schema(self):
        self.check()
        with connection.cursor() as cursor:
            cursor.execute("alter table shop_order add column note text")


class ResetSequences(Clean, TransactionTestCase):
    reset_sequences = True

    def test_first(self):
        self.check()

    def test_second(self):
        self.check()


class SomeApps(Clean, TransactionTestCase):
    available_apps = ["shop"]

    def test_first(self):
        self.check()

    def test_second(self):
        self.check()


class Serialized(Clean, TransactionTestCase):
    serialized_rollback = True

    def test_first(self):
        self.check()

    def test_second(self):
        self.check()


class Rollbacks(Clean, TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.order = Order.objects.create(name="of the class")

    def test_first(self):
        self.assertEqual(Order.objects.get(), self.order)
        Order.objects.create(name="of a test")

    def test_second(self):
        self.assertEqual(Order.objects.get(), self.order)

    def test_callbacks(self):
        with self.captureOnCommitCallbacks(execute=True) as callbacks:
            transaction.on_commit(lambda: Order.objects.create(name="of a callback"))
        self.assertEqual(len(callbacks), 1)
        self.assertEqual(Order.objects.count(), 2)

    def test_a_raw_request_keeps_the_connection(self):
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/orders/", "SERVER_NAME": "x", "SERVER_PORT": "80"}
        environ |= {"wsgi.input": io.BytesIO(), "wsgi.errors": io.StringIO(), "wsgi.url_scheme": "http"}
        answers = []
        response = get_wsgi_application()(environ, lambda status, headers: answers.append(status))
        response.close()
        self.assertEqual(answers, ["200 OK"])
        self.assertEqual(Order.objects.count(), 1)


class LiveServer(Clean, LiveServerTestCase):
    def test_first(self):
        self.check_over_http()

    def test_second(self):
        self.check_over_http()

    def check_over_http(self):
        with urlopen(f"{self.live_server_url}/orders/") as answer:
            self.assertEqual(answer.read(), b'{"orders": []}')
        with urlopen(f"{self.live_server_url}/orders/", data=b"name=web") as answer:
            self.assertEqual(answer.status, 201)
        self.assertEqual(Order.objects.get(name="web").pk, 1)


class Requests(TestCase):
    def test_the_client(self):
        Client().post("/orders/", {"name": "web"})
        self.assertEqual(Order.objects.get().pk, 1)
