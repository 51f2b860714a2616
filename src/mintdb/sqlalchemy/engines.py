"""Make engines that lead to the leased database, and say at once where one cannot be made or leads elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa

from mintdb.address import Address, redact
from mintdb.connections.pools import pools
from mintdb.facts import dataclass
from mintdb.sqlalchemy.errors import DriverNotInstalled, DriverOfTheOtherKind, EngineElsewhere

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

T = TypeVar("T")

# Of each kind of database the first that is installed, where nothing names one.
BLOCKING = {"postgresql": ("psycopg", "psycopg2"), "mysql": ("pymysql", "mysqldb"), "sqlite": ("pysqlite",)}
ASYNCHRONOUS = {"postgresql": ("asyncpg", "psycopg"), "mysql": ("asyncmy", "aiomysql"), "sqlite": ("aiosqlite",)}
INSTALL = {"psycopg": "'mintdb[postgresql]'", "psycopg2": "'mintdb[psycopg2]'", "asyncpg": "'mintdb[asyncpg]'"}


@dataclass(frozen=True)
class Kind:
    """Blocking engines, or asynchronous ones."""

    word: str
    drivers: Mapping[str, tuple[str, ...]]
    fixture: str


BLOCKING_KIND = Kind("a blocking", BLOCKING, "mintdb_engine")
ASYNCHRONOUS_KIND = Kind("an asynchronous", ASYNCHRONOUS, "mintdb_async_engine")


def create_engine(address: Address, driver: str = "", **options: Any) -> sa.Engine:  # Any: create_engine's own
    """A blocking engine for a database: `lease.address`. `driver` is `psycopg2`, say, or `postgresql+psycopg2`.

    The caller disposes of it. Raises DriverNotInstalled and DriverOfTheOtherKind.
    """

    def make(url: str) -> sa.Engine:
        if sa.make_url(url).get_dialect().is_async:  # it could be made, and would fail with its first statement
            raise sa.exc.InvalidRequestError
        return sa.create_engine(url, **options)

    return _make(BLOCKING_KIND, ASYNCHRONOUS_KIND, address, driver, make)


def create_async_engine(address: Address, driver: str = "", **options: Any) -> AsyncEngine:  # Any: as above
    """An asynchronous engine for a database; while mintdb watches, it works with one event loop after the other.

    The caller disposes of it. Raises DriverNotInstalled and DriverOfTheOtherKind.
    """

    def make(url: str) -> AsyncEngine:
        from sqlalchemy.ext.asyncio import create_async_engine as create  # needs greenlet, which not everybody has

        return create(url, **options)

    return _make(ASYNCHRONOUS_KIND, BLOCKING_KIND, address, driver, make)


def _make(kind: Kind, other: Kind, address: Address, driver: str, make: Callable[[str], T]) -> T:
    forms = [driver] if "+" in driver else [f"{address.engine}+{n}" for n in _names(kind, address.engine, driver)]
    missing: dict[str, Exception] = {}
    for form in forms:
        try:
            return make(address.url_for(form))
        except (ImportError, sa.exc.NoSuchModuleError) as error:
            missing[form] = error
        except sa.exc.InvalidRequestError:
            example = kind.drivers[address.engine][0]
            raise DriverOfTheOtherKind(
                form=form, kind=other.word, wanted=kind.word, other=other.fixture, example=example
            ) from None
    form, why = next(iter(missing.items()))
    name = form.partition("+")[2]
    raise DriverNotInstalled(form=form, error=why, install=INSTALL.get(name, name), options=f"{kind.fixture}_options")


def _names(kind: Kind, engine: str, driver: str) -> tuple[str, ...]:
    return (driver,) if driver else kind.drivers[engine]


def leads_to(engine: sa.Engine, address: Address) -> bool:
    """Whether an engine's URL names this database. One that names none (`creator=`) is not doubted."""
    url = engine.url
    if not url.database:
        return True
    if url.get_backend_name() == "sqlite":
        return os.path.abspath(url.database) == os.path.abspath(address.database)
    return url.database == address.database and _is_same_server(url, address)


def _is_same_server(url: sa.URL, address: Address) -> bool:
    host, port = url.host or url.query.get("host", ""), url.port or url.query.get("port", "")
    same_port = not port or int(str(port)) == address.port
    return same_port and (str(host) == address.host or (_is_here(str(host)) and _is_here(address.host)))


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host in ("", "localhost") or host.startswith("/")


def check_leads_to(engine: sa.Engine, address: Address, *, variables: Mapping[str, str]) -> None:
    """Raises EngineElsewhere unless the engine leads to this database; `variables` are those that mintdb exports."""
    if leads_to(engine, address):
        return
    owner = pools.find(engine)
    raise EngineElsewhere(
        engine=redact(engine.url.render_as_string(hide_password=True)),
        created=f"  created    {owner.site}\n" if owner and owner.site else "",
        ours=address.redacted,
        variable=", ".join(variables) or 'a variable that `export` names: export = "DATABASE_URL"',
    )


def engines_of(maker: Any) -> list[sa.Engine]:  # Any: sessionmaker and its kin, whose class differs
    """The engines that a sessionmaker was given; those of one that works them out itself are not known yet."""
    options = getattr(maker, "session_factory", maker).kw
    binds = [options.get("bind"), *(options.get("binds") or {}).values()]
    return [getattr(bind, "sync_engine", bind).engine for bind in binds if bind is not None]


class Engines:
    """The engines of one run, one for each database and driver: their pools outlive tests, as an application's do."""

    def __init__(self) -> None:
        self._made: dict[tuple[object, ...], sa.Engine] = {}
        self._asynchronous: dict[tuple[object, ...], AsyncEngine] = {}

    def get(self, address: Address, options: Mapping[str, Any], exported: Iterable[str]) -> sa.Engine:
        """The blocking one. `options` are create_engine's, and "driver": else an `exported` URL form names it."""
        driver, others = _split(BLOCKING_KIND, address, options, exported)
        return _once(self._made, address, options, lambda: create_engine(address, driver, **others))

    def get_async(self, address: Address, options: Mapping[str, Any], exported: Iterable[str]) -> AsyncEngine:
        """The asynchronous one."""
        driver, others = _split(ASYNCHRONOUS_KIND, address, options, exported)
        return _once(self._asynchronous, address, options, lambda: create_async_engine(address, driver, **others))

    def let_go(self, address: Address | None = None) -> None:
        """Dispose of the engines of a database that is about to be dropped, or of all."""
        doomed = None if address is None else address.url
        for key in [key for key in self._made if doomed in (None, key[0])]:
            self._made.pop(key).dispose()
        for key in [key for key in self._asynchronous if doomed in (None, key[0])]:
            # Its idle connections belong to event loops, and are let go of when their lease ends.
            self._asynchronous.pop(key).sync_engine.dispose(close=False)


def _split(
    kind: Kind, address: Address, options: Mapping[str, Any], exported: Iterable[str]
) -> tuple[str, dict[str, Any]]:  # Any: create_engine's own options
    known = [form for form in exported if form.partition("+")[2] in kind.drivers[address.engine]]
    others = dict(options)
    return others.pop("driver", known[0] if known else ""), others


def _once(
    made: dict[tuple[object, ...], T], address: Address, options: Mapping[str, Any], make: Callable[[], T]
) -> T:  # Any: as above
    key = (address.url, *sorted((name, repr(value)) for name, value in options.items()))
    if key not in made:
        made[key] = make()
        pools.is_ours(getattr(made[key], "sync_engine", made[key]))
    return made[key]
