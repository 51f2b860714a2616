"""`sql:FILE|DIR`: run SQL files as `psql -f`, `mariadb` or the sqlite3 shell runs them, and name the line that fails.

Each file starts with a session of its own, so that a `SET` in one does not reach the next. Every statement commits by
itself unless the file says BEGIN.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

from mintdb.address import Address
from mintdb.facts import dataclass
from mintdb.schemas.errors import EmptyFolderError, EncodingError, PathMissingError
from mintdb.schemas.reading import list_sql_files, read_bytes

BOM = "\N{BYTE ORDER MARK}"
UTF16_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


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
        get_runner(database.engine).run_files(database, [(self._shown(file), file) for file in self._files()])

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
    """The module that runs files on an engine; it, and its driver, are imported where a template has to be built."""
    return import_module(f"mintdb.schemas.{engine}")


def get_source(argument: str, *, setting: str, root: Path) -> SqlFiles:
    """The source for `sql:ARGUMENT`; nothing is read before it is used."""
    return SqlFiles(setting, root / argument, root)


def natural_order(name: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key in which the numbers inside a name count as numbers."""
    parts = re.split(r"([0-9]+)", name)
    return tuple((0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts if part)


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
