"""What a test is told of its connections: each leak with its line, and never one that is not its own."""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import threading
from collections.abc import Callable, Iterator

import psycopg
import psycopg2
import psycopg_pool
import pytest
import sqlalchemy as sa
import ways
from psycopg.rows import class_row

from mintdb.connections import habits
from mintdb.connections.account import Account, untold
from mintdb.connections.explain import compose, tell
from mintdb.connections.facts import Opening
from mintdb.connections.finding import find
from mintdb.connections.ledger import Ledger
from mintdb.connections.verdict import Kind, Verdict
from mintdb.contract import Session

TEST = "tests/test_orders.py::test_refund"
QUERY = """
select pid as backend_pid, state, query, application_name as application, client_port,
       extract(epoch from clock_timestamp() - state_change)::float as seconds_in_state,
       extract(epoch from clock_timestamp() - xact_start)::float as seconds_in_transaction,
       backend_xid is not null as has_written
  from pg_stat_activity where datname = 'postgres' and backend_type = 'client backend'"""


@pytest.fixture
def sessions(dsn: str) -> Iterator[Callable[[], list[Session]]]:
    with psycopg.connect(dsn, dbname="template1", autocommit=True, row_factory=class_row(Session)) as admin:
        yield lambda: admin.execute(QUERY).fetchall()


class Run:
    """Tests, one after the other, each with an account of its own."""

    def __init__(self, ledger: Ledger, sessions: Callable[[], list[Session]]) -> None:
        self.ledger, self.sessions = ledger, sessions

    def test(self, body: Callable[[], object], name: str = TEST) -> list[Verdict]:
        account = Account(name, "postgres")
        self.ledger.enter(Opening(name, "call"))
        body()
        self.ledger.enter(None)
        return account.verdicts(self.sessions)

    def guilty(self, body: Callable[[], object], name: str = TEST) -> list[tuple[str, str]]:
        found = [find(verdict) for verdict in untold(self.test(body, name))]
        return [(finding.kind.value, finding.opened.function if finding.opened else "") for finding in found]


@pytest.fixture
def run(watched: Ledger, sessions: Callable[[], list[Session]], forgotten: None) -> Run:
    return Run(watched, sessions)


def test_a_clean_test_has_nothing_to_hear(run: Run, dsn: str) -> None:
    for way in (ways.psycopg_with, ways.psycopg_closed_late, ways.psycopg2_closed, ways.asyncpg_closed):
        assert run.guilty(lambda way=way: way(dsn)) == []


def test_what_its_driver_has_let_go_of_is_of_no_other_process_while_its_backend_works_on(run: Run, dsn: str) -> None:
    def body() -> None:
        with psycopg.connect(dsn) as connection:
            connection.pgconn.send_query(b"select pg_sleep(600)")
            connection.pgconn.flush()
            connection.close()

    try:
        assert [verdict.kind for verdict in run.test(body)] == [Kind.CLOSED, Kind.CLOSED]  # the entry, and the session
    finally:
        with psycopg.connect(dsn, dbname="template1", autocommit=True) as admin:
            admin.execute("select pg_terminate_backend(pid, 60000) from pg_stat_activity where datname = 'postgres'")


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        (ways.psycopg_never_closed, ("leak", "psycopg_never_closed")),
        (ways.psycopg_in_a_thread, ("leak", "send_receipts")),
        (ways.psycopg_async, ("leak", "serve")),
        (ways.psycopg_collected_in_a_cycle, ("abandoned", "psycopg_collected_in_a_cycle")),
        (ways.psycopg2_with_is_no_close, ("leak", "psycopg2_with_is_no_close")),
        (ways.psycopg2_collected, ("abandoned", "psycopg2_collected")),
        (ways.asyncpg_never_closed, ("leak", "serve")),
    ],
)
def test_a_leak_is_told_once_with_its_line(run: Run, dsn: str, way: ways.Way, expected: tuple[str, str]) -> None:
    assert run.guilty(lambda: way(dsn), name_of(way)) == [expected]
    assert run.guilty(lambda: None, "tests/test_orders.py::test_next") == []


def name_of(way: ways.Way) -> str:
    """A test of which the way is the body."""
    return f"tests/test_orders.py::{way.__name__}"


def test_an_engine_made_once_for_the_whole_run_may_outlive_the_test_that_made_it(run: Run, dsn: str) -> None:
    engines: dict[str, sa.Engine] = {}

    def get_engine() -> sa.Engine:
        if "default" not in engines:
            engines["default"] = sa.create_engine(dsn.replace("postgresql", "postgresql+psycopg"))
        return engines["default"]

    def body() -> None:
        with get_engine().connect() as connection:
            connection.execute(sa.text("select 1"))

    for number in range(3):
        assert run.guilty(body, f"test_{number}") == []
    engines["default"].dispose()


def test_an_engine_made_for_each_test_is_a_leak_from_the_second_on(run: Run, dsn: str) -> None:
    engines = []

    def create_app() -> None:
        engines.append(sa.create_engine(dsn.replace("postgresql", "postgresql+psycopg")))
        with engines[-1].connect():
            pass

    assert [len(run.guilty(create_app, f"test_{number}")) for number in range(3)] == [0, 1, 1]
    for engine in engines:
        engine.dispose()


kept: dict[str, psycopg.Connection] = {}


engines: dict[str, sa.Engine] = {}


def connect(dsn: str) -> psycopg.Connection:
    return psycopg.connect(dsn, autocommit=True)


def searches(work: Callable[[], object]) -> int:
    """How often all objects are walked over for what refers to some."""
    walks = []

    def note(frame: object, event: str, function: object) -> None:
        if event == "c_call" and function is gc.get_referrers:
            walks.append(function)

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return len(walks)


def make_engine(dsn: str) -> sa.Engine:
    engine = sa.create_engine(dsn.replace("postgresql", "postgresql+psycopg"))
    engine.connect().close()
    return engine


@pytest.mark.parametrize("slow", [0.0, 60.0])
def test_a_pool_that_nothing_kept_in_five_tests_is_not_accused_in_the_sixth_and_not_searched_for_slowly(
    run: Run, dsn: str, monkeypatch: pytest.MonkeyPatch, slow: float
) -> None:
    monkeypatch.setattr(habits, "SLOW", slow)
    held, found, name = [make_engine(dsn)], [], f"test_many_{slow}.py::test_refund"

    def test(number: int) -> None:
        found.extend(run.guilty(lambda: held.append(make_engine(dsn)), f"{name}[{number}]"))

    searched = [searches(lambda number=number: test(number)) > 0 for number in range(7)]
    assert searched == [True] * 5 + [bool(slow)] * 2
    assert found == [("leak", "make_engine")] * (7 if slow else 5)
    for engine in held:
        engine.dispose()


@pytest.mark.parametrize("test", ["test_lasting.py::test_refund[7]", "test_many.py::test_login", "alike"])
def test_what_a_test_keeps_is_searched_for_although_its_line_was_never_kept(
    run: Run, dsn: str, monkeypatch: pytest.MonkeyPatch, test: str
) -> None:
    monkeypatch.setattr(habits, "SLOW", 0.0)
    gc.unfreeze()  # this module, which the suite's conftest has frozen
    held = []
    for number in range(6):
        assert run.guilty(lambda: held.append(connect(dsn)), f"test_many.py::test_refund[{number}]")
        held.pop().close()
    keeper = "test_many.py::test_refund[6]" if test == "alike" else test
    assert run.guilty(lambda: kept.update({keeper: connect(dsn)}), keeper) == []
    assert run.guilty(lambda: kept.update({"again": connect(dsn)}), "test_many.py::test_refund[8]") == []
    kept.clear()
    gc.freeze()


def test_a_pool_that_is_kept_may_open_more_while_it_is_judged(run: Run, dsn: str) -> None:
    """As one with threads of its own does, at any moment."""
    gc.unfreeze()  # this module, which the suite's conftest has frozen
    sessions, left = run.sessions, 3

    def look() -> list[Session]:
        nonlocal left
        seen = sessions()
        if left and "second" in engines:
            left -= 1
            taken = [engines["second"].connect() for _ in range(4 - left)]  # what is idle, and one more
            for connection in taken:
                connection.close()
        return seen

    run.sessions = look
    assert run.guilty(lambda: engines.update(first=make_engine(dsn)), "test_kept.py::test_first") == []
    assert run.guilty(lambda: engines.update(second=make_engine(dsn)), "test_kept.py::test_second") == []
    assert left == 0
    for engine in engines.values():
        engine.dispose()
    engines.clear()
    gc.freeze()


def test_an_engine_that_is_garbage_is_no_excuse_and_its_connection_is_abandoned(run: Run, dsn: str) -> None:
    def create_app() -> None:
        engine = sa.create_engine(dsn.replace("postgresql", "postgresql+psycopg2"))
        with engine.connect():
            pass
        engine.myself = engine

    gc.collect()
    gc.disable()
    try:
        assert run.guilty(create_app, "test_0") == []  # who knows whether it is garbage: its site has only this one
        assert run.guilty(create_app, "test_1") == [("abandoned", "create_app")]
    finally:
        gc.enable()


@pytest.mark.parametrize("is_closed", [True, False])
def test_what_its_engines_dispose_has_left_behind_is_told_once_and_not_at_all_if_it_was_closed(
    run: Run, dsn: str, *, is_closed: bool
) -> None:
    def body() -> None:
        engine = sa.create_engine(dsn.replace("postgresql", "postgresql+psycopg"))
        connection = engine.connect()
        connection.execute(sa.text("select 1"))
        if is_closed:
            engine.dispose()
            connection.close()
        else:
            del connection  # in a cycle of SQLAlchemy's own
            engine.dispose()

    for number in range(3):  # of its creation site the first may be for the whole run, and the third is not
        assert len(run.guilty(body, f"test_{number}")) == (not is_closed)


def test_what_psycopgs_pools_drop_when_they_are_closed_was_given_back(run: Run, dsn: str) -> None:
    """Their worker is about to reset the connection, and finds the pool closed."""

    def body() -> None:
        with (
            psycopg_pool.ConnectionPool(dsn, min_size=1, open=True, reset=lambda connection: None) as pool,
            pool.connection() as connection,
        ):
            connection.execute("select 1")

    async def reset(connection: psycopg.AsyncConnection) -> None:
        pass

    async def serve() -> None:
        async with (
            psycopg_pool.AsyncConnectionPool(dsn, min_size=1, open=False, reset=reset) as pool,
            pool.connection() as connection,
        ):
            await connection.execute("select 1")

    assert [run.guilty(body, f"test_{number}") for number in range(2)] == [[], []]
    assert [run.guilty(lambda: asyncio.run(serve()), f"test_{number}") for number in range(2)] == [[], []]


def test_a_session_wide_connection_is_resident_until_what_it_wrote_is_in_the_way(run: Run, dsn: str) -> None:
    run.ledger.enter(Opening(TEST, "setup", fixture="admin", scope="session"))
    admin = psycopg.connect(dsn)
    admin.execute("select 1")  # leaves it in a transaction, as suites do

    assert run.guilty(lambda: None) == []
    assert run.guilty(lambda: admin.execute("create temp table scratch (x int)")) == [
        ("leak", "test_a_session_wide_connection_is_resident_until_what_it_wrote_is_in_the_way")
    ]
    assert run.guilty(lambda: None) == []  # it was told
    admin.close()


def test_a_thread_that_is_older_than_the_test_does_not_incriminate_it(run: Run, dsn: str) -> None:
    go, done = threading.Event(), threading.Event()

    def serve() -> None:
        go.wait(60)
        ways.KEPT.append(psycopg.connect(dsn))
        done.set()

    thread = threading.Thread(target=serve)
    thread.start()

    def body() -> None:
        go.set()
        done.wait(60)

    assert run.guilty(body) == []
    thread.join()


def test_connections_to_another_database_are_not_this_leases_business(run: Run, dsn: str) -> None:
    def body() -> None:
        ways.KEPT.append(psycopg.connect(dsn, dbname="template1"))

    verdicts = run.test(body)
    assert [verdict.kind for verdict in verdicts] == []


def test_a_leak_of_an_unseen_kind_is_not_called_another_processs(run: Run, dsn: str) -> None:
    kept = []
    verdicts = run.test(lambda: kept.append(psycopg.pq.PGconn.connect(dsn.encode())))

    assert [(verdict.kind, verdict.reason) for verdict in verdicts] == [
        (Kind.RESIDENT, "it is of this process, but was opened past its driver")
    ]
    kept[0].finish()


def test_the_whole_report(run: Run, dsn: str) -> None:
    stop, opened = threading.Event(), threading.Event()

    def send_receipts() -> None:
        connection = psycopg.connect(dsn)
        connection.execute("create temp table refunds (x int)")
        opened.set()
        stop.wait(60)
        connection.close()

    thread = threading.Thread(target=send_receipts, name="mailer")

    def body() -> None:
        thread.start()
        opened.wait(60)

    [verdict] = untold(run.test(body))
    finding = find(verdict)
    stop.set()
    thread.join()

    assert (
        compose(tell([finding], test=TEST))
        == f"""\
LEAK  tests/test_orders.py::test_refund left 1 connection open
  backend {finding.backend_pid}, idle in transaction for {finding.seconds:.1f} s on postgres
  opened   tests/connections/test_accounts.py:{finding.opened.line} in send_receipts, thread "mailer"
  last ran create temp table refunds (x int)
  1. close it where it was opened:  with psycopg.connect(…) as conn: …
  2. or stop the thread before the test ends
"""
    )


def test_what_a_thread_opened_alone_is_told_with_the_thread_and_the_line_that_started_it(run: Run, dsn: str) -> None:
    def body() -> None:
        thread = threading.Thread(target=psycopg2.connect, args=[dsn], name="loader")
        thread.start()
        thread.join()

    [verdict] = untold(run.test(body))
    finding = find(verdict)
    assert (finding.opened, finding.thread) == (None, "loader")
    assert finding.started is not None
    assert finding.started.line == body.__code__.co_firstlineno + 2


def test_what_a_block_of_an_engine_has_taken_and_which_library_did_is_known(run: Run, dsn: str) -> None:
    engine = sa.create_engine(dsn.replace("postgresql", "postgresql+psycopg"))
    kept: list[object] = []

    def body() -> None:
        kept.append(engine.begin())
        kept[0].__enter__()  # type: ignore[attr-defined]  # what the list has is a context manager

    [entry] = [verdict.entry for verdict in run.test(body) if verdict.entry]
    finding = find(Verdict(Kind.LEAK, "", entry, None))
    assert (finding.begins, finding.package) == (True, "sqlalchemy")
    kept.clear()
    engine.dispose()


def test_a_test_that_freezes_time_is_told_of_its_leak_all_the_same(run: Run, dsn: str) -> None:
    freezegun = pytest.importorskip("freezegun")

    def body() -> None:
        with freezegun.freeze_time("1970-01-01 00:00:01"):
            ways.psycopg_never_closed(dsn)

    assert run.guilty(body, name_of(ways.psycopg_never_closed)) == [("leak", "psycopg_never_closed")]


CLEAN = [
    ways.psycopg_with,
    ways.psycopg_closed_late,
    ways.psycopg2_closed,
    ways.sqlalchemy_null_pool,
    ways.asyncpg_closed,
]
LEAKING = [ways.psycopg_never_closed, ways.psycopg2_never_closed, ways.psycopg_in_a_thread, ways.asyncpg_never_closed]


def test_in_any_order_each_leaking_test_is_accused_and_no_clean_one_is(run: Run, dsn: str) -> None:
    ways_of_tests = [*CLEAN, *LEAKING, ways.sqlalchemy_psycopg, ways.sqlalchemy_psycopg2]
    for seed in range(5):
        order = random.Random(seed).sample(ways_of_tests, len(ways_of_tests))
        accused = {way for way in order if run.guilty(lambda way=way: way(dsn), way.__name__)}
        # The engines' first connections may be of engines for the whole run; a second engine of a site may not.
        engines = set() if seed == 0 else {ways.sqlalchemy_psycopg, ways.sqlalchemy_psycopg2}
        assert accused == {*LEAKING, *engines}
