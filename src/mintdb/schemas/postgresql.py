"""Run SQL files on PostgreSQL as `psql -f` runs them, and name the line that fails."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import psycopg
from psycopg.pq import TransactionStatus

from mintdb.address import Address
from mintdb.schemas.errors import CopyLineError, MetaCommandError, OpenTransactionError, StatementError
from mintdb.schemas.reading import read_bytes
from mintdb.schemas.server_errors import describe_server_error, get_code, shorten
from mintdb.schemas.sql_files import decode
from mintdb.schemas.sql_split import MetaCommandFound, Statement, TextAfterCopy, split

COPY_CONTEXT = re.compile(r"^COPY .*?, line ([0-9]+)")  # src/backend/commands/copyfrom.c
ANY_RELATION = """
select exists (
    select from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema'
)
"""


def run_files(database: Address, files: Iterable[tuple[str, Path]]) -> None:
    """Run files, each with the name that messages call it, once all of them are read. Raises schemas.errors."""
    scripts = [(shown, list(read_statements(file, shown))) for shown, file in files]
    with psycopg.connect(database.url_for("libpq"), autocommit=True, prepare_threshold=None) as connection:
        for shown, statements in scripts:
            run_script(connection, shown, statements)


def has_tables(database: Address) -> bool:
    """Whether anything was created in it: tables, sequences, views."""
    with psycopg.connect(database.url_for("libpq"), autocommit=True) as connection:
        return connection.execute(ANY_RELATION).fetchone() == (True,)


def read_statements(file: Path, shown: str) -> Iterator[Statement]:
    """The statements of a file, which messages call `shown`. Raises EncodingError, MetaCommandError, CopyLineError."""
    try:
        yield from split(decode(read_bytes(file, shown), shown))
    except MetaCommandFound as found:
        raise MetaCommandError(file=shown, line=found.line, command=found.command) from None
    except TextAfterCopy as found:
        raise CopyLineError(file=shown, line=found.line) from None


def run_script(connection: psycopg.Connection, shown: str, statements: Iterable[Statement]) -> None:
    """Run a file's statements in a session that is as new. Raises StatementError and OpenTransactionError."""
    begun = 0
    for statement in statements:
        try:
            _run_statement(connection, statement)
        except psycopg.Error as error:
            raise _explain(error, shown, statement) from error
        idle = connection.info.transaction_status is TransactionStatus.IDLE
        begun = 0 if idle else begun or statement.line
    if connection.info.transaction_status is not TransactionStatus.IDLE:
        raise OpenTransactionError(file=shown, line=begun)
    connection.execute("discard all")


def _run_statement(connection: psycopg.Connection, statement: Statement) -> None:
    query = statement.text.encode()
    with connection.cursor() as cursor:
        if statement.data is None:
            cursor.execute(query)
        else:
            with cursor.copy(query) as copy:
                copy.write(statement.data.encode())


def _explain(error: psycopg.Error, shown: str, statement: Statement) -> StatementError:
    return StatementError(
        file=shown,
        line=statement.line,
        at=_error_line(error, statement),
        message=describe_server_error(error),
        code=get_code(error),
        statement=shorten(statement.text),
    )


def _error_line(error: psycopg.Error, statement: Statement) -> int:
    """The line that the server points at: in the statement, in the data of a COPY, or the statement's first."""
    in_data = COPY_CONTEXT.search(error.diag.context or "")
    if statement.data is not None and in_data:
        return statement.line + statement.text.count("\n") + int(in_data[1])
    position = int(error.diag.statement_position or 1)
    return statement.line + statement.text.count("\n", 0, position - 1)
