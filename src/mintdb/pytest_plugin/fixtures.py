"""The fixtures with SQLAlchemy engines and sessions; SQLAlchemy is imported when one of them is asked for."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from mintdb.errors import SettingsError

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
    from sqlalchemy.orm import Session

    from mintdb.core.lease import Lease
    from mintdb.pytest_plugin.run import Run
    from mintdb.sqlalchemy import Engines, Guard, Transactions

REFUSED = pytest.StashKey[Sequence[Exception]]()  # what isolation = "transaction" has refused in a test
GUARD: pytest.StashKey[Guard] = pytest.StashKey()  # of databases of somebody else's, from the first test on


class SqlalchemyMissing(SettingsError):
    """A fixture with an engine or a session was asked for, and SQLAlchemy is not installed. Facts: error."""

    text = """\
the fixtures with engines and sessions need SQLAlchemy, which cannot be imported
  it said    {error}
  1. pip install 'mintdb[sqlalchemy]'"""


class CannotReallyCommit(SettingsError):
    """A test wants to commit on a database of somebody else's, where mintdb may put nothing back.

    Facts: isolation, url.
    """

    text = """\
isolation = {isolation!r} needs a database of mintdb's own, and the role of {url} may not create one
  1. take the marker away: the test then runs in a transaction
  2. or run it elsewhere:  alter role … createdb, or take `url` away"""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test shows what was refused in it, where the application has answered that with an error page."""
    report = yield
    refused = item.stash.get(REFUSED, None) if report.failed else None
    texts = dict.fromkeys(map(str, refused or []))
    if untold := [text for text in texts if text.splitlines()[0] not in report.longreprtext]:
        report.sections.append(("refused by mintdb", "\n".join(untold)))
    return report


def pytest_unconfigure(config: pytest.Config) -> None:
    """Threads that tests have left behind stay refused until the process ends; who has called pytest may go on."""
    if guard := config.stash.get(GUARD, None):
        guard.spare_this_thread()


@pytest.fixture(scope="session")
def mintdb_engine_options() -> dict[str, Any]:  # Any: create_engine's own options
    """For you to override: options of `create_engine`, and `driver` ("psycopg2")."""
    return {}


@pytest.fixture(scope="session")
def mintdb_async_engine_options() -> dict[str, Any]:  # Any: as above
    """For you to override: options of `create_async_engine`, and `driver` ("asyncpg")."""
    return {}


@pytest.fixture(scope="session")
def _mintdb_engines(request: pytest.FixtureRequest) -> Iterator[Engines]:
    """The run's engines."""
    library = _sqlalchemy()
    from mintdb.connections.hooks import watch

    watch()  # where nothing is configured, nobody has looked at connections so far
    engines: Engines = library.Engines()
    yield engines
    engines.let_go()


@pytest.fixture
def mintdb_engine(
    request: pytest.FixtureRequest,
    mintdb: Lease,
    _mintdb_engines: Engines,
    mintdb_engine_options: dict[str, Any],  # Any: as above
) -> Iterator[Engine]:
    """A SQLAlchemy engine that leads to the test's database; one for the whole run, as an application has one."""
    run = _run(request)
    yield _mintdb_engines.get(mintdb.address, mintdb_engine_options, run.leasing.exports_of(request.node).values())
    _let_go_of_a_clone(request, mintdb, _mintdb_engines)


@pytest.fixture
def mintdb_async_engine(
    request: pytest.FixtureRequest,
    mintdb: Lease,
    _mintdb_engines: Engines,
    mintdb_async_engine_options: dict[str, Any],  # Any: as above
) -> Iterator[AsyncEngine]:
    """The asynchronous one. It works on whatever event loop the test runs."""
    run = _run(request)
    yield _mintdb_engines.get_async(
        mintdb.address, mintdb_async_engine_options, run.leasing.exports_of(request.node).values()
    )
    _let_go_of_a_clone(request, mintdb, _mintdb_engines)


@pytest.fixture
def mintdb_session(
    request: pytest.FixtureRequest, mintdb_engine: Engine, _mintdb_transactions: Transactions | None
) -> Iterator[Session]:
    """A SQLAlchemy session on the test's database. Its commits are real, and put back after the test."""
    library = _sqlalchemy()
    with library.open_session(
        mintdb_engine, test=request.node.nodeid, **_kind(library, _mintdb_transactions)
    ) as session:
        yield session


@pytest.fixture
def mintdb_async_session(
    request: pytest.FixtureRequest, mintdb_async_engine: AsyncEngine, _mintdb_transactions: Transactions | None
) -> Iterator[AsyncSession]:
    """The asynchronous one."""
    library = _sqlalchemy()
    opened: AbstractContextManager[AsyncSession] = library.open_async_session(
        mintdb_async_engine, test=request.node.nodeid, **_kind(library, _mintdb_transactions)
    )
    with opened as session:
        yield session


@pytest.fixture
def mintdb_join(
    request: pytest.FixtureRequest, mintdb: Lease, _mintdb_transactions: Transactions | None
) -> Callable[..., None]:
    """`mintdb_join(SessionLocal)`: the application's own sessionmakers take part in this test.

    Under `isolation = "transaction"` their sessions share its one transaction. Under every other isolation they are
    left alone, and only checked: an engine that leads elsewhere is refused before anything is sent there.
    """
    library, variables = _sqlalchemy(), _run(request).leasing.exports_of(request.node)

    def join(*makers: Any) -> None:  # Any: sessionmaker and its kin, blocking or not
        for maker in makers:
            for engine in library.engines_of(maker):
                library.check_leads_to(engine, mintdb.address, variables=variables)
        if _mintdb_transactions is not None:
            _mintdb_transactions.join(*makers)

    return join


@pytest.fixture
def _mintdb_transactions(request: pytest.FixtureRequest, mintdb: Lease) -> Iterator[Transactions | None]:
    """The test's outer transactions, if that is its isolation."""
    run = _run(request)
    isolation = run.leasing.isolation_of(request.node)
    as_it_is = run.mint.uses_as_it_is(run.leasing.alias_of(request.node))
    if isolation != "transaction":
        if as_it_is:
            raise CannotReallyCommit(isolation=isolation, url=mintdb.address.redacted)
        yield None
        return
    library = _sqlalchemy()
    if as_it_is and GUARD not in request.config.stash:
        request.config.stash[GUARD] = library.guard_what_is_not_ours(
            [lease.address for lease in run.leasing.leases_with(mintdb)]
        )
    request.node.stash[REFUSED] = library.Refused.raised
    library.Refused.raised.clear()
    leases = run.leasing.leases_with(mintdb)
    for lease in leases:
        lease.is_one_transaction = True
    transactions: Transactions = library.Transactions(
        [lease.address for lease in leases],
        variables=run.leasing.exports_of(request.node),
        test=request.node.nodeid,
    )
    with transactions:
        yield transactions


def _kind(library: ModuleType, transactions: Transactions | None) -> Mapping[str, Any]:  # Any: Session's own options
    if transactions is None:
        return {}
    return {"kind": transactions.kind_of(library.TestSession), "join_transaction_mode": "create_savepoint"}


def _let_go_of_a_clone(request: pytest.FixtureRequest, lease: Lease, engines: Engines) -> None:
    """A clone of the test's own goes with the test."""
    if not _run(request).leasing.is_home(lease):
        engines.let_go(lease.address)


def _sqlalchemy() -> ModuleType:
    try:
        import mintdb.sqlalchemy
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("sqlalchemy"):
            raise
        raise SqlalchemyMissing(error=error) from None
    return mintdb.sqlalchemy


def _run(request: Any) -> Run:  # Any: FixtureRequest is generic in later versions of pytest
    from mintdb.pytest_plugin.run import get_run

    return get_run(request.config)
