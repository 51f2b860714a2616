"""Servers number their backends each for itself: a line is told of a backend of the server that it was opened on."""

from __future__ import annotations

import psycopg

from mintdb.connections.ledger import Ledger
from mintdb.contract import Restored, Session, Way
from mintdb.report import Summary


def test_a_backends_line_is_not_told_of_another_servers_backend_of_that_number(
    dsn: str, port: int, watched: Ledger
) -> None:
    summary = Summary()
    with psycopg.connect(dsn) as connection:
        pid, line = connection.info.backend_pid, str(watched.open_entries()[0].site)
        session = Session(pid, "idle in transaction", None, None, None, None, None)
        for server in (port, port + 1):
            summary.count(Restored(Way.SWAP, 0.0, ended=[session], horizon_held_by=pid), "test_a", port=server)

    assert [ended.opened for _, ended in summary.ended] == [line, None]
    first, second = summary.troubles
    assert line in first
    assert second == f"backend {pid} keeps an old snapshot: tables that tests change grow meanwhile"
