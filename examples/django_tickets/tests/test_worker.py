"""A Celery worker, in a process of its own, works on the test's database."""

import os
import subprocess
import sys
import time

import pytest
from django.conf import settings
from django.db import connection

from box_office.celery import app
from tickets.models import Show
from tickets.tasks import confirm

WORKER = ["-m", "celery", "-A", "box_office.celery", "worker", "-P", "solo", "--without-gossip", "--without-mingle"]
PATIENCE = 60  # seconds


@pytest.fixture(scope="session")
def worker(django_db_setup, tmp_path_factory):
    folder = tmp_path_factory.mktemp("broker")
    options = app.conf.broker_transport_options | dict.fromkeys(settings.BROKER_FOLDERS, str(folder))
    app.conf.update(broker_url="filesystem://", broker_transport_options=options)
    values = connection.settings_dict
    own = {"BROKER_FOLDER": str(folder), "DJANGO_SETTINGS_MODULE": "box_office.settings"}
    own |= {f"DATABASE_{key}": str(values[key]) for key in ("NAME", "USER", "PASSWORD", "HOST", "PORT")}
    with (
        open(folder / "log", "w") as log,
        subprocess.Popen([sys.executable, *WORKER], env=os.environ | own, stdout=log, stderr=log) as process,
    ):
        yield process
        process.terminate()


@pytest.mark.parametrize("buyer", ["Ann", "Bob"])
def test_a_ticket_is_confirmed(worker, transactional_db, buyer):
    ticket = Show.objects.get(title="Hamlet").sell(buyer)
    assert ticket.pk == 1
    confirm.delay(ticket.pk)
    deadline = time.monotonic() + PATIENCE
    while not ticket.confirmed and time.monotonic() < deadline:
        time.sleep(0.05)
        ticket.refresh_from_db()
    assert ticket.confirmed
