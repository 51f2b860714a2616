"""Django's connections are known by their alias, with and without Django's own pool."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import sys, threading
from mintdb.connections import hooks
from mintdb.connections.ledger import ledger
from mintdb.connections.closing import collect
hooks.watch()
import django
from django.conf import settings

port, pool = sys.argv[1], sys.argv[2] == "pool"
options = {"pool": {"min_size": 1, "max_size": 2}} if pool else {}
database = {
    "ENGINE": "django.db.backends.postgresql", "NAME": "postgres", "USER": "postgres",
    "HOST": "127.0.0.1", "PORT": port, "OPTIONS": options,
}
settings.configure(DATABASES={"default": database, "replica": database}, USE_TZ=True)
django.setup()
from django.db import connections

def use():
    with connections["replica"].cursor() as cursor:
        cursor.execute("select 1")

def show():
    ledger.take_stock()
    for entry in ledger.open_entries():
        if entry.alias:
            print(entry.alias, entry.thread if not pool else entry.owner.kind)

use()
show()
thread = threading.Thread(target=use, name="mailer")
thread.start()
thread.join()
del thread
if not pool:
    show()
    collect()
    [entry] = ledger.ended_since(0)
    print(entry.alias, entry.thread, entry.ending)
connections.close_all()
if pool:
    connections["replica"].close_pool()
print(hooks.unseen())
"""


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        ("no", "replica MainThread\nreplica MainThread\nreplica mailer\nreplica mailer collected\n{}\n"),
        ("pool", "replica psycopg pool\n{}\n"),
    ],
)
def test_a_connection_is_known_by_its_alias(pool: str, expected: str, port: int) -> None:
    command = [sys.executable, "-c", CODE, str(port), pool]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)

    assert (result.stdout, result.returncode) == (expected, 0), result.stderr
