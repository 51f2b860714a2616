"""What a stretch of the binary log says was changed, read from the file itself: 0.1 ms, and no statement.

Row events name their tables in TABLE_MAP events, also where no row of them follows: those are children of a cascade.
Events of statements tell their text only: TRUNCATE is understood, whatever else is no transaction control may be DDL.
https://mariadb.com/kb/en/replication-protocol/ has the format of the events.
"""

from __future__ import annotations

import contextlib
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import field
from pathlib import Path

from mintdb.facts import dataclass

HEADER = struct.Struct("<IBIIIH")  # time, type, server id, length, next position, flags
QUERY_HEADER = struct.Struct("<IIBHH")  # thread, seconds, length of the database's name, error, length of the variables
TABLE_MAP_HEADER = 8  # bytes: table id (6), flags (2)
FIRST_EVENT = 4  # bytes of magic before it
QUERY, ROTATE, XID, TABLE_MAP = 2, 4, 16, 19
COMPRESSED = (40, 165)  # MySQL's transactions, MariaDB's statements
TOO_MUCH = 64 << 20  # bytes; reading them takes about a second, and a sweep far less
COMMENTS = re.compile(r"/\*[^!M].*?\*/|--\s[^\n]*\n|#[^\n]*\n", re.DOTALL)
HARMLESS = re.compile(
    r"\s*(begin|commit|rollback|savepoint|release|start\s+transaction|xa\s|flush\s"
    r"|(create|drop)\s+(/\*!\d*\s*)?temporary\b)",
    re.IGNORECASE,
)
TRUNCATE = re.compile(r"\s*truncate\s+(?:table\s+)?(?:`?([^`.\s]+)`?\s*\.\s*)?`?([^`.\s;]+)`?\s*;?\s*$", re.IGNORECASE)
DDL = re.compile(r"\s*(create|alter|drop|rename|truncate|import|repair)\b", re.I)
OUTSIDE = re.compile(
    r"\s*(grant|revoke|set\s+password|(create|drop|alter|rename)\s+(or\s+replace\s+)?(user|role))\b", re.I
)


@dataclass(frozen=True, order=True)
class Position:
    """A place in the log: the number in a file's name, and a byte offset."""

    file: int
    offset: int


@dataclass
class Seen:
    """What was changed in one database."""

    tables: set[str] = field(default_factory=set)  # rows of these, perhaps
    truncated: set[str] = field(default_factory=set)
    statements: list[str] = field(default_factory=list)  # what may be DDL
    transactions: int = 0  # that InnoDB took part in, of any database
    definitions: int = 0  # statements that changed some, or truncated a table, of any database
    accounts: bool = False  # users, roles or grants were changed
    lost: bool = False  # the stretch cannot be read any more, or is too long to be worth it

    @property
    def is_plain(self) -> bool:
        """Whether nothing but rows was changed."""
        return not (self.truncated or self.statements or self.lost)


class Log:
    """The binary log of a server on this machine, whose files we may read."""

    def __init__(self, base: Path) -> None:
        """`base` is what the files are called before their number."""
        self._base = base

    @property
    def folder(self) -> Path:
        """The server's data folder."""
        return self._base.parent

    def end(self) -> Position:
        """Where the log ends now."""
        numbers = [int(path.suffix[1:]) for path in self._base.parent.glob(f"{self._base.name}.[0-9]*")]
        newest = max(numbers)
        return Position(newest, os.stat(self._path(newest)).st_size)

    def read(self, since: Position, database: str) -> tuple[Seen, Position]:
        """What was changed in `database` since a position, and where the log ended when it was read."""
        seen, position, left = Seen(), since, TOO_MUCH
        try:
            while True:
                content = self._content(position, left)
                left -= len(content)
                if left <= 0:
                    seen.lost = True
                    return seen, self.end()
                position = Position(position.file, position.offset + _take(content, database, seen))
                if not os.path.exists(self._path(position.file + 1)):
                    return seen, position
                if not self._content(position, 1):  # else: it was written before the next file was begun
                    position = Position(position.file + 1, FIRST_EVENT)
        except OSError:
            seen.lost = True
            return seen, self.end()

    def ends_at(self, position: Position) -> bool:
        """Whether nobody has written to it since."""
        with contextlib.suppress(OSError):
            size = os.stat(self._path(position.file)).st_size
            return size == position.offset and not os.path.exists(self._path(position.file + 1))
        return False

    def _content(self, position: Position, most: int) -> bytes:
        with open(self._path(position.file), "rb", buffering=0) as file:
            if file.seek(0, 2) < position.offset:
                raise OSError("the log was begun anew")
            file.seek(position.offset)
            return file.read(most)

    def _path(self, number: int) -> str:  # each rewind opens one: a Path takes longer than the file
        return f"{self._base}.{number:06d}"


def _take(content: bytes, database: str, seen: Seen) -> int:
    """Note what the complete events say; returns how many bytes they are."""
    done = 0
    for kind, body, end in _events(content):
        if kind == TABLE_MAP:
            _take_table(body, database, seen)
        elif kind == QUERY:
            _take_statement(body, database, seen)
        elif kind == XID:
            seen.transactions += 1
        elif kind in COMPRESSED:
            seen.lost = True
        done = end
    return done


def _events(content: bytes) -> Iterator[tuple[int, bytes, int]]:
    position = 0
    while position + HEADER.size <= len(content):
        _, kind, _, length, _, _ = HEADER.unpack_from(content, position)
        end = position + length
        if length < HEADER.size or end > len(content):  # it is being written just now
            return
        yield kind, content[position + HEADER.size : end] if kind in (TABLE_MAP, QUERY) else b"", end
        position = end


def _take_table(body: bytes, database: str, seen: Seen) -> None:
    length = body[TABLE_MAP_HEADER]
    start = TABLE_MAP_HEADER + 1
    if body[start : start + length].decode().lower() != database.lower():
        return
    start += length + 1  # the name ends with a zero byte
    seen.tables.add(body[start + 1 : start + 1 + body[start]].decode())


def _take_statement(body: bytes, database: str, seen: Seen) -> None:
    _, _, length, _, variables = QUERY_HEADER.unpack_from(body)
    start = QUERY_HEADER.size + variables
    default = body[start : start + length].decode().lower()
    text = COMMENTS.sub(" ", body[start + length + 1 :].decode(errors="replace"))
    if OUTSIDE.match(text):
        seen.accounts = True
        return
    seen.definitions += bool(DDL.match(text))
    if HARMLESS.match(text):
        return
    if truncated := TRUNCATE.match(text):
        if (truncated[1] or default).lower() == database.lower():
            seen.truncated.add(truncated[2])
    # A statement reaches another database than its session's only by that one's name.
    elif default == database.lower() or database.lower() in text.lower():
        seen.statements.append(text.strip())
