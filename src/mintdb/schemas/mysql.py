"""Run SQL files on MariaDB and MySQL as the `mariadb` program runs them, and name the line that fails.

Cut as that program cuts them: at a semicolon outside strings and comments, or at what DELIMITER says. Statements that
would lead to another database are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pymysql
from pymysql.constants import SERVER_STATUS

from mintdb.address import Address
from mintdb.facts import dataclass
from mintdb.schemas.errors import FileStatementError, OpenTransactionError, OtherDatabaseError
from mintdb.schemas.server_errors import shorten
from mintdb.schemas.sql_files import decode

# A comment that begins with /*! or /*M! is a statement to these servers, and stays.
BLANK = re.compile(r"(?:\s|--(?:[ \t][^\n]*)?(?:\n|$)|\#[^\n]*|/\*(?!!|M!).*?\*/)*", re.DOTALL)
SKIPPED = re.compile(
    r"""'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|`(?:[^`]|``)*`|--[ \t][^\n]*|\#[^\n]*|/\*.*?\*/""", re.DOTALL
)
DELIMITER = re.compile(r"delimiter[ \t]+(\S+)[^\n]*", re.IGNORECASE)
# What `mariadb-dump --databases` writes, and what nobody wants in a script that is run for a test.
ELSEWHERE = re.compile(r"(?:use\s|(?:create|drop|alter)\s+(?:or\s+replace\s+)?(?:database|schema)\b)", re.IGNORECASE)
HAS_TABLES = "select 1 from information_schema.tables where table_schema = database() limit 1"


@dataclass(frozen=True)
class Statement:
    """One statement without what ends it, and the line of its first token, from 1."""

    text: str
    line: int


def run_files(database: Address, files: Iterable[tuple[str, Path]], *, skip_elsewhere: bool = False) -> None:
    """Run files, each with the name that messages call it, over one connection each. Raises schemas.errors.

    `skip_elsewhere` is for dumps: statements that choose a database are left out, and everything goes to `database`.
    """
    for shown, file in files:
        statements = list(split(decode(file.read_bytes(), shown)))
        if skip_elsewhere:
            statements = [each for each in statements if not ELSEWHERE.match(each.text)]
        run_script(database, shown, statements)


def run_script(database: Address, shown: str, statements: Iterable[Statement]) -> None:
    """Run statements over a connection of their own. Raises FileStatementError and its like."""
    begun = 0
    with closing(connect(database)) as connection:
        for statement in statements:
            if ELSEWHERE.match(statement.text):
                raise OtherDatabaseError(file=shown, line=statement.line, statement=shorten(statement.text))
            try:
                with connection.cursor() as cursor:  # which reads all that a CALL gives
                    cursor.execute(statement.text)
            except pymysql.MySQLError as error:
                raise FileStatementError(**facts_of(error, shown, statement)) from error
            begun = (begun or statement.line) if connection.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS else 0
    if begun:
        raise OpenTransactionError(file=shown, line=begun)


def connect(database: Address) -> Any:  # Any: PyMySQL's connection, whose types lack half of it
    """A connection that commits by itself."""
    given: dict[str, Any] = {**database.params, "autocommit": True, "charset": "utf8mb4"}  # Any: as pymysql takes them
    return pymysql.connect(**given)


def has_tables(database: Address) -> bool:
    """Whether anything was created in it."""
    with closing(connect(database)) as connection, connection.cursor() as cursor:
        return bool(cursor.execute(HAS_TABLES))


def split(script: str) -> Iterator[Statement]:
    """Cut a script into its statements."""
    position, delimiter = 0, ";"
    while (begin := _after_blank(script, position)) < len(script):
        if changed := DELIMITER.match(script, begin):
            delimiter, position = changed[1], changed.end()
            continue
        end = _find_end(script, begin, delimiter)
        if text := script[begin:end].strip():
            yield Statement(text, script.count("\n", 0, begin) + 1)
        position = end + len(delimiter)


def facts_of(error: pymysql.MySQLError, shown: str, statement: Statement) -> dict[str, object]:
    """What a FileStatementError says of an error."""
    number, message = (*error.args, "")[:2] if error.args else ("", str(error))
    return {
        "file": shown,
        "line": statement.line,
        "message": message,
        "code": f"error {number}",
        "statement": shorten(statement.text),
    }


def _after_blank(script: str, position: int) -> int:
    blank = BLANK.match(script, position)
    return blank.end() if blank else position


def _find_end(script: str, position: int, delimiter: str) -> int:
    token = re.compile(f"(?P<end>{re.escape(delimiter)})|{SKIPPED.pattern}", re.DOTALL)
    for found in token.finditer(script, position):
        if found["end"]:
            return found.start()
    return len(script)
