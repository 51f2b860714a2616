"""`evolutions:DIR`: run the ups of Play evolutions as Play runs them, so that the application finds nothing left to do.

What Play makes of a file (which lines are markers, where a statement ends, what is trimmed, stored and hashed) is kept
where it surprises, too; only a byte order mark, which would hide the first marker, is taken away and mentioned.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from mintdb.address import Address
from mintdb.schemas.errors import (
    EvolutionError,
    EvolutionSyntaxError,
    FileStatementError,
    NoEvolutionsError,
    PathMissingError,
    SubstitutionError,
)
from mintdb.schemas.server_errors import describe_server_error, get_code, shorten
from mintdb.schemas.sql_files import BOM, decode

if TYPE_CHECKING:
    import psycopg

log = logging.getLogger("mintdb.schemas")

MARKERS = {"ups": re.compile(r"(#|--).*!Ups.*"), "downs": re.compile(r"(#|--).*!Downs.*")}  # ups is asked first
END_OF_STATEMENT = re.compile(r"(?<!;);(?!;)")
SUBSTITUTION = re.compile(r"(?P<escape>!?)\$evolutions\{\{\{(?P<name>[^}]*)\}\}\}")
SYNTAX_ERROR = "42601"  # an unterminated string, too
TABLE = """
create table play_evolutions (
    id int not null primary key,
    hash varchar(255) not null,
    applied_at timestamp not null,
    apply_script text,
    revert_script text,
    state varchar(255),
    last_problem text
)
"""
BEGIN = "insert into play_evolutions values (%s, %s, now(), %s, %s, 'applying_up', '')"
END = "update play_evolutions set state = 'applied' where id = %s"


@dataclass(frozen=True)
class Script:
    """The lines of one direction, trimmed, with the numbers that they have in the file."""

    lines: tuple[tuple[int, str], ...] = ()

    @property
    def text(self) -> str:
        """What Play stores and hashes."""
        return self._joined.strip()

    @property
    def _joined(self) -> str:
        return "\n".join(line for _, line in self.lines)

    def statements(self) -> Iterator[tuple[int, str]]:
        """Each statement with its line; a doubled semicolon ends nothing and becomes one."""
        start = 0
        for piece in END_OF_STATEMENT.split(self._joined):
            text = piece.strip().replace(";;", ";")
            if text:
                begin = start + len(piece) - len(piece.lstrip())
                yield self.lines[self._joined.count("\n", 0, begin)][0], text
            start += len(piece) + 1


@dataclass(frozen=True)
class Evolution:
    """One revision."""

    revision: int
    file: Path
    ups: Script
    downs: Script

    @property
    def hash(self) -> str:
        """Play's: the downs come first."""
        content = (self.downs.text + self.ups.text).encode()
        return hashlib.sha1(content, usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Evolutions:
    """The files 1.sql, 2.sql … of a folder, up to the first that is missing."""

    description: str
    path: Path
    root: Path

    def fingerprint(self) -> Iterable[bytes]:
        """The scripts of both directions; not what stands before the first marker, nor how lines are indented."""
        for evolution in self.read():
            yield evolution.ups.text.encode()
            yield evolution.downs.text.encode()

    def build(self, database: Address) -> None:
        """Run all ups and write down in play_evolutions that they were. Raises one of mintdb.schemas.errors."""
        evolutions = list(self.read())
        if database.engine == "sqlite":
            self._build_file(database, evolutions)
            return
        if database.engine == "mysql":
            self._build_on_mysql(database, evolutions)
            return
        import psycopg

        with psycopg.connect(database.url_for("libpq"), autocommit=True, prepare_threshold=None) as connection:
            connection.execute(TABLE)
            for evolution in evolutions:
                self._apply(connection, evolution)

    def read(self) -> Sequence[Evolution]:
        """The evolutions in order. Raises PathMissingError, NoEvolutionsError, EncodingError, SubstitutionError."""
        if not self.path.is_dir():
            raise PathMissingError(setting=self.description, path=self.path)
        files = find_files(self.path)
        if not files:
            raise NoEvolutionsError(setting=self.description, path=self.path)
        return [self._read(revision, file) for revision, file in files]

    def _read(self, revision: int, file: Path) -> Evolution:
        content = file.read_bytes()
        if content.startswith(BOM.encode()):
            log.warning("%s begins with a byte order mark, which keeps Play from seeing its first marker", file)
        ups, downs = parse(decode(content, self._shown(file)))
        return Evolution(revision, file, self._substitute(ups, file), self._substitute(downs, file))

    def _substitute(self, script: Script, file: Path) -> Script:
        """Take the escape off what is not to be substituted; what is to be, has no value here."""
        return Script(tuple((number, self._unescape(line, number, file)) for number, line in script.lines))

    def _unescape(self, line: str, number: int, file: Path) -> str:
        for found in SUBSTITUTION.finditer(line):
            if not found["escape"]:
                raise SubstitutionError(file=self._shown(file), line=number, name=found["name"])
        return SUBSTITUTION.sub(lambda found: found[0].removeprefix("!"), line)

    def _apply(self, connection: psycopg.Connection, evolution: Evolution) -> None:
        import psycopg

        ups, downs = evolution.ups, evolution.downs
        connection.execute(BEGIN, [evolution.revision, evolution.hash, ups.text, downs.text])
        for line, text in ups.statements():
            try:
                connection.execute(text.encode())
            except psycopg.Error as error:
                raise self._explain(error, evolution, line, text) from error
        connection.execute(END, [evolution.revision])

    def _build_file(self, database: Address, evolutions: Sequence[Evolution]) -> None:
        """The same on SQLite, whose tables Play keeps in the same shape."""
        import sqlite3

        from mintdb.schemas import sqlite

        begin, end = (sql.replace("%s", "?").replace("now()", "current_timestamp") for sql in (BEGIN, END))
        with closing(sqlite.connect(database)) as connection:
            connection.execute(TABLE)
            for evolution in evolutions:
                ups, downs = evolution.ups, evolution.downs
                connection.execute(begin, [evolution.revision, evolution.hash, ups.text, downs.text])
                for line, text in ups.statements():
                    try:
                        connection.execute(text)
                    except sqlite3.Error as error:
                        facts = sqlite.facts_of(error, self._shown(evolution.file), line, text)
                        raise FileStatementError(**facts) from error
                connection.execute(end, [evolution.revision])

    def _build_on_mysql(self, database: Address, evolutions: Sequence[Evolution]) -> None:
        """The same on MariaDB and MySQL."""
        import pymysql

        from mintdb.schemas import mysql

        with closing(mysql.connect(database)) as connection, connection.cursor() as cursor:
            cursor.execute(TABLE.replace(" text", " mediumtext"))
            for evolution in evolutions:
                ups, downs = evolution.ups, evolution.downs
                cursor.execute(BEGIN, (evolution.revision, evolution.hash, ups.text, downs.text))
                for line, text in ups.statements():
                    try:
                        cursor.execute(text)
                    except pymysql.MySQLError as error:
                        facts = mysql.facts_of(error, self._shown(evolution.file), mysql.Statement(text, line))
                        raise FileStatementError(**facts) from error
                cursor.execute(END, (evolution.revision,))

    def _explain(self, error: psycopg.Error, evolution: Evolution, line: int, text: str) -> EvolutionError:
        kind = EvolutionSyntaxError if get_code(error) == SYNTAX_ERROR else EvolutionError
        return kind(
            file=self._shown(evolution.file),
            line=line,
            revision=evolution.revision,
            message=describe_server_error(error),
            code=get_code(error),
            statement=shorten(text),
        )

    def _shown(self, file: Path) -> str:
        return str(file.relative_to(self.root) if file.is_relative_to(self.root) else file)


def get_source(argument: str, *, setting: str, root: Path) -> Evolutions:
    """The source for `evolutions:ARGUMENT`; nothing is read before it is used."""
    return Evolutions(setting, root / argument, root)


def find_files(folder: Path) -> list[tuple[int, Path]]:
    """Revision and file, from 1 to the first gap; 05.sql is the fifth, unless there is a 5.sql."""
    files: dict[int, Path] = {}
    for file in sorted(folder.glob("*.sql"), key=lambda file: len(file.stem), reverse=True):
        if file.stem.isdecimal() and file.stem.isascii():
            if int(file.stem) in files:
                log.warning("%s is not read: there is %s, too", files[int(file.stem)], file.name)
            files[int(file.stem)] = file
    known = next(revision for revision in count(1) if revision not in files)
    beyond = sorted(revision for revision in files if revision > known)
    if beyond:
        log.warning("%s is not read: there is no %s.sql in %s", files[beyond[0]].name, known, folder)
    return [(revision, files[revision]) for revision in range(1, known)]


def parse(text: str) -> tuple[Script, Script]:
    """Ups and downs of a file; a section may come again, and in any order."""
    sections: dict[str, list[tuple[int, str]]] = {"ups": [], "downs": []}
    current: str | None = None
    for number, line in enumerate((line.strip() for line in text.split("\n")), start=1):
        marked = next((name for name, marker in MARKERS.items() if marker.fullmatch(line)), None)
        if marked:
            current = marked
        elif current:
            sections[current].append((number, line))
    return Script(tuple(sections["ups"])), Script(tuple(sections["downs"]))
