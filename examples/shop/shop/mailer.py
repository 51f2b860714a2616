"""Mail goes out from threads of its own, each with a connection of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg

from shop import db

Transport = Callable[[str, str], None]
GIVE_UP_AFTER = 3

CLAIM = """
select id, recipient, subject from mails
where sent_at is null and attempts < %s
order by id
limit 1
for update skip locked
"""


def send_waiting(transport: Transport, *, workers: int = 3) -> int:
    """Send all that waits; returns how many went out."""
    with ThreadPoolExecutor(workers, thread_name_prefix="mailer") as pool:
        return sum(pool.map(lambda _: _send_all(transport), range(workers)))


def _send_all(transport: Transport) -> int:
    sent = 0
    with db.connect(autocommit=True) as connection:
        while (outcome := _send_one(connection, transport)) is not None:
            sent += outcome
    return sent


def _send_one(connection: psycopg.Connection, transport: Transport) -> bool | None:
    """Whether the next mail went out; None where none waits that is not in somebody else's hands."""
    with connection.transaction():
        row = connection.execute(CLAIM, [GIVE_UP_AFTER]).fetchone()
        if row is None:
            return None
        number, recipient, subject = row
        connection.execute("update mails set attempts = attempts + 1 where id = %s", [number])
        try:
            transport(recipient, subject)
        except OSError:
            return False
        who = threading.current_thread().name
        connection.execute("update mails set sent_at = now(), sent_by = %s where id = %s", [who, number])
        return True


class Worker:
    """Sends each mail as soon as its transaction commits, for as long as the block lasts."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._ready = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mail worker")

    def __enter__(self) -> Worker:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with db.connect(autocommit=True) as connection:
            connection.execute("listen mails")
            self._ready.set()
            while not self._stop.is_set():
                for _ in connection.notifies(timeout=0.02, stop_after=1):
                    pass
                while _send_one(connection, self._transport) is not None:
                    pass
