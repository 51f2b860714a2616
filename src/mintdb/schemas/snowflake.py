"""Run SQL files in an emulated Snowflake account, and name the line that fails."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mintdb.address import Address
from mintdb.schemas.errors import OpenTransactionError, StatementError
from mintdb.schemas.server_errors import shorten
from mintdb.schemas.sql_files import decode
from mintdb.schemas.sql_split import Statement


def run_files(database: Address, files: Iterable[tuple[str, Path]]) -> None:
    """Run each file, given with the name that messages call it, in a session of its own.

    Raises StatementError and OpenTransactionError.
    """
    import snowflake.connector

    for shown, file in files:
        text = decode(file.read_bytes(), shown)
        with snowflake.connector.connect(**database.params) as connection:
            for statement in split(text):
                _run(connection, shown, statement)
            if connection.in_transaction:
                raise OpenTransactionError(file=shown, line=text.count("\n") + 1)


def split(text: str) -> Iterator[Statement]:
    """The statements of a script, each with the line on which it begins, as Snowflake's own grammar has them."""
    from sqlglot import tokenize
    from sqlglot.tokens import Token, TokenType

    waiting: list[Token] = []
    for token in [*tokenize(text, read="snowflake"), None]:
        if token is not None and token.token_type is not TokenType.SEMICOLON:
            waiting.append(token)
        elif waiting:
            start, end = waiting[0].start, waiting[-1].end + 1
            yield Statement(text[start:end], text.count("\n", 0, start) + 1, start, end)
            waiting = []


def _run(connection: Any, shown: str, statement: Statement) -> None:  # Any: a connection of the connector
    from snowflake.connector.errors import Error

    try:
        connection.cursor().execute(statement.text)
    except Error as error:
        raise StatementError(
            file=shown,
            line=statement.line,
            at=statement.line,
            message=error.raw_msg,
            code=error.sqlstate or "unknown",
            statement=shorten(statement.text),
        ) from error
