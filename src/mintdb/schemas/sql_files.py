"""`sql:FILE|DIR`: run SQL files as `psql -f`, `mariadb` or the sqlite3 shell runs them, and name the line that fails.

Each file starts with a session of its own, so that a `SET` in one does not reach the next. Every statement commits by
itself unless the file says BEGIN.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from mintdb.address import Address
from mintdb.facts import dataclass
from mintdb.schemas.errors import (
    CopyLineError,
    EmptyFolderError,
    EncodingError,
    MetaCommandError,
    OpenTransactionError,
    PathMissingError,
    StatementError,
)
from mintdb.schemas.reading import list_sql_files, read_bytes
from mintdb.schemas.server_errors import describe_server_error, get_code, shorten
from mintdb.schemas.sql_split import MetaCommandFound, Statement, TextAfterCopy, split

if TYPE_CHECKING:
    import psycopg

BOM = "\N{BYTE ORDER MARK}"
UTF16_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
COPY_CONTEXT = re.compile(r"^COPY .*?, line ([0-9]+)")  # src/backend/commands/copyfrom.c


@dataclass(frozen=True)
class SqlFiles:
    """One file, or the *.sql files of one folder in natural order: 2 before 10, whatever zeros stand before them."""

    description: str
    path: Path
    root: Path

    def fingerprint(self) -> Iterable[bytes]:
        """The names in the folder, which decide the order, and what the files say."""
        for file in self._files():
            yield file.name.encode() if self.path.is_dir() else b""
            yield read_bytes(file, self._shown(file))

    def build(self, database: Address) -> None:
        """Run every file. Raises one of mintdb.schemas.errors, with the file's name relative to the root."""
        if database.engine != "postgresql":
            get_runner(database.engine).run_files(database, [(self._shown(file), file) for file in self._files()])
            return
        import psycopg

        scripts = [(self._shown(file), list(read_statements(file, self._shown(file)))) for file in self._files()]
        with psycopg.connect(database.url_for("libpq"), autocommit=True, prepare_threshold=None) as connection:
            for shown, statements in scripts:
                run_script(connection, shown, statements)

    def _files(self) -> Sequence[Path]:
        if self.path.is_dir():
            files = sorted(list_sql_files(self.path, self._shown(self.path)), key=lambda p: natural_order(p.name))
            if not files:
                raise EmptyFolderError(setting=self.description, path=self.path)
            return files
        if not self.path.is_file():
            raise PathMissingError(setting=self.description, path=self.path)
        return [self.path]

    def _shown(self, file: Path) -> str:
        return str(file.relative_to(self.root) if file.is_relative_to(self.root) else file)


def get_runner(engine: str) -> ModuleType:
    """The module that runs files on an engine other than PostgreSQL; its driver is imported only now."""
    return import_module(f"mintdb.schemas.{engine}")


def get_source(argument: str, *, setting: str, root: Path) -> SqlFiles:
    """The source for `sql:ARGUMENT`; nothing is read before it is used."""
    return SqlFiles(setting, root / argument, root)


def natural_order(name: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key in which the numbers inside a name count as numbers."""
    parts = re.split(r"([0-9]+)", name)
    return tuple((0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts if part)


def read_statements(file: Path, shown: str) -> Iterator[Statement]:
    """The statements of a file, which messages call `shown`. Raises EncodingError, MetaCommandError, CopyLineError."""
    try:
        yield from split(decode(read_bytes(file, shown), shown))
    except MetaCommandFound as found:
        raise MetaCommandError(file=shown, line=found.line, command=found.command) from None
    except TextAfterCopy as found:
        raise CopyLineError(file=shown, line=found.line) from None


def decode(content: bytes, shown: str) -> str:
    """The text of a SQL file, without the BOM that Windows editors put before it. Raises EncodingError."""
    try:
        text = content.decode("utf-8").removeprefix(BOM)
    except UnicodeDecodeError as error:
        raise _not_utf8(content, error.start, shown) from None
    if "\0" in text:  # libpq would take it for the end
        raise _not_utf8(content, content.index(b"\0"), shown)
    return text


def _not_utf8(content: bytes, position: int, shown: str) -> EncodingError:
    line = content.count(b"\n", 0, position) + 1
    guess = "utf-16" if content.startswith(UTF16_BOMS) else "latin1"
    return EncodingError(file=shown, line=line, byte=f"0x{content[position]:02x}", guess=guess)


def run_script(connection: psycopg.Connection, shown: str, statements: Iterable[Statement]) -> None:
    """Run a file's statements in a session that is as new. Raises StatementError and OpenTransactionError."""
    from psycopg import Error
    from psycopg.pq import TransactionStatus

    begun = 0
    for statement in statements:
        try:
            _run_statement(connection, statement)
        except Error as error:
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
