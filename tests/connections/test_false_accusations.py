"""Clean tests beside leaking ones, in any order and on several workers: the guilty are named, and nobody else."""

from __future__ import annotations

import os
from pathlib import Path

import cases
import pytest
from every_way import Driver
from tests.frameworks.suites import Suite

from mintdb.report.files import read

SOAK = "MINTDB_SOAK" in os.environ
PROCESSES, SHUFFLES = (10, 100) if SOAK else (1, 2)
RUNS = (
    30 if SOAK else 1
)  # with workers; of one round: a worker that ran a test twice in a row would not set it up again
GUILTY = 8  # of the table's tests in each shuffle: they are slow, and it is what they do to the clean ones that counts

HOURS = 4 * 3600.0  # seconds

# What applications do that looks like a leak, and is none.
INNOCENT = """
import threading

engine = None
stopping = threading.Event()

def ask_lazily():
    global engine
    engine = engine or sa.create_engine(with_driver("psycopg"))
    with engine.connect() as connection:
        connection.execute(sa.text("insert into account (owner) values ('Ann')"))
        connection.commit()

def poll():
    while not stopping.wait(0.01):
        with psycopg.connect(URL, autocommit=True) as connection:
            connection.execute("select 1")

@pytest.fixture(scope="session", autouse=True)
def poller():
    thread = threading.Thread(target=poll, name="poller")
    thread.start()
    yield
    stopping.set()
    thread.join()

@pytest.fixture(scope="session")
def pool():
    with psycopg_pool.ConnectionPool(URL, min_size=1, max_size=2, open=True) as pool:
        yield pool

@pytest.fixture(scope="module")
def reader():
    with psycopg.connect(URL) as connection:
        connection.execute("select 1")
        yield connection

@pytest.fixture
def closed_in_its_teardown():
    connection = psycopg.connect(URL)
    yield connection
    connection.close()

@pytest.mark.parametrize("attempt", range(3))
def test_a_lazy_engine(attempt):
    ask_lazily()

@pytest.mark.parametrize("attempt", range(2))
def test_a_pool_of_the_session(pool, attempt):
    with pool.connection() as connection:
        connection.execute("insert into account (owner) values ('Ann')")

def test_a_reader_of_the_module(reader):
    reader.execute("select count(*) from account")

def test_a_fixtures_connection(closed_in_its_teardown):
    closed_in_its_teardown.execute("insert into account (owner) values ('Ann')")

def test_an_engine_of_its_own():
    own = sa.create_engine(with_driver("psycopg2"))
    with own.begin() as connection:
        connection.execute(sa.text("insert into account (owner) values ('Ann')"))
    own.dispose()

def test_a_thread_of_the_lazy_engine():
    in_a_thread(ask_lazily, "mailer")

def test_nothing():
    pass
"""
# `items` is in an order that each worker finds alike.
SHUFFLED = """
import os, random

def pytest_collection_modifyitems(items):
    chance, found = random.Random(int(os.environ["SEED"])), []
    table = [item for item in items if "__" in item.name]
    clean = [item for item in items if "__" not in item.name]
    for _ in range(int(os.environ["ROUNDS"])):
        some = clean + chance.sample(table, int(os.environ["GUILTY"]))
        chance.shuffle(some)
        if found and found[-1] is some[0]:  # pytest would not set it up again
            some.append(some.pop(0))
        found += some
    items[:] = found
"""


REPEATED = 3  # of the innocent tests: two are of one with three attempts, one of one with two


def repeatable() -> list[cases.Case]:
    """Ways that are the same each time: no pool that the next one of its site makes one too many, no wide fixture."""
    chosen = ("never_closed", "in_a_transaction", "closed", "with", "collected", "collected_late")
    return [
        case
        for case in cases.some_cases(["postgresql"])
        if type(case) is cases.Case
        and isinstance(case.way, Driver)
        and case.fate.name in chosen
        and not case.place.scope
    ]


@pytest.fixture
def suite(tmp_path: Path, server_home: Path) -> Suite:
    return Suite(tmp_path)


def run_and_compare(suite: Suite, *options: str, seed: int, rounds: int) -> None:
    """Run everything so many times, each time in another order; every test is told of as often as it ran."""
    table = repeatable()
    tests = cases.write(suite, table, ["postgresql"], more=INNOCENT)
    suite.write(conftest=cases.CONFTEST + SHUFFLED)
    suite.environment |= {"SEED": str(seed), "ROUNDS": str(rounds), "GUILTY": str(GUILTY)}
    absent = ("-p", "no:django")  # its fixture for every test is as wide as a class: each time a look for a mark
    ran = suite.run("-q", "-p", "asyncio", *absent, "--mintdb-report", "run.json", *options, timeout=HOURS)

    report = read(suite.folder / "run.json")
    executions = {(tested.test, tested.began) for tested in report.tests}
    assert ran.outcomes == {"passed": len(executions)}, ran.output
    assert len(executions) == rounds * (INNOCENT.count("def test_") + REPEATED + GUILTY)
    wrong = cases.differences(report, {case.test: case.expected(tests) for case in table})
    assert not wrong, f"seed {seed}\n" + "\n".join(wrong)


@pytest.mark.parametrize("seed", range(PROCESSES))
def test_nobody_is_accused_falsely_in_whatever_order_the_tests_run(suite: Suite, seed: int) -> None:
    run_and_compare(suite, seed=seed, rounds=SHUFFLES)


@pytest.mark.parametrize("seed", range(RUNS))
def test_nobody_is_accused_of_what_a_parallel_test_does(suite: Suite, seed: int) -> None:
    run_and_compare(suite, "-n", "4", seed=seed, rounds=1)
