"""Connections at moments that nobody thinks of: before the first test, after the last one, in threads that go on."""

from __future__ import annotations

import threading
from pathlib import Path

import psycopg
import pytest
from tests.frameworks.suites import new_suite

from mintdb.connections.bereaved import excuse

CONFTEST = """
    import atexit
    import os
    import psycopg
    import app

    def pytest_configure():
        app.early = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)

    def report_usage(url):
        connection = psycopg.connect(url.rpartition("/")[0] + "/postgres")
        print("at the end:", connection.execute("select 'connected'").fetchone()[0])
        connection.close()

    atexit.register(report_usage, os.environ["DATABASE_URL"])
"""
APP = """
    import os
    import threading
    import time
    import psycopg

    URL = os.environ["DATABASE_URL"]
    at_import = psycopg.connect(URL, autocommit=True)
    early = None

    def backend(connection):
        return connection.execute("select pg_backend_pid()").fetchone()[0]

    def send_receipts(started):
        connection = psycopg.connect(URL, autocommit=True)
        started.set()
        while True:
            connection.execute("insert into account (owner) values (gen_random_uuid()::text)")
            time.sleep(0.01)

    def start_mailer():
        started = threading.Event()
        threading.Thread(target=send_receipts, args=[started], name="mailer", daemon=True).start()
        started.wait()
"""
TESTS = """
    import threading
    import time
    import app
    import pytest

    pids = {app.backend(app.early), app.backend(app.at_import)}

    def count():
        return app.early.execute("select count(*) from account").fetchone()[0]

    def test_early_connections_work():
        app.at_import.execute("insert into account (owner) values ('Ann')")
        assert count() == 1

    def test_a_thread_goes_on():
        app.start_mailer()

    @pytest.mark.parametrize("attempt", range(2))
    def test_the_next_are_not_failed_by_what_ended_it(attempt):
        for thread in threading.enumerate():
            if thread.name == "mailer":
                thread.join(10)
        assert count() == 0

    def test_early_connections_are_still_the_same():
        assert {app.backend(app.early), app.backend(app.at_import)} == pids
"""


def test_they_are_seen_and_kept_and_fail_nobody(tmp_path: Path, server_home: Path) -> None:
    suite = new_suite(tmp_path / "project").write(app=APP, conftest=CONFTEST, test_moments=TESTS)
    ran = suite.run()
    assert " 5 passed in " in ran.output, ran.output
    assert ran.code == 0
    assert ran.output.count("LEAK  ") == 1, ran.output
    assert "LEAK  test_moments.py::test_a_thread_goes_on left 1 connection open" in ran.output
    assert 'app.py:15 in send_receipts, thread "mailer"' in ran.output
    assert "at the end: connected" in ran.output


@pytest.mark.parametrize(
    ("error", "is_shown"), [(ValueError("its own"), True), (psycopg.OperationalError("server closed it"), False)]
)
def test_of_a_thread_whose_session_was_ended_only_its_own_faults_are_shown(
    monkeypatch: pytest.MonkeyPatch, error: Exception, is_shown: bool
) -> None:
    shown: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: shown.append(args.exc_value))
    ended = threading.Event()

    def work() -> None:
        ended.wait()
        raise error

    thread = threading.Thread(target=work)
    thread.start()
    excuse(thread)
    ended.set()
    thread.join()
    assert shown == [error] * is_shown
