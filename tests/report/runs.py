"""Reports of imagined runs, of any size."""

from __future__ import annotations

from mintdb.report.facts import RunReport, Tested, Worker

BEGAN = 1_790_000_000.0


def finding(line: int, **facts: object) -> dict[str, object]:
    known = {
        "kind": "leak",
        "reason": "it was opened in the test and is still open",
        "backend_pid": 48213,
        "state": "idle in transaction",
        "place": f"shop/jobs.py:{line} in send_receipts",
        "thread": "mailer",
        "query": "select '<b>' & 'x'",
        "waits_for": "AccessShareLock on a relation",
        "blocked_by": [7, 8],
        "blockers": ["backend 7 (opened shop/db.py:5 in connect)", "backend 8"],
        "holds": ["temporary table basket"],
    }
    return known | facts


def run_of(tests: int, *, lines: int = 1, every: int = 3) -> RunReport:
    """A run on two workers; every third test leaves a connection open, at one of so many lines."""
    return RunReport(
        project="shop",
        command="pytest -n 2 postgresql://ann:***@db/shop",
        began=BEGAN,
        seconds=tests * 0.01,
        tests=[
            Tested(
                test=f"tests/test_orders.py::test_{number}[<i>]",
                worker=f"gw{number % 2}",
                database="default",
                began=BEGAN + number * 0.01,
                seconds=0.009,
                way="rewind" if number % 7 else "swap",
                put_back=0.001 + (number % 50) / 1000,
                opened=1 + number % 5,
                peak=1 + number % 5,
                reason=None if number % 7 else "the schema has changed",
                findings=[finding(number // every % lines)] if number % every == 0 else (),
            )
            for number in range(tests)
        ],
        workers=[Worker("gw0", 11, tests * 2, 5), Worker("gw1", 12, tests, 4)],
        sprawl=[{"url": "postgresql://db/shop", "places": [f"app/m{n}.py:3 in <module>" for n in range(26)]}],
        notes=["3 put back"],
    )
