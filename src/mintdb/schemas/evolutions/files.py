"""Read evolutions as Play reads them, which lines are markers and where a statement ends included.

What Play makes of a file is kept where it surprises, too; only a byte order mark, which would hide the first marker, is
taken away and mentioned.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from itertools import count
from pathlib import Path
from types import MappingProxyType

from mintdb.facts import dataclass
from mintdb.schemas.errors import PathMissingError
from mintdb.schemas.evolutions.errors import NoEvolutionsError, SubstitutionError
from mintdb.schemas.reading import list_sql_files, read_bytes
from mintdb.schemas.sql_files import BOM, decode

log = logging.getLogger("mintdb.schemas")

MARKERS = {"ups": re.compile(r"(#|--).*!Ups.*"), "downs": re.compile(r"(#|--).*!Downs.*")}  # ups is asked first
END_OF_STATEMENT = re.compile(r"(?<!;);(?!;)")
NO_VALUES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Substitutions:
    """What stands for `$evolutions{{{name}}}` when a statement is run; stored and hashed are the scripts as written."""

    values: Mapping[str, str] = field(default_factory=lambda: NO_VALUES)
    prefix: str = "$evolutions{{{"
    suffix: str = "}}}"
    escape: bool = True  # a ! before the prefix keeps it as it is

    def apply(self, text: str, *, place: str, line: int) -> str:
        """A statement as it is run. Raises SubstitutionError for a name without a value."""

        def replace(found: re.Match[str]) -> str:
            if self.escape and found["escape"]:
                return found[0].removeprefix("!")
            if found["name"] not in self.values:
                first = line + text.count("\n", 0, found.start())
                raise SubstitutionError(place=place, line=first, name=found["name"])
            return found["escape"] + self.values[found["name"]]

        pattern = rf"(?P<escape>!?){re.escape(self.prefix)}(?P<name>.*?){re.escape(self.suffix)}"
        return re.sub(pattern, replace, text)


@dataclass(frozen=True)
class Script:
    """The lines of one direction, trimmed, with the numbers that they have in the file."""

    lines: tuple[tuple[int, str], ...] = ()

    @classmethod
    def stored(cls, text: str | None) -> Script:
        """A script as it stands in play_evolutions, where its lines count from 1."""
        return cls(tuple(enumerate((text or "").split("\n"), start=1)))

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
    """One revision; `place` is its file, or the table that it was stored in, as messages call it."""

    revision: int
    place: str
    ups: Script
    downs: Script

    @property
    def hash(self) -> str:
        """Play's: the downs come first."""
        content = (self.downs.text + self.ups.text).encode()
        return hashlib.sha1(content, usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Folder:
    """The files 1.sql, 2.sql … of a folder, up to the first that is missing."""

    path: Path
    root: Path  # messages name files from here

    def read(self, *, setting: str) -> Sequence[Evolution]:
        """The evolutions in order; none where there is no 1.sql. Raises PathMissingError and EncodingError."""
        if not self.path.is_dir():
            raise PathMissingError(setting=setting, path=self.path)
        files = list_sql_files(self.path, self._shown(self.path))
        return [self._read(revision, file) for revision, file in find_files(self.path, files)]

    def read_some(self, *, setting: str) -> Sequence[Evolution]:
        """As `read`, but an empty folder is a mistake. Raises NoEvolutionsError, too."""
        evolutions = self.read(setting=setting)
        if not evolutions:
            raise NoEvolutionsError(setting=setting, path=self.path)
        return evolutions

    def _shown(self, file: Path) -> str:
        return str(file.relative_to(self.root) if file.is_relative_to(self.root) else file)

    def _read(self, revision: int, file: Path) -> Evolution:
        shown = self._shown(file)
        content = read_bytes(file, shown)
        if content.startswith(BOM.encode()):
            log.warning("%s begins with a byte order mark, which keeps Play from seeing its first marker", file)
        ups, downs = parse(decode(content, shown))
        return Evolution(revision, shown, ups, downs)


def find_files(folder: Path, listed: Sequence[Path]) -> list[tuple[int, Path]]:
    """Revision and file, from 1 to the first gap; 05.sql is the fifth, unless there is a 5.sql."""
    files: dict[int, Path] = {}
    for file in sorted(listed, key=lambda file: len(file.stem), reverse=True):
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
