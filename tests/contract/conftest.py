"""Every claim runs on every engine; where an engine's limit is declared, the claim must fail there, or go."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import mintdb
from mintdb.connections.hooks import unwatch, watch
from mintdb.core.lease import Lease
from mintdb.mint import Mint
from tests.contract.engines import KINDS, Kind


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Iterator[Kind]:
    found: Kind = request.param
    if reason := found.missing():
        pytest.skip(reason)
    with pytest.MonkeyPatch.context() as patch:
        if folder := found.binaries():
            patch.setenv("MINTDB_BINARIES", folder)
        yield found


@pytest.fixture(autouse=True)
def _within_its_limits(request: pytest.FixtureRequest) -> None:
    """A claim that an engine is declared not to keep is expected to fail: a limit that is none any more is found."""
    kind = request.getfixturevalue("kind")
    if reason := kind.limit(request.function.__name__):
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))


@pytest.fixture(scope="module")
def project(kind: Kind, server_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the contract's schema."""
    folder = tmp_path_factory.mktemp(kind.name)
    (folder / "schema.sql").write_text(kind.schema)
    return folder


@pytest.fixture(scope="module")
def mint(kind: Kind, project: Path) -> Iterator[Mint]:
    """A mint of the engine, in a process in which connections are watched."""
    watch()
    try:
        with mintdb.open(project, settle=0.3, **kind.settings) as opened:
            yield opened
    finally:
        unwatch()


@pytest.fixture
def lease(mint: Mint) -> Iterator[Lease]:
    """A lease that ends with the test, unless the test ends it."""
    with mint.lease(test="the test") as lease:
        yield lease


def write(lease: Lease, *statements: str) -> None:
    """Run statements over a connection of their own, and commit."""
    with closing(lease.connect()) as connection:
        run(connection, *statements)
        connection.commit()


def run(connection: Any, *statements: str) -> None:  # Any: a connection of any driver
    """Run statements, and leave the transaction open."""
    cursor = connection.cursor()
    for statement in statements:
        cursor.execute(statement)
    cursor.close()


def rows(lease: Lease, query: str) -> list[tuple[Any, ...]]:  # Any: what a database holds
    """The rows of a query, over a connection of its own."""
    with closing(lease.connect()) as connection:
        return fetch(connection, query)


def fetch(connection: Any, query: str) -> list[tuple[Any, ...]]:  # Any: see above
    """The rows of a query over a connection, which is in no transaction afterwards."""
    cursor = connection.cursor()
    cursor.execute(query)
    found = [tuple(row) for row in cursor.fetchall()]
    cursor.close()
    connection.rollback()
    return found


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project that says the same table in each kind of schema source."""
    folder = tmp_path_factory.mktemp("sources")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(textwrap.dedent(text))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder


SOURCES = ("sql:db", "metadata:keepers:metadata", "python:keeping:create", "evolutions:conf", "alembic:alembic.ini")
TABLE = "create table keeper (id integer primary key, name varchar(40) not null);"
FILES = {
    "db/1.sql": f"{TABLE} insert into keeper values (1, 'Ann');",
    "conf/1.sql": f"# --- !Ups\n{TABLE}\ninsert into keeper values (1, 'a;;b');\n# --- !Downs\ndrop table keeper;\n",
    "conf/2.sql": "# --- !Ups\nupdate keeper set name = 'Ann';\n# --- !Downs\nupdate keeper set name = 'a;;b';\n",
    "keepers.py": """
        import sqlalchemy as sa

        metadata = sa.MetaData()
        keeper = sa.Table(
            "keeper",
            metadata,
            sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
            sa.Column("name", sa.String(40), nullable=False),
        )
        sa.event.listen(keeper, "after_create", sa.DDL("insert into keeper values (1, 'Ann')"))
        """,
    "keeping.py": """
        import sqlalchemy as sa
        from keepers import metadata

        def create(url):
            for plain, driver in ("mysql:", "mysql+pymysql:"), ("postgresql:", "postgresql+psycopg:"):
                url = url.replace(plain, driver)
            engine = sa.create_engine(url)
            metadata.create_all(engine)
            engine.dispose()
        """,
    "alembic.ini": "[alembic]\nscript_location = migrations\n",
    "migrations/env.py": """
        from alembic import context
        from sqlalchemy import create_engine, pool

        engine = create_engine(context.config.get_main_option("sqlalchemy.url"), poolclass=pool.NullPool)
        with engine.connect() as connection:
            context.configure(connection=connection)
            with context.begin_transaction():
                context.run_migrations()
        """,
    "migrations/versions/one.py": """
        from alembic import op
        from keepers import keeper

        revision, down_revision = "1", None

        def upgrade():
            op.create_table("keeper", *(column.copy() for column in keeper.columns))
            op.execute("insert into keeper values (1, 'Ann')")
        """,
}

ACCOUNTS = "select id, owner, balance from account order by id"
AT_THE_MARK = [(1, "Ann", 100), (2, "Bob", 0)]
