"""A lease gives a database for one test, from acquire to release, whoever asks and however many at once."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

import mintdb
from mintdb.contract import Way
from mintdb.core.lease import LeaseEnded, held
from mintdb.engines.postgresql.errors import TemplateGone
from mintdb.engines.postgresql.warm import WARM

LEASE = """
import sys
import psycopg
before = set(sys.modules)
import mintdb
with mintdb.open(schema="sql:schema.sql", project="leases") as mint, mint.lease() as lease:
    loaded = sys.modules.keys() - before
    print(*sorted(loaded & set(sys.argv[1:])), *{name.partition(".")[0] for name in loaded} - sys.stdlib_module_names)
"""


@pytest.fixture
def mint(server_home: Path, tmp_path: Path) -> Iterator[mintdb.Mint]:
    (tmp_path / "schema.sql").write_text("create table t (id serial primary key, n int);")
    with mintdb.open(tmp_path, schema="sql:schema.sql", project="leases") as mint:
        yield mint


def rows(url: str) -> int:
    with psycopg.connect(url) as connection:
        return connection.execute("select count(*) from t").fetchone()[0]


def insert(url: str) -> int:
    with psycopg.connect(url) as connection:
        return connection.execute("insert into t (n) values (1) returning id").fetchone()[0]


def test_one_at_a_time_they_share_one_url(mint: mintdb.Mint) -> None:
    urls = set()
    for _ in range(3):
        with mint.lease() as lease:
            urls.add(lease.url)
            assert insert(lease.url) == 1
    assert urls == {mint.reserve().url}


def test_where_template_and_server_are_ready_a_first_lease_loads_nothing_that_makes_them(
    mint: mintdb.Mint, tmp_path: Path
) -> None:
    """Each of these costs as much as a rewind or more, in every process of every run; of libraries, the locks alone."""
    unwanted = ["mintdb.schemas.postgresql", "mintdb.schemas.sql_split", "mintdb.schemas.server_errors", "difflib"]
    mint.open()
    command = [sys.executable, "-c", LEASE, *unwanted, "asyncio"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"filelock", "mintdb"}


def test_after_its_release_a_lease_says_what_to_do(mint: mintdb.Mint) -> None:
    with mint.lease() as lease:
        pass
    for use in (
        lambda: lease.url,
        lambda: lease.address,
        lambda: lease.params,
        lambda: lease.url_for("jdbc"),
        lease.keep,
    ):
        with pytest.raises(LeaseEnded, match="has ended"):
            use()
    with pytest.raises(LeaseEnded):
        lease.connect()
    assert lease.release() is lease.restored


def test_a_lease_that_nobody_released_ends_with_its_mint(mint: mintdb.Mint) -> None:
    lease, alone = mint.lease(), mint.lease(isolation="clone")
    connection = lease.connect()
    mint.close()
    assert [*held()] == []
    assert connection.closed
    for each in (lease, alone):
        with pytest.raises(LeaseEnded):
            each.connect()
        assert each.release().way is Way.KEPT


def test_its_own_connections_are_closed_with_it(mint: mintdb.Mint) -> None:
    with mint.lease() as lease:
        connection = lease.connect()
        connection.execute("insert into t (n) values (1)")
    assert connection.closed
    with mint.lease() as lease:
        assert rows(lease.url) == 0


def test_who_connects_again_as_soon_as_he_can_is_in_no_swaps_way(mint: mintdb.Mint) -> None:
    over = threading.Event()

    def come_back(url: str) -> None:
        while not over.is_set():
            with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url, autocommit=True) as connection:
                while not over.wait(0.02):
                    connection.execute("select 1")

    with mint.lease() as lease, ThreadPoolExecutor(12) as pool:
        for _ in range(12):
            pool.submit(come_back, lease.url)
        with psycopg.connect(lease.url) as connection:
            connection.execute("alter table t add column m int")
        try:
            assert lease.release().way is Way.SWAP
        finally:
            over.set()
    with mint.lease() as lease:
        assert insert(lease.url) == 1


def test_two_at_once_are_two_databases(mint: mintdb.Mint) -> None:
    with mint.lease() as one, mint.lease() as two:
        assert one.url != two.url
        assert insert(one.url) == insert(two.url) == 1
        assert rows(one.url) == rows(two.url) == 1


def test_twelve_threads_leasing_at_once_never_meet(mint: mintdb.Mint) -> None:
    held: set[str] = set()
    guard = threading.Lock()

    def use(_: int) -> None:
        with mint.lease() as lease:
            with guard:
                assert lease.url not in held
                held.add(lease.url)
            assert insert(lease.url) == 1
            assert rows(lease.url) == 1
            with guard:
                held.remove(lease.url)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(use, range(12)))


def test_a_clone_of_its_own_is_gone_after_the_lease(mint: mintdb.Mint) -> None:
    with mint.lease(isolation="clone") as lease:
        url = lease.url
        insert(url)
    assert lease.restored is not None
    assert lease.restored.way == Way.DROP
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(url)


def test_isolation_none_keeps_what_was_written(mint: mintdb.Mint) -> None:
    with mint.lease(isolation="none") as lease:
        insert(lease.url)
    with mint.lease() as lease:
        assert rows(lease.url) == 1
    with mint.lease() as lease:
        assert rows(lease.url) == 0


def test_a_failing_test_is_put_back_too(mint: mintdb.Mint) -> None:
    def fail() -> None:
        with mint.lease() as lease:
            raise ValueError(insert(lease.url))

    with pytest.raises(ValueError, match="1"):
        fail()
    with mint.lease() as lease:
        assert rows(lease.url) == 0


def test_what_could_not_be_put_back_is_put_back_before_anybody_leases_it(mint: mintdb.Mint) -> None:
    """A failed put-back fails its own test; the next has the same URL in mint condition, or fails as that did."""
    with mint.lease() as lease:
        first = lease.url

    def change_the_schema() -> None:
        with mint.lease() as lease, psycopg.connect(lease.url) as connection:
            connection.execute("alter table t add column m int")

    def until_no_clone_is_left() -> None:
        for _ in range(WARM + 1):
            change_the_schema()

    with psycopg.connect(mint.reserve().with_database("postgres").url, autocommit=True) as admin:
        found = admin.execute("select datname from pg_database where datistemplate and datname ~ '^mint_leases'")
        (template,) = found.fetchone()
        admin.execute(f'alter database "{template}" rename to hidden')
        for use in (until_no_clone_is_left, mint.lease):
            with pytest.raises(TemplateGone) as caught:
                use()
            assert (
                str(caught.value)
                == f"""\
template {template} has gone from {caught.value.facts["url"]} while this run needs it
  somebody dropped or renamed it: another program, or  mintdb template drop
  1. run the tests again: it is built anew"""
            )
        admin.execute(f'alter database hidden rename to "{template}"')
    with mint.lease() as lease, psycopg.connect(lease.url) as connection:
        assert lease.url == first
        assert [c.name for c in connection.execute("select * from t").description] == ["id", "n"]


AWAY = "select pg_terminate_backend(pid, 60000) from pg_stat_activity where datname = '{0}'"


@pytest.mark.parametrize(
    ("statements", "reason"),
    [
        (["drop database {0} with (force)"], "a test dropped it"),
        (["drop database {0} with (force)", "create database {0}"], None),
        ([AWAY, "alter database {0} rename to elsewhere"], "a test gave it another name"),
    ],
)
def test_a_database_that_a_test_drops_or_renames_is_there_again_and_nothing_of_it_stays(
    mint: mintdb.Mint, statements: list[str], reason: str | None
) -> None:
    with mint.lease() as lease:
        name, _ = lease.address.database, insert(lease.url)
        with psycopg.connect(lease.address.with_database("postgres").url, autocommit=True) as admin:
            for statement in statements:
                admin.execute(statement.format(name))
            recreated = admin.execute("select oid from pg_database where datname = %s", [name]).fetchone()
    assert lease.restored is not None
    assert lease.restored.way is Way.SWAP
    assert reason in (None, lease.restored.reason)
    with mint.lease() as lease, lease.connect() as connection:
        assert lease.address.database == name
        assert insert(lease.url) == 1
        assert connection.execute("select from pg_database where datname = 'elsewhere'").fetchone() is None
        if recreated:  # the keeper drops what is recorded as mintdb's
            with mint.open().server._maintenance.connection.cursor() as cursor:
                trash = "select name from databases natural full join pg_database where oid = %s"
                assert cursor.execute(trash, recreated).fetchone() != (None,)
