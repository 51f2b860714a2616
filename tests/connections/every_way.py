"""The table: every driver and pool, every place in a program, and everything that becomes of a connection.

Words in capitals are put in by `cases`. The line that opens (or takes) a connection ends in `# opens`, the one that
makes a pool in `# makes`: that is what a report has to name.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Driver:
    """A driver as an application uses it: expressions and statements of Python."""

    key: str  # in a test's name
    name: str  # as a report has it
    engine: str
    connect: str
    write: str  # leaves `connection` in a transaction that has written
    close: str = "connection.close()"
    is_async: bool = False


@dataclass(frozen=True)
class Pool:
    """A pool as an application uses it."""

    key: str
    name: str  # of its driver
    engine: str
    owner: str  # as a report has it
    make: str
    take: str
    write: str
    give_back: str
    end: str
    is_async: bool = False
    opener: str = ""  # the thread that opens the connections of a pool with threads of its own


@dataclass(frozen=True)
class Place:
    """Where in a program the connection is opened; `function` is the one whose line it is."""

    name: str
    source: str
    function: str = "work"
    thread: str = "MainThread"
    task: str | None = None
    fixture: str | None = None
    scope: str | None = None  # of a wider fixture, whose connection may outlive the test


@dataclass(frozen=True)
class Fate:
    """What becomes of the connection, and what must be said of it: a leak, abandoned, or nothing."""

    name: str
    body: str
    kind: str | None = None
    then: str = ""  # a clean test that runs right after this one
    is_in_the_way: bool = False  # it holds a transaction that has written: a wider fixture, too, must not


ADD = "insert into account (owner) values ('Ann')"
EXECUTE = f'connection.cursor().execute("{ADD}")'
DRIVERS = [
    Driver("psycopg", "psycopg", "postgresql", "psycopg.connect(URL)", EXECUTE),
    Driver("psycopg2", "psycopg2", "postgresql", "psycopg2.connect(URL)", EXECUTE),
    Driver("sqlite3", "sqlite3", "sqlite", "sqlite3.connect(FILE, check_same_thread=False)", EXECUTE),
    Driver("pymysql", "PyMySQL", "mysql", "pymysql.connect(**MYSQL, ssl_disabled=True)", EXECUTE),
    Driver("mysqlclient", "mysqlclient", "mysql", "MySQLdb.connect(**MYSQL)", EXECUTE),
    Driver(
        "psycopg_async",
        "psycopg",
        "postgresql",
        "await psycopg.AsyncConnection.connect(URL)",
        f'await connection.execute("{ADD}")',
        "await connection.close()",
        is_async=True,
    ),
    Driver(
        "asyncpg",
        "asyncpg",
        "postgresql",
        "await asyncpg.connect(URL)",
        f'await connection.execute("begin; {ADD}")',
        "await connection.close()",
        is_async=True,
    ),
    Driver(
        "aiosqlite",
        "aiosqlite",
        "sqlite",
        "await aiosqlite.connect(FILE)",
        f'await connection.execute("{ADD}")',
        "await connection.close()",
        is_async=True,
    ),
    Driver(
        "asyncmy",
        "asyncmy",
        "mysql",
        "await asyncmy.connect(**MYSQL)",
        f'async with connection.cursor() as cursor: await cursor.execute("{ADD}")',
        "await connection.ensure_closed()",
        is_async=True,
    ),
    Driver(
        "aiomysql",
        "aiomysql",
        "mysql",
        "await aiomysql.connect(**{'db' if key == 'database' else key: value for key, value in MYSQL.items()})",
        f'async with connection.cursor() as cursor: await cursor.execute("{ADD}")',
        "await connection.ensure_closed()",
        is_async=True,
    ),
]


def _engine(key: str, name: str, engine: str, url: str) -> Pool:
    return Pool(
        key=f"sqlalchemy_{key}",
        name=name,
        engine=engine,
        owner="SQLAlchemy engine",
        make=f"sa.create_engine({url}, poolclass=sa.QueuePool)",
        take="pool.connect()",
        write=f'connection.execute(sa.text("{ADD}"))',
        give_back="connection.close()",
        end="pool.dispose()",
    )


def _async_engine(key: str, name: str, engine: str, url: str) -> Pool:
    return Pool(
        key=f"sqlalchemy_{key}",
        name=name,
        engine=engine,
        owner="SQLAlchemy engine",
        make=f"create_async_engine({url}, poolclass=sa.AsyncAdaptedQueuePool)",
        take="await pool.connect()",
        write=f'await connection.execute(sa.text("{ADD}"))',
        give_back="await connection.close()",
        end="await pool.dispose()",
        is_async=True,
    )


POOLS = [
    _engine("psycopg", "psycopg", "postgresql", "with_driver('psycopg')"),
    _engine("psycopg2", "psycopg2", "postgresql", "with_driver('psycopg2')"),
    _engine("pymysql", "PyMySQL", "mysql", "MYSQL_URL"),
    _engine("sqlite3", "sqlite3", "sqlite", "'sqlite:///' + FILE"),
    _async_engine("psycopg_async", "psycopg", "postgresql", "with_driver('psycopg')"),
    _async_engine("asyncpg", "asyncpg", "postgresql", "with_driver('asyncpg')"),
    _async_engine("asyncmy", "asyncmy", "mysql", "MYSQL_URL.replace('pymysql', 'asyncmy').partition('?')[0]"),
    _async_engine("aiomysql", "aiomysql", "mysql", "MYSQL_URL.replace('pymysql', 'aiomysql').partition('?')[0]"),
    _async_engine("aiosqlite", "aiosqlite", "sqlite", "'sqlite+aiosqlite:///' + FILE"),
    Pool(
        key="psycopg_pool",
        name="psycopg",
        engine="postgresql",
        owner="psycopg pool",
        make="psycopg_pool.ConnectionPool(URL, min_size=1, num_workers=1, open=True, name='orders')",
        take="pool.getconn()",
        write=EXECUTE,
        give_back="connection.rollback(); pool.putconn(connection)",
        end="pool.close()",
        opener="orders-worker-0",
    ),
    Pool(
        key="asyncpg_pool",
        name="asyncpg",
        engine="postgresql",
        owner="asyncpg pool",
        make="await asyncpg.create_pool(URL, min_size=0, max_size=2)",
        take="await pool.acquire()",
        write=f'await connection.execute("begin; {ADD}")',
        give_back="await pool.release(connection)",
        end="await pool.close()",
        is_async=True,
    ),
]

IN_A_TEST = """
def test_NAME():
    BODY
"""
IN_A_THREAD = """
def test_NAME():
    def work():
        BODY
    in_a_thread(work, "mailer")
"""
IN_AN_EXECUTOR = """
def test_NAME():
    def work():
        BODY
    with ThreadPoolExecutor(1, thread_name_prefix="jobs") as executor:
        executor.submit(work).result()
"""
IN_A_LOOPS_THREAD = """
def test_NAME():
    def work():
        BODY
    asyncio.run(asyncio.to_thread(work))
"""
IN_A_TASK = """
def test_NAME():
    async def work():
        BODY
    asyncio.run(in_a_task(work, "poller"))
"""
IN_A_THREADS_LOOP = """
def test_NAME():
    async def work():
        BODY
    in_a_thread(lambda: asyncio.run(in_a_task(work, "poller")), "mailer")
"""
IN_AN_ASYNC_TEST = """
async def test_NAME():
    asyncio.current_task().set_name("the test")
    BODY
"""
IN_AN_ASYNC_FIXTURE = """
@pytest_asyncio.fixture
async def with_NAME():
    asyncio.current_task().set_name("the fixture")
    BODY

async def test_NAME(with_NAME):
    pass
"""
IN_A_FIXTURE = """
@pytest.fixture(scope="SCOPE")
def with_NAME():
    BODY

def test_NAME(with_NAME):
    pass
"""
IN_A_TEARDOWN = """
@pytest.fixture
def with_NAME():
    yield
    BODY

def test_NAME(with_NAME):
    pass
"""

IN_A_TESTS_CHILD = """
def test_NAME():
    start_child("NAME")
"""
IN_A_FIXTURES_CHILD = """
@pytest.fixture(scope="SCOPE")
def with_NAME():
    start_child("NAME")

def test_NAME(with_NAME):
    pass
"""
CHILD_PLACES = [
    Place("tests_child", IN_A_TESTS_CHILD),
    *(
        Place(f"{scope}_fixtures_child", IN_A_FIXTURES_CHILD.replace("SCOPE", scope), scope=scope)
        for scope in ("function", "session")
    ),
]


def _fixture(scope: str) -> Place:
    source = IN_A_FIXTURE.replace("SCOPE", scope)
    wide = None if scope in ("function", "class") else scope  # the tests are in no class, whose fixtures end with them
    return Place(f"{scope}_fixture", source, "with_NAME", fixture="with_NAME", scope=wide)


BLOCKING_PLACES = [
    Place("test", IN_A_TEST, "test_NAME"),
    Place("thread", IN_A_THREAD, thread="mailer"),
    Place("executor", IN_AN_EXECUTOR, thread="jobs_0"),
    Place("loops_thread", IN_A_LOOPS_THREAD, thread="asyncio_0"),
    Place("blocking_task", IN_A_TASK, task="poller"),
    Place("teardown", IN_A_TEARDOWN, "with_NAME"),
    *map(_fixture, ("function", "class", "module", "session")),
]
ASYNC_PLACES = [
    Place("task", IN_A_TASK, task="poller"),
    Place("threads_loop", IN_A_THREADS_LOOP, thread="mailer", task="poller"),
    Place("async_test", IN_AN_ASYNC_TEST, "test_NAME", task="the test"),
    Place("async_fixture", IN_AN_ASYNC_FIXTURE, "with_NAME", task="the fixture", fixture="with_NAME"),
]

CLOSED_BY_THE_NEXT = """
def test_NAME__which_this_one_closes():
    kept.pop().close()
"""
KEEP = "WRITE\nkept.append(connection)"
FATES = [
    Fate("never_closed", "kept.append(CONNECT)  # opens", "leak"),
    Fate(
        "in_a_transaction", "connection = CONNECT  # opens\nWRITE\nkept.append(connection)", "leak", is_in_the_way=True
    ),
    Fate("closed", "connection = CONNECT  # opens\nWRITE\nCLOSE"),
    Fate("closed_finally", "connection = CONNECT  # opens\ntry:\n    WRITE\nfinally:\n    CLOSE"),
    Fate("collected", "connection = CONNECT  # opens\nWRITE\ndel connection", "abandoned"),
    Fate("collected_late", "circle = [CONNECT]  # opens\ncircle.append(circle)", "abandoned"),
]
CHILD_FATES = [fate for fate in FATES if fate.name in ("never_closed", "in_a_transaction")]
BLOCKING_FATES = [
    *FATES,
    Fate("with", "with contextlib.closing(CONNECT) as connection:  # opens\n    WRITE"),
    Fate("closed_by_a_finalizer", "late.append(CONNECT)  # opens"),
    Fate("closed_by_the_next", "kept.append(CONNECT)  # opens", "leak", CLOSED_BY_THE_NEXT),
]
USE = "connection = TAKE  # opens\nWRITE\nGIVE_BACK"
MADE_TWICE = """
for _ in range(2):
    pool = MAKE  # makes
    connection = TAKE  # opens
    WRITE
    GIVE_BACK
    kept.append(pool)
"""
POOL_FATES = [
    Fate("ended", f"pool = MAKE  # makes\n{USE}\nEND"),
    Fate("kept_for_the_run", f"pool = MAKE  # makes\n{USE}\nkept.append(pool)"),
    Fate("made_twice", MADE_TWICE.strip(), "leak"),
    Fate(
        "held",
        "pool = MAKE  # makes\nconnection = TAKE  # opens\nWRITE\nkept.append(connection)",
        "leak",
        is_in_the_way=True,
    ),
]
