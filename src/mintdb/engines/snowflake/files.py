"""The files of one emulated account: what shows that they were written to, and what makes them a mark's again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path

from mintdb.facts import dataclass

SUFFIX, LOG = ".db", ".db.wal"
BUCKET = "bucket"  # the folder of stages' files
MARKS = "marks"  # the folder of copies to return to

Fact = tuple[int, int, int]
"""What shows that a file was written to: size, time of change, inode."""

Facts = Mapping[str, Fact]
"""Of each file, by its path."""

Numbers = frozenset[tuple[str, str, str, int | None]]
"""The last number that each sequence gave: database, schema, name, number."""


@dataclass
class Mark:
    """A state to return to: a folder of files, and what the account's own were like when they were the same."""

    folder: Path
    databases: Sequence[str]
    facts: Facts = field(default_factory=dict)
    numbers: Numbers = field(default_factory=frozenset)


class AccountFiles:
    """A folder of DuckDB files, each of a database of its file's name, and of stages' files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / BUCKET).mkdir(parents=True, exist_ok=True)

    @property
    def bucket(self) -> Path:
        """The folder of stages' files."""
        return self.folder / BUCKET

    def mark_folder(self, name: str) -> Path:
        """Where a mark of that name keeps its copies."""
        return self.folder / MARKS / name

    def of(self, database: str) -> Path:
        """The file of a database."""
        return self.folder / f"{database}{SUFFIX}"

    def log_of(self, database: str) -> Path:
        """The write-ahead log of a database, which is there while anything stands in it alone."""
        return self.folder / f"{database}{LOG}"

    def facts(self) -> Facts:
        """Of all files, but for the marks'."""
        files = [*_entries(self.folder), *_entries(self.bucket)]
        return {entry.path: _fact(entry.stat()) for entry in files}

    def databases(self, facts: Facts) -> set[str]:
        """The databases whose files these are."""
        paths = [path.rpartition("/") for path in facts]
        return {f.removesuffix(SUFFIX) for folder, _, f in paths if f.endswith(SUFFIX) and folder == str(self.folder)}

    def differs(self, database: str, mark: Mark, now: Facts) -> bool:
        """Whether a database is not what it was at the mark."""
        files = (str(self.of(database)), str(self.log_of(database)))
        return database not in mark.databases or any(now.get(file) != mark.facts.get(file) for file in files)

    def copy(self, databases: Iterable[str], folder: Path) -> None:
        """Copy databases and stages to a new folder. Their sessions have to keep still."""
        for own in (path(database) for database in databases for path in (self.of, self.log_of)):
            if own.exists():
                shutil.copyfile(own, folder / own.name)
        shutil.copytree(self.bucket, folder / BUCKET)

    def remove(self, database: str) -> None:
        """Remove the files of a database that is detached."""
        self.of(database).unlink(missing_ok=True)
        self.log_of(database).unlink(missing_ok=True)

    def put_back(self, database: str, mark: Mark, *, whole: bool) -> None:
        """Make the files of a detached database the mark's; unless `whole`, only the log where nothing else changed."""
        own, log = self.of(database), self.log_of(database)
        held, held_log = mark.folder / own.name, mark.folder / log.name
        log.unlink(missing_ok=True)
        if whole or held_log.exists() or not own.exists() or _fact(own.stat()) != mark.facts.get(str(own)):
            shutil.copyfile(held, own)
        if held_log.exists():
            shutil.copyfile(held_log, log)

    def put_bucket_back(self, mark: Mark, now: Facts, *, whole: bool) -> None:
        """Make the stages' files the mark's, if they are not."""
        mine, marks = (
            {k: v for k, v in facts.items() if k.startswith(str(self.bucket))} for facts in (now, mark.facts)
        )
        if whole or mine != marks:
            shutil.rmtree(self.bucket)
            shutil.copytree(mark.folder / BUCKET, self.bucket)

    def are_at(self, mark: Mark) -> None:
        """Remember what the files are like at the mark."""
        for database in mark.databases:  # two writes within one tick of the clock have one time; none has this one
            os.utime(self.of(database), ns=(0, 0))
        mark.facts = self.facts()


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_file():
                yield entry
            elif entry.name not in (BUCKET, MARKS):
                yield from _entries(Path(entry.path))


def _fact(found: os.stat_result) -> Fact:
    return found.st_size, found.st_mtime_ns, found.st_ino
