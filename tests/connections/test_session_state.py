"""A connection that stays open over a rewind has the session state that it had before the test."""

from __future__ import annotations

import select
import threading
from collections.abc import Iterator
from contextlib import closing

import psycopg
import psycopg2
import psycopg2.extras
import psycopg_pool
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from mintdb.connections import state
from mintdb.connections.ledger import Ledger, ledger
from mintdb.connections.state import PLAIN, State, differences

DRIVERS = ["psycopg", "psycopg2"]


@pytest.fixture(params=DRIVERS)
def engine(request: pytest.FixtureRequest, dsn: str, watched: Ledger) -> Iterator[sa.Engine]:
    engine = sa.create_engine(dsn.replace("postgresql", f"postgresql+{request.param}"))
    yield engine
    engine.dispose()


def mess_up(engine: sa.Engine) -> int:
    """What an unsuspecting test leaves on a pooled connection; its backend pid."""
    with engine.connect() as connection:
        connection.execute(sa.text("select set_config('search_path', 'acme,public', false)"))
        connection.execute(sa.text("select set_config('app.tenant', 'acme', false)"))
        connection.execute(sa.text("create temp table scratch (x int)"))
        connection.execute(sa.text("select pg_advisory_lock(42)"))
        connection.execute(sa.text("listen accounts"))
        connection.execute(sa.text('prepare "the test\'s" as select 1'))
        connection.execute(sa.text("declare held cursor with hold for select 1"))
        pid = connection.scalar(sa.text("select pg_backend_pid()"))
        connection.commit()
    return pid


def looks(engine: sa.Engine) -> tuple[object, ...]:
    """Backend pid, then what `mess_up` changes."""
    with engine.connect() as connection:
        row = connection.execute(
            sa.text(
                "select pg_backend_pid(), current_setting('search_path'), current_setting('app.tenant', true),"
                " to_regclass('pg_temp.scratch') is null, (select count(*) from pg_locks where locktype = 'advisory'),"
                " (select count(*) from pg_listening_channels()),"
                " (select count(*) from pg_prepared_statements where from_sql), (select count(*) from pg_cursors)"
            )
        ).one()
    return tuple(row)


def open_one(engine: sa.Engine) -> int:
    with engine.connect() as connection:
        return connection.scalar(sa.text("select pg_backend_pid()"))


def test_a_pooled_connection_that_was_seen_before_survives_and_is_as_new(engine: sa.Engine, watched: Ledger) -> None:
    pid = open_one(engine)
    assert state.put_back(watched.open_entries()) == []  # the end of a first test, which left nothing
    assert mess_up(engine) == pid

    assert state.put_back(watched.open_entries()) == []

    assert looks(engine) == (pid, '"$user", public', "", True, 0, 0, 0, 0)


def test_a_pooled_connection_that_was_never_seen_plain_is_closed_and_its_pool_reconnects(
    engine: sa.Engine, watched: Ledger
) -> None:
    pid = mess_up(engine)

    assert state.put_back(watched.open_entries()) == []

    assert watched.open_entries() == []
    after = looks(engine)
    assert after[0] != pid
    assert after[1:] == ('"$user", public', None, True, 0, 0, 0, 0)


def test_what_a_pools_connect_event_sets_is_there_after_each_rewind(engine: sa.Engine, watched: Ledger) -> None:
    @sa.event.listens_for(engine, "connect")
    def dress(dbapi_connection: psycopg.Connection, record: object) -> None:
        with dbapi_connection.cursor() as cursor:
            cursor.execute("set time zone 'Asia/Tokyo'")
            cursor.execute("set app.realm = 'shop'")  # in no catalog: only the event can set it again
        dbapi_connection.commit()

    for _ in range(3):
        mess_up(engine)
        state.put_back(watched.open_entries())
        assert looks(engine)[1:] == ('"$user", public', None, True, 0, 0, 0, 0)
        with engine.connect() as connection:
            assert connection.scalar(sa.text("show time zone")) == "Asia/Tokyo"
            assert connection.scalar(sa.text("show app.realm")) == "shop"


def test_what_a_connect_event_sets_and_no_catalog_shows_is_there_after_each_rewind(
    engine: sa.Engine, watched: Ledger
) -> None:
    @sa.event.listens_for(engine, "connect")
    def dress(dbapi_connection: psycopg.Connection, record: object) -> None:
        with dbapi_connection.cursor() as cursor:
            cursor.execute("set app.realm = 'shop'")
        dbapi_connection.commit()

    for _ in range(2):
        with engine.connect() as connection:
            assert connection.scalar(sa.text("show app.realm")) == "shop"
            connection.execute(sa.text("set app.realm = 'another'"))
            connection.commit()
        state.put_back(watched.open_entries())


def test_a_psycopg_pool_gets_plain_connections_back_and_a_configured_one_new_ones(dsn: str, watched: Ledger) -> None:
    def configure(connection: psycopg.Connection) -> None:
        connection.execute("set time zone 'Asia/Tokyo'")
        connection.commit()

    def mess(pool: psycopg_pool.ConnectionPool) -> int:
        with pool.connection() as connection:
            connection.execute("set search_path = acme")
            return connection.info.backend_pid

    def look(pool: psycopg_pool.ConnectionPool) -> tuple[int, str, str]:
        with pool.connection() as connection:
            path = connection.execute("show search_path").fetchone()[0]
            return connection.info.backend_pid, path, connection.execute("show time zone").fetchone()[0]

    with (
        psycopg_pool.ConnectionPool(dsn, min_size=1) as plain,
        psycopg_pool.ConnectionPool(dsn, min_size=1, configure=configure) as dressed,
    ):
        plain_pid, zone = look(plain)[::2]
        state.put_back(watched.open_entries())
        assert mess(plain) == plain_pid
        dressed_pid = mess(dressed)

        assert state.put_back(watched.open_entries()) == []

        assert look(plain) == (plain_pid, '"$user", public', zone)
        assert look(dressed)[0] != dressed_pid
        assert look(dressed)[1:] == ('"$user", public', "Asia/Tokyo")


@pytest.mark.parametrize("connect", [psycopg.connect, psycopg2.connect], ids=DRIVERS)
def test_a_wider_fixtures_raw_connection_returns_to_what_the_fixture_had_set(
    connect: psycopg.connect, dsn: str, watched: Ledger
) -> None:
    connection = connect(dsn)
    cursor = connection.cursor()
    cursor.execute("set time zone 'Asia/Tokyo'")
    cursor.execute('listen "Fixture\'s"')
    cursor.execute("select pg_advisory_lock(1)")
    cursor.execute("create temp table of_the_fixture (x int)")
    cursor.execute("prepare of_the_fixture as select 1")
    connection.commit()
    state.remember(watched.open_entries())

    cursor.execute("set time zone 'UTC'")
    cursor.execute("set search_path = acme")
    cursor.execute('unlisten *; listen "Other"')
    cursor.execute("select pg_advisory_lock(-5), pg_advisory_lock_shared(7, -8)")
    cursor.execute("create temp table of_the_test (x int)")
    cursor.execute("prepare of_the_test as select 1")
    cursor.execute("declare held_by_the_test cursor with hold for select 1")
    connection.commit()
    assert state.put_back(watched.open_entries()) == []

    cursor.execute(
        "select current_setting('timezone'), current_setting('search_path'),"
        " array(select pg_listening_channels()), array(select objid::int from pg_locks where locktype = 'advisory'),"
        " to_regclass('of_the_fixture') is not null, to_regclass('of_the_test') is not null,"
        " array(select name from pg_prepared_statements where from_sql), array(select name from pg_cursors)"
    )
    wanted = ("Asia/Tokyo", '"$user", public', ["Fixture's"], [1], True, False, ["of_the_fixture"], [])
    assert cursor.fetchone() == wanted
    connection.close()


def test_a_pooled_connection_on_which_nothing_was_set_is_kept_whatever_else_a_test_did(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        pid = connection.scalar(sa.text("select pg_backend_pid()"))
        connection.execute(sa.text("create temp table scratch (x int)"))
        connection.execute(sa.text("select pg_advisory_lock(42)"))
        connection.commit()
    assert state.put_back(ledger.open_entries()) == []
    with engine.connect() as connection:
        assert connection.scalar(sa.text("select pg_backend_pid()")) == pid
        assert connection.scalar(sa.text("select to_regclass('scratch')")) is None
        assert connection.scalar(sa.text("select count(*) from pg_locks where locktype = 'advisory'")) == 0


@pytest.mark.parametrize("connect", [psycopg.connect, psycopg2.connect], ids=DRIVERS)
def test_one_that_is_first_seen_after_a_test_loses_what_is_in_others_way_and_keeps_what_may_be_its_opener_s(
    connect: psycopg.connect, dsn: str, watched: Ledger
) -> None:
    with closing(connect(dsn)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("set time zone 'Asia/Tokyo'; listen accounts")
        for path in ("", "acme"):  # from the second time on, it is known what the test has done
            cursor.execute("select pg_advisory_lock(42)")
            cursor.execute("create temp table scratch (x int)")
            cursor.execute(f"set search_path = '{path}'") if path else None
            assert state.put_back(watched.open_entries()) == []
            cursor.execute(
                "select current_setting('timezone'), current_setting('search_path'), pg_listening_channels(),"
                " to_regclass('pg_temp.scratch'), (select count(*) from pg_locks where locktype = 'advisory')"
            )
            assert cursor.fetchone() == ("Asia/Tokyo", '"$user", public', "accounts", None, 0)


@pytest.mark.parametrize("kind", [sa.StaticPool, sa.SingletonThreadPool])
@pytest.mark.parametrize("is_kept", [False, True], ids=["idle", "in use"])
def test_a_pool_of_one_connection_has_it_opened_anew_unless_somebody_has_it(
    kind: type[sa.Pool], is_kept: bool, dsn: str, watched: Ledger
) -> None:
    engine = sa.create_engine(dsn.replace("postgresql", "postgresql+psycopg"), poolclass=kind)
    engine = engine.execution_options(isolation_level="AUTOCOMMIT")
    pid = open_one(engine)
    in_use = engine.connect() if is_kept else None  # it shares the connection that the others give back
    assert mess_up(engine) == pid

    state.put_back(watched.open_entries())

    found = looks(engine)
    assert (found[0] == pid) is is_kept
    assert found[3:5] == (True, 0)
    if in_use is not None:
        assert in_use.scalar(sa.text("select pg_backend_pid()")) == pid
        in_use.close()
    engine.dispose()


def test_what_a_driver_prepared_for_itself_stays(dsn: str, watched: Ledger) -> None:
    with psycopg_pool.ConnectionPool(dsn, min_size=1, max_size=1) as pool:
        for _ in range(2):
            with pool.connection() as connection:
                connection.execute("select 1", prepare=True)
                pid = connection.info.backend_pid
            assert state.put_back(watched.open_entries()) == []
        with pool.connection() as connection:
            assert connection.info.backend_pid == pid
            assert connection.execute("select 1", prepare=True).fetchone() == (1,)


def test_a_connection_in_a_transaction_is_left_alone(dsn: str, watched: Ledger) -> None:
    with psycopg.connect(dsn) as connection:
        state.remember(watched.open_entries())
        connection.execute("set search_path = acme")

        [left] = state.put_back(watched.open_entries())

        assert left.backend_pid == connection.info.backend_pid
        assert connection.execute("show search_path").fetchone() == ("acme",)


def test_a_psycopg2_connection_on_which_another_thread_may_wait_is_not_asked(dsn: str, watched: Ledger) -> None:
    connected, enough = threading.Event(), threading.Event()

    def listen() -> None:
        with closing(psycopg2.connect(dsn)) as connection:
            connection.autocommit = True
            connection.cursor().execute("listen jobs")
            connected.set()
            while not enough.is_set():
                if select.select([connection], [], [], 0.05)[0]:
                    connection.poll()  # takes whatever has come, an answer to somebody else too

    worker = threading.Thread(target=listen)
    worker.start()
    assert connected.wait(60)
    state.remember(watched.open_entries())
    [entry] = state.put_back(watched.open_entries())
    assert entry.baseline is None
    enough.set()
    worker.join()


def test_whoever_polls_a_psycopg2_connection_does_not_take_our_answer(dsn: str, watched: Ledger) -> None:
    """Without taking turns this waits for ever, most often at once."""
    enough, answers = threading.Event(), []

    def poll(connection: psycopg2.extensions.connection) -> None:
        while not enough.is_set():
            if select.select([connection], [], [], 0.01)[0]:
                connection.poll()

    def ask() -> None:
        with closing(psycopg2.connect(dsn)) as connection:
            connection.autocommit = True
            connection.cursor().execute("listen jobs")
            poller = threading.Thread(target=poll, args=[connection])
            poller.start()
            [entry] = watched.open_entries()
            answers.extend(state.find_held(entry) for _ in range(100))
            enough.set()
            poller.join()

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(60)
    assert answers == [("LISTEN jobs",)] * 100


def test_a_pooled_psycopg2_connection_is_not_asked_while_another_thread_has_it(dsn: str, watched: Ledger) -> None:
    engine = sa.create_engine(dsn.replace("postgresql", "postgresql+psycopg2"))
    taken, enough = threading.Event(), threading.Event()

    def work() -> None:
        with engine.connect():
            taken.set()
            enough.wait(60)

    worker = threading.Thread(target=work)
    worker.start()
    assert taken.wait(60)
    [entry] = watched.open_entries()
    state.remember([entry])
    assert entry.baseline is None
    enough.set()
    worker.join()
    state.remember([entry])
    assert entry.baseline == state.PLAIN
    engine.dispose()


@pytest.mark.parametrize(
    "classes",
    [
        {"cursor_factory": psycopg2.extras.RealDictCursor},
        {"connection_factory": psycopg2.extras.DictConnection},
        {"connection_factory": psycopg2.extras.LoggingConnection},  # whose cursors fail until it has a log
    ],
    ids=str,
)
def test_classes_of_the_applications_own_are_no_obstacle(classes: dict, dsn: str, watched: Ledger) -> None:
    with closing(psycopg2.connect(dsn, **classes)) as connection:
        connection.autocommit = True
        state.remember(watched.open_entries())
        [entry] = watched.open_entries()
        assert entry.baseline == state.PLAIN
        with psycopg2.extensions.cursor(connection) as cursor:
            cursor.execute("set search_path = acme")
            assert state.put_back([entry]) == []
            cursor.execute("show search_path")
            assert cursor.fetchone() == ('"$user", public',)


def test_a_blocking_drivers_own_transaction_state_is_untouched(dsn: str, watched: Ledger) -> None:
    with psycopg2.connect(dsn) as connection:
        state.remember(watched.open_entries())
        state.put_back(watched.open_entries())

        assert connection.autocommit is False
        with connection.cursor() as cursor:
            cursor.execute("select 1")
        assert connection.info.transaction_status == psycopg2.extensions.TRANSACTION_STATUS_INTRANS
    connection.close()


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_an_async_pools_connection_is_closed_although_its_event_loop_is_dead(
    driver: str, dsn: str, watched: Ledger
) -> None:
    import asyncio

    engine = create_async_engine(dsn.replace("postgresql", f"postgresql+{driver}"))

    async def one_test() -> int:
        async with engine.connect() as connection:
            await connection.execute(sa.text("set search_path = acme"))
            await connection.commit()
            return await connection.scalar(sa.text("select pg_backend_pid()"))

    async def next_test() -> tuple[int, str]:
        async with engine.connect() as connection:
            path = await connection.scalar(sa.text("show search_path"))
            return await connection.scalar(sa.text("select pg_backend_pid()")), path

    pid = asyncio.run(one_test())
    assert state.put_back(watched.open_entries()) == []
    assert watched.open_entries() == []

    after = asyncio.run(next_test())
    assert after[0] != pid
    assert after[1] == '"$user", public'
    state.put_back(watched.open_entries())


def test_differences_lead_from_one_state_to_the_other() -> None:
    before = State(frozenset({("timezone", "O'Hara")}), frozenset({"a"}), frozenset(), frozenset(), "none")
    now = State(
        frozenset({("app.x", "1")}),
        frozenset({'b"b'}),
        frozenset({(0xFFFFFFFF, 0xFFFFFFFB, 1, "ExclusiveLock"), (7, 0xFFFFFFF8, 2, "ShareLock")}),
        frozenset({"scratch"}),
        "reader",
        frozenset({"plan"}),
        frozenset({"held"}),
    )

    assert list(differences(now, before)) == [
        "set role none",
        'reset "app"."x"',
        "select pg_catalog.set_config('timezone', 'O''Hara', false)",
        'unlisten "b""b"',
        'listen "a"',
        "select pg_catalog.pg_advisory_unlock_shared(7, -8)",
        "select pg_catalog.pg_advisory_unlock(-5)",
        'deallocate "plan"',
        'close "held"',
        "discard temp",
    ]
    assert list(differences(PLAIN, PLAIN)) == []
