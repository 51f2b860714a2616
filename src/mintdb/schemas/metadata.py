"""`metadata:MODULE:OBJECT`: what SQLAlchemy's `create_all` makes, as it makes it.

Works with SQLAlchemy 2.0 and 2.1. Schemas that the tables name are created first, unless the metadata's own events
create schemas.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import field
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateSchema

from mintdb.address import Address
from mintdb.errors import SchemaError
from mintdb.facts import dataclass
from mintdb.schemas.errors import CallFailedError, CreateAllError, EmptyMetadataError, NotMetadataError
from mintdb.schemas.modules import Named, describe, find_culprit, importing_from, parse_name
from mintdb.schemas.python_sources import read_sources
from mintdb.schemas.server_errors import describe_server_error, get_code, shorten

DIALECT = "postgresql+psycopg://"
DRIVERS = {"postgresql": "psycopg", "sqlite": "pysqlite", "mysql": "pymysql"}
FORM = "metadata:package.models:Base.metadata"
ADDRESS_OF_OBJECT = re.compile(r" at 0x[0-9a-f]+")
# create_all takes these from sets: their order differs from run to run and decides nothing.
UNORDERED = frozenset({"CreateIndex", "AddConstraint"})


@dataclass(frozen=True)
class Metadata:
    """A MetaData, or an object that has one as `.metadata`: a declarative base, Flask-SQLAlchemy's db, SQLModel."""

    description: str
    named: Named

    def fingerprint(self) -> Iterable[bytes]:
        """The statements that create_all would send. Imports the application.

        An event listener that asks the database something cannot be answered without one; then what was recorded so
        far and the sources of the module (`read_sources` has the rule) stand for the rest.
        """
        with importing_from(self.named.root):
            metadata, recorder = self._load(), Recorder()
            try:
                recorder.record(metadata)
            except Exception:  # noqa: BLE001 (a listener meets a connection that cannot answer)
                yield from read_sources(self.named.module)
            yield from recorder.lines()

    def build(self, database: Address) -> None:
        """Run create_all in one transaction, over one connection that is closed afterwards."""
        with importing_from(self.named.root), self._explained():
            metadata = self._load()
            driver = DRIVERS.get(database.engine)  # None: its dialect has one alone (snowflake-sqlalchemy)
            form = f"{database.engine}+{driver}" if driver else "sqlalchemy"
            engine = sa.create_engine(database.url_for(form), poolclass=NullPool)
            try:
                with engine.begin() as connection:
                    if database.engine == "postgresql":  # elsewhere there are none, or they are databases of their own
                        _create_schemas(metadata, connection)
                    metadata.create_all(connection)
            finally:
                engine.dispose()

    def _load(self) -> sa.MetaData:
        found = self.named.load()
        metadata = getattr(found, "metadata", found)
        if not isinstance(metadata, sa.MetaData):
            raise NotMetadataError(setting=self.description, kind=type(found).__name__)
        if not metadata.tables:
            raise EmptyMetadataError(setting=self.description, module=self.named.module)
        return metadata

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise self._refused(error) from error
        except SchemaError:
            raise
        except Exception as error:
            where = find_culprit(error, self.named.root)
            raise CallFailedError(setting=self.description, error=describe(error), where=where) from error

    def _refused(self, error: DBAPIError) -> CreateAllError:
        message, code = _said(error.orig)
        return CreateAllError(
            setting=self.description,
            message=message,
            code=code,
            statement=shorten(error.statement or ""),
        )


@dataclass
class Recorder:
    """A stand-in for a server that only writes down what it is told."""

    statements: list[tuple[str, str]] = field(default_factory=list)

    def record(self, metadata: sa.MetaData) -> None:
        """Run create_all against nothing. Raises whatever a listener that wants an answer raises."""
        dialect = sa.make_url(DIALECT).get_dialect()()

        def write_down(statement: sa.ClauseElement, *parameters: object, **more: object) -> None:
            compiled = statement.compile(dialect=dialect)
            text = f"{compiled} {compiled.params} {parameters} {more}"
            self.statements.append((type(statement).__name__, ADDRESS_OF_OBJECT.sub("", text)))

        metadata.create_all(sa.create_mock_engine(DIALECT, write_down), checkfirst=False)

    def lines(self) -> Iterator[bytes]:
        """The statements in their order, where it is one."""
        for kind, run in groupby(self.statements, itemgetter(0)):
            texts = (text.encode() for _, text in run)
            yield from sorted(texts) if kind in UNORDERED else texts


def get_source(argument: str, *, setting: str, root: Path) -> Metadata:
    """The source for `metadata:ARGUMENT`. Raises SourceNameError."""
    return Metadata(setting, parse_name(argument, setting=setting, root=root, form=FORM))


def _create_schemas(metadata: sa.MetaData, connection: sa.Connection) -> None:
    """Create the schemas that tables name; create_all takes them for granted."""
    if _creates_schemas(metadata):
        return
    named = {metadata.schema, *(table.schema for table in metadata.tables.values())}
    for name in sorted(schema for schema in named if schema):
        connection.execute(CreateSchema(name, if_not_exists=True))


def _said(error: BaseException | None) -> tuple[str, str]:
    """What the database said, and its code: a SQLSTATE, MariaDB's number, or SQLite's own name."""
    if name := getattr(error, "sqlite_errorname", None):
        return str(error), str(name)
    if error is not None and type(error).__module__.startswith("pymysql"):
        number, message = (*error.args, "", "")[:2]
        return str(message), f"error {number}"
    if error is not None and type(error).__module__.startswith("snowflake"):
        return str(error), f"SQLSTATE {getattr(error, 'sqlstate', 'unknown')}"
    import psycopg

    assert isinstance(error, psycopg.Error)
    return describe_server_error(error), f"SQLSTATE {get_code(error)}"


def _creates_schemas(metadata: sa.MetaData) -> bool:
    recorder = Recorder()
    with suppress(Exception):  # a listener meets a connection that cannot answer; what came before it counts
        recorder.record(metadata)
    return any(text.lstrip().lower().startswith("create schema") for _, text in recorder.statements)
