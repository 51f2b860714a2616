"""Database files: copied whole, finished before they are named, and removed with all that SQLite keeps beside them."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import IO

from mintdb.core import ours
from mintdb.engines.sqlite.errors import FileInUse, NoRoom

BESIDE = ("-wal", "-shm", "-journal")  # https://www.sqlite.org/tempfiles.html
SUFFIX = ".db"
GOODBYE = 1.0  # seconds; threads that a schema source has left behind may be about to commit


def connect(path: Path | str, *, timeout: float = 0.0, uri: bool = False) -> sqlite3.Connection:
    """A connection of mintdb's own: not by `sqlite3.connect`, which is watched, and without transactions of its own."""
    return sqlite3.Connection(str(path), isolation_level=None, timeout=timeout, uri=uri, check_same_thread=False)


def open_sealed(path: Path) -> sqlite3.Connection:
    """Read a file that nobody writes to any more; no lock is taken."""
    return connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)


def copy(source: Path, target: Path) -> None:
    """Make `target` a copy of a sealed file, at once or not at all. Raises NoRoom."""
    with written(target) as unfinished:
        shutil.copyfile(source, unfinished)


def replace(source: Path, target: Path) -> None:
    """Give a name of ours to a copy of a sealed file, at once: at no moment is there no file. Raises NoRoom."""
    with written(target) as unfinished:
        shutil.copyfile(source, unfinished)
        # The old file's journal or WAL would be taken for the new one's. It goes first, as whoever has opened the new
        # one may have begun a journal: who opens the name in between meets what the old file last held.
        remove_beside(target)


def write_copy(source: sqlite3.Connection, target: Path) -> None:
    """Make `target` a sealed copy of what is committed where `source` is connected. Raises NoRoom."""
    with written(target) as unfinished, closing(connect(unfinished)) as copied:
        back_up(source, copied)
        # A copy of a file in WAL mode is in WAL mode: what was just written has to leave the WAL.
        copied.execute("pragma wal_checkpoint(truncate)")


def back_up(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    """Make one database what the other is, page by page. Raises sqlite3.OperationalError where one is locked."""

    def go_on(status: int, left: int, pages: int) -> None:
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):  # Python would try again for ever
            raise sqlite3.OperationalError("database is locked")

    source.backup(target, progress=go_on)


def remove(path: Path) -> None:
    """Remove a file and what SQLite keeps beside it."""
    path.unlink(missing_ok=True)
    remove_beside(path)


def remove_beside(path: Path) -> None:
    """Remove what SQLite keeps beside a file."""
    for suffix in BESIDE:
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def seal(built: Path, target: Path) -> None:
    """Make `target` a sealed copy of a file that a schema source has filled. Raises FileInUse and NoRoom.

    The file itself would not do: who has filled it may have left a connection open, and write on.
    """
    with closing(connect(built, timeout=GOODBYE)) as connection:
        try:
            connection.execute("begin immediate")
            connection.execute("rollback")
        except sqlite3.OperationalError:
            raise FileInUse(path=built) from None
        write_copy(connection, target)


def make_empty(path: Path) -> None:
    """A database without tables, but with a first page: who reads a file of no bytes may give it any page size."""
    with written(path) as unfinished, closing(connect(unfinished)) as connection:
        connection.executescript("pragma user_version = 1; pragma user_version = 0")


@contextmanager
def written(target: Path) -> Iterator[Path]:
    """A new file that takes its name when it is whole. Raises NoRoom."""
    unfinished: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        os.close(descriptor)
        unfinished = Path(name)
        yield unfinished
        unfinished.chmod(0o644)
        unfinished.replace(target)
    except BaseException as error:
        if unfinished is not None:
            remove(unfinished)
        if isinstance(error, OSError) or "full" in str(error):  # "database or disk is full"
            raise NoRoom(path=target, why=getattr(error, "strerror", None) or error) from None
        raise


class Stake:
    """A file that is locked for as long as this process lives, whatever ends it."""

    def __init__(self, path: Path, *, shared: bool = False) -> None:
        """Waits while another has it; a `shared` one is for whoever else shares it, too."""
        self._path = path
        while True:
            self._file: IO[bytes] = path.open("ab")
            fcntl.flock(self._file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
            with suppress(OSError):
                if os.path.samestat(os.fstat(self._file.fileno()), path.stat()):
                    break
            self._file.close()  # whoever looked for the dead has removed it in between
        ours.claim(self._file)  # a forked child lets go: it would keep a dead parent alive

    def give_up(self) -> bool:
        """Ours no more; returns whether it is nobody's from now on."""
        self._file.close()
        return not is_held(self._path)


def is_held(path: Path) -> bool:
    """Whether the process that has a stake lives; a file that nobody holds is removed."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
            return False
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
