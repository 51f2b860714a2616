"""A small Django application whose database is of one of the engines, and tests that commit through its ORM."""

from __future__ import annotations

SETTINGS = """
import os

SECRET_KEY = "tests only"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["orders"]
DATABASES = {{"default": {database}}}
"""
SQLITE = '{"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["ORDERS_FILE"]}'
MYSQL = """{
    "ENGINE": "django.db.backends.mysql",
    "OPTIONS": {"ssl_disabled": True} if is_pymysql else {},
    "NAME": url.path[1:], "HOST": url.hostname, "PORT": url.port, "USER": url.username, "PASSWORD": url.password,
}"""
# Django asks for a mysqlclient, and takes PyMySQL where that says to be one.
PYMYSQL = """
import os
from importlib.util import find_spec
from urllib.parse import urlsplit

url = urlsplit(os.environ["ORDERS_URL"])
is_pymysql = find_spec("MySQLdb") is None
if is_pymysql:
    import pymysql

    pymysql.version_info, pymysql.__version__ = (2, 2, 7, "final", 0), "2.2.7"
    pymysql.install_as_MySQLdb()
"""
APP = {
    "orders/__init__.py": "",
    "orders/models.py": """
        from django.db import models


        class Order(models.Model):
            name = models.CharField(max_length=50)
        """,
    "orders/migrations/__init__.py": "",
    "orders/migrations/0001_initial.py": """
        from django.db import migrations, models


        def sell(apps, editor):
            apps.get_model("orders", "Order").objects.create(name="first")


        class Migration(migrations.Migration):
            operations = [
                migrations.CreateModel(
                    "Order",
                    [("id", models.BigAutoField(primary_key=True)), ("name", models.CharField(max_length=50))],
                ),
                migrations.RunPython(sell),
            ]
        """,
}
TESTS = """
    import threading

    import django
    import pytest
    from django.db import connection, transaction

    django.setup()
    from orders.models import Order


    def order(name):
        try:
            return Order.objects.create(name=name).pk
        finally:
            connection.close()


    @pytest.mark.parametrize("attempt", range(2))
    def test_django_commits(attempt):
        with transaction.atomic():
            assert Order.objects.create(name="second").pk == 2
        thread = threading.Thread(target=order, args=["third"])
        thread.start()
        thread.join()
        assert list(Order.objects.values_list("pk", "name")) == [(1, "first"), (2, "second"), (3, "third")]
    """


def files(engine: str) -> dict[str, str]:
    """The project's files; its variable is ORDERS_FILE, or ORDERS_URL."""
    settings = SETTINGS.format(database=SQLITE) if engine == "sqlite" else PYMYSQL + SETTINGS.format(database=MYSQL)
    return {**APP, "web.py": settings, "test_django.py": TESTS}
