"""What a server needs, here and now: one finding for each need, and a remedy where it is not met."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from mintdb import clock
from mintdb.engines import places
from mintdb.engines.account import find_account, reachable, require_way
from mintdb.engines.postgresql.binaries import find_binaries, read_version
from mintdb.engines.postgresql.connecting import require_driver
from mintdb.engines.postgresql.errors import BinariesNotFound
from mintdb.errors import MintdbError
from mintdb.facts import dataclass

if TYPE_CHECKING:
    from mintdb.engines.postgresql.maintenance import Maintenance
    from mintdb.settings import DatabaseSettings, Settings

ROOM_FOR_CACHE = 1 << 28  # bytes: initdb's result 39 MB, a copy of the binaries 42, room for a second version of both
PLENTY = 100  # connections: PostgreSQL's own default, which pools of a few processes use up
MB = 1 << 20
LINGER = 2.0  # seconds that the server of this check stays


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"  # it works, but slower or with less room
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """What was found out about one need."""

    level: Level
    need: str
    found: str
    remedy: str = ""


def check(settings: Settings, database: DatabaseSettings) -> Iterator[Finding]:
    """Look at everything that `database` needs; later findings may take a second."""
    driver = _attempt("driver", _driver)
    yield driver
    if database.url and driver.level is not Level.FAIL:
        yield from _check_server(lambda: _join(str(database.url)))
    elif not database.url:
        yield from _check_embedded(settings, database, driver)


def _check_embedded(settings: Settings, database: DatabaseSettings, driver: Finding) -> Iterator[Finding]:
    here = [
        _attempt("binaries", lambda: _binaries(settings.binaries)),
        _attempt("account", lambda: _account(settings.binaries)),
        _attempt("cache", _cache),
        _attempt("memory", _memory),
    ]
    yield from here
    if all(finding.level is not Level.FAIL for finding in (driver, *here)):
        yield from _check_server(lambda: _start(settings, database))


def _check_server(open_it: Callable[[], Maintenance]) -> Iterator[Finding]:
    started = clock.monotonic()
    try:
        maintenance = open_it()
    except MintdbError as error:
        yield failure("server", error)
        return
    try:
        seconds = clock.monotonic() - started
        (who,) = maintenance.row("select current_user")
        yield Finding(Level.OK, "server", f"PostgreSQL {maintenance.version} answers {who!r} after {seconds:.2f} s")
        yield _connections(maintenance)
        yield _privileges(maintenance)
        yield _walinspect(maintenance)
    finally:
        maintenance.close()


def _attempt(need: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except MintdbError as error:
        return failure(need, error)


def failure(need: str, error: MintdbError) -> Finding:
    """An error as a finding: what happened, its evidence, and its steps as the remedy, but the one that led here."""
    lines = str(error).splitlines()
    steps = [line.strip() for line in lines if line.lstrip()[:2] in ("1.", "2.", "3.")]
    said = [" ".join(line.split()) for line in lines if line.strip() not in steps]
    return Finding(Level.FAIL, need, "; ".join(said), " ".join(step for step in steps if "mintdb doctor" not in step))


def _driver() -> Finding:
    require_driver()
    import psycopg

    found = f"psycopg {psycopg.__version__} ({psycopg.pq.__impl__}), libpq {psycopg.pq.version() // 10000}"
    if psycopg.pq.__impl__ == "python":
        return Finding(Level.WARN, "driver", found, "pip install 'psycopg[binary]' is faster")
    return Finding(Level.OK, "driver", found)


def _binaries(explicit: str | None) -> Finding:
    binaries = find_binaries(explicit)
    return Finding(Level.OK, "binaries", f"PostgreSQL {read_version(binaries)} of {binaries.origin}, {binaries.folder}")


def _account(explicit: str | None) -> Finding:
    account = find_account("postgres")
    if not account.drop:
        return Finding(Level.OK, "account", "the server runs as you")
    found = f"you are root, the server runs as user {account.uid}"
    with contextlib.suppress(BinariesNotFound):  # which is a finding of its own
        if not reachable(find_binaries(explicit).folder, account):
            found += ", on a copy of the binaries, which are closed to it where they are"
    return Finding(Level.OK, "account", found)


def _cache() -> Finding:
    cache = places.find_places().cache
    require_way(find_account("postgres"), cache)
    room = places.room_left(cache)
    found = f"{cache}, {room // MB} MB free"
    if room < ROOM_FOR_CACHE:
        return Finding(Level.FAIL, "cache", found, "make room, or name another folder: MINTDB_CACHE_DIR=/path")
    return Finding(Level.OK, "cache", found)


def _memory() -> Finding:
    found = places.find_places()
    if places.data_parent(found) == found.live:
        return Finding(Level.OK, "memory", f"data goes to tmpfs, {places.room_left(found.live) // MB} MB left")
    left = f"{places.room_left(places.SHM) // MB} MB left" if places.SHM.is_dir() else "none here"
    return Finding(
        Level.WARN,
        "memory",
        f"data goes to the cache's disk: tmpfs has {left}, {places.ROOM_FOR_DATA // MB} MB are needed",
        "give the container more: docker run --shm-size=2g",
    )


def _start(settings: Settings, database: DatabaseSettings) -> Maintenance:
    from mintdb.engines.postgresql import embedded

    reservation = embedded.reserve(embedded.settings_of(settings, database))
    return embedded.join(reservation, owner=_owner(), linger=min(LINGER, settings.linger))


def _join(url: str) -> Maintenance:
    from mintdb.engines.postgresql.external import reserve_external
    from mintdb.engines.postgresql.maintenance import Maintenance

    return Maintenance(reserve_external(url, slot="").url, owner=_owner())


def _owner() -> str:
    return f"doctor{os.getpid()}"


def _connections(maintenance: Maintenance) -> Finding:
    limit, used = maintenance.row(
        "select current_setting('max_connections')::int, count(*) from pg_stat_activity"
        " where backend_type = 'client backend'"
    )
    found = f"max_connections is {limit}, {used} in use"
    if limit >= PLENTY:
        return Finding(Level.OK, "limit", found)
    return Finding(Level.WARN, "limit", found, f"raise it to {PLENTY} or more, and restart the server")


def _privileges(maintenance: Maintenance) -> Finding:
    if maintenance.superuser:
        return Finding(Level.OK, "privileges", "superuser: clones are rewound")
    return Finding(
        Level.WARN,
        "privileges",
        "may create databases, but is no superuser: clones are swapped, which takes longer than a rewind",
        f'as a superuser:  alter role "{_role(maintenance)}" superuser   (on a server that is there for tests only)',
    )


def _role(maintenance: Maintenance) -> str:
    return str(maintenance.row("select current_user")[0])


def _walinspect(maintenance: Maintenance) -> Finding:
    import psycopg

    from mintdb.engines.postgresql.rewind.session import prepare
    from mintdb.engines.postgresql.rewind.wal import install

    if not maintenance.superuser:
        return Finding(Level.WARN, "rewind", "pg_walinspect needs a superuser", "see privileges")
    session: Any = maintenance.connection  # Any: rows are of no interest here
    try:
        install(session, prepare(session))
    except psycopg.Error as error:
        return Finding(
            Level.WARN,
            "rewind",
            f"pg_walinspect cannot be used, so every table is looked at: {str(error).splitlines()[0]}",
            "install the server's contrib package (postgresql-contrib)",
        )
    return Finding(Level.OK, "rewind", "pg_walinspect tells which tables were changed")
