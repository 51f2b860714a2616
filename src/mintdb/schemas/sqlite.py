"""Run SQL files on SQLite as its shell runs them, and name the line that fails; or take a whole file of its own."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from mintdb.address import Address
from mintdb.facts import dataclass
from mintdb.schemas.errors import (
    DamagedFileError,
    DotCommandError,
    FileStatementError,
    OpenTransactionError,
)
from mintdb.schemas.server_errors import shorten
from mintdb.schemas.sql_files import decode

MAGIC = b"SQLite format 3\0"  # https://www.sqlite.org/fileformat.html
BLANK = re.compile(r"(?:\s|--[^\n]*|/\*.*?\*/)*", re.DOTALL)
SHELL_COMMAND = re.compile(r"\.[a-z]+")


@dataclass(frozen=True)
class Statement:
    """One statement with its semicolon, and the line of its first token, from 1."""

    text: str
    line: int


def run_files(database: Address, files: Iterable[tuple[str, Path]]) -> None:
    """Run files, each with the name that messages call it, over one connection each. Raises schemas.errors."""
    for shown, file in files:
        statements = list(read_statements(file, shown))
        with closing(connect(database)) as connection:
            _run_script(connection, shown, statements)


def connect(database: Address) -> sqlite3.Connection:
    """A connection that begins no transaction by itself. It cannot be seen by those who watch the application's."""
    return sqlite3.Connection(database.database, isolation_level=None)


def read_statements(file: Path, shown: str) -> Iterator[Statement]:
    """The statements of a file. Raises EncodingError and DotCommandError."""
    for statement in split(decode(file.read_bytes(), shown)):
        if command := SHELL_COMMAND.match(statement.text):
            raise DotCommandError(file=shown, line=statement.line, command=command[0])
        yield statement


def split(script: str) -> Iterator[Statement]:
    """Cut a script where SQLite itself says that a statement is complete: triggers, strings and comments included."""
    start, line = 0, 1
    while (begin := _after_blank(script, start)) < len(script):
        line += script.count("\n", start, begin)
        end = _end_of_statement(script, begin)
        yield Statement(script[begin:end], line)
        line += script.count("\n", begin, end)
        start = end


def _after_blank(script: str, start: int) -> int:
    blank = BLANK.match(script, start)
    end = blank.end() if blank else start
    return _after_blank(script, end + 1) if script[end : end + 1] == ";" else end


def _end_of_statement(script: str, begin: int) -> int:
    position = begin
    while (position := script.find(";", position)) >= 0:
        position += 1
        if sqlite3.complete_statement(script[begin:position]):
            return position
    return len(script)


def _run_script(connection: sqlite3.Connection, shown: str, statements: Iterable[Statement]) -> None:
    begun = 0
    for statement in statements:
        try:
            connection.execute(statement.text)
        except sqlite3.Error as error:
            raise FileStatementError(**facts_of(error, shown, statement.line, statement.text)) from error
        begun = (begun or statement.line) if connection.in_transaction else 0
    if connection.in_transaction:
        raise OpenTransactionError(file=shown, line=begun)


def facts_of(error: sqlite3.Error, shown: str, line: int, statement: str) -> dict[str, object]:
    """What a FileStatementError says of an error."""
    code = getattr(error, "sqlite_errorname", "SQLITE_ERROR")
    return {"file": shown, "line": line, "message": str(error), "code": code, "statement": shorten(statement)}


def is_file_of_its_own(path: Path) -> bool:
    """Whether a file is a SQLite database."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def take_over(path: Path, database: Address, *, setting: str) -> None:
    """Make `database` what a SQLite file holds, its WAL included; that file is only read. Raises DamagedFileError."""
    try:
        with (
            closing(sqlite3.Connection(f"{path.as_uri()}?mode=ro", uri=True)) as source,
            closing(connect(database)) as target,
        ):
            source.backup(target)
            (found,) = target.execute("pragma quick_check(1)").fetchone()
    except sqlite3.Error as error:
        found = str(error)
    if found != "ok":
        raise DamagedFileError(setting=setting, path=path, message=found)


def has_tables(database: Address) -> bool:
    """Whether anything was created in it."""
    with closing(connect(database)) as connection:
        return connection.execute("select 1 from sqlite_master").fetchone() is not None
