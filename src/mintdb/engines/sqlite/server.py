"""A folder in which mintdb keeps templates and clones, and this process's stay in it."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from mintdb import clock
from mintdb.address import Address, parse_url
from mintdb.core.names import DatabaseName, Role, find_role
from mintdb.engines.errors import NameBusy
from mintdb.engines.sqlite import databases
from mintdb.engines.sqlite.clone import SqliteClone, Stay
from mintdb.engines.sqlite.errors import (
    FileNotOurs,
    FixedFileForWorkers,
    LockTimeout,
    NoRoom,
    NotAFolder,
)
from mintdb.facts import dataclass
from mintdb.locks import StillLocked, locked

if TYPE_CHECKING:
    from mintdb.settings import DatabaseSettings

ROOM = 32 << 20  # bytes: a template, a clone and some marks of a schema of hundreds of tables; containers give 64 MB


@dataclass(frozen=True)
class Folder:
    """Where files of databases are, or will be; it fulfils contract.Reservation."""

    base: Path
    root: Path = Path()  # where a fixed name begins: the folder of the settings

    def address(self, database: str) -> Address:
        """See contract.Reservation."""
        return Address("sqlite", str(self.path(database)))

    def path(self, database: str) -> Path:
        """The file of a database. A fixed name is a path, as the application has it, and so is a handed over one."""
        parsed = find_role(database)
        return self.runs / parsed.owner / f"{database}{databases.SUFFIX}" if parsed else self.root / database

    def open(self, *, owner: str, linger: float, let_go: Callable[[str], object]) -> SqliteServer:
        """See contract.Reservation. There is nothing to start, and nothing that lingers."""
        return SqliteServer(self, owner=owner, let_go=let_go)

    @property
    def runs(self) -> Path:
        return self.base / "runs"

    @property
    def templates(self) -> Path:
        return self.base / "templates"

    @property
    def locks(self) -> Path:
        return self.base / "locks"

    @property
    def kept(self) -> Path:
        return self.base / "kept"

    def stake(self, owner: str) -> Path:
        """The file that a run holds as long as it lives."""
        return self.runs / f"{owner}.alive"


class SqliteServer:
    """This process's stay. It fulfils contract.Server."""

    engine = "sqlite"
    version = sqlite3.sqlite_version
    own_connections: int = 0
    can_be_adopted = True
    connections_allowed: int | None = None

    def __init__(self, folder: Folder, *, owner: str, let_go: Callable[[str], object]) -> None:
        self._folder = folder
        self._owner = owner
        self._held_names: list[databases.Stake] = []
        self._stay = Stay(folder.runs / owner, folder.kept, let_go)
        try:
            for part in (folder.runs, folder.templates, folder.locks):
                part.mkdir(parents=True, exist_ok=True)
            # Shared: a run has a stay for each database that it has configured here, and lives while one of them does.
            self._stake = databases.Stake(folder.stake(owner), shared=True)
            self._stay.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise NoRoom(path=folder.base, why=error.strerror or error) from None
        self.reap()

    @property
    def own_url(self) -> str:
        """See contract.Server: the folder."""
        return Address("sqlite", str(self._folder.base)).url

    @property
    def identity(self) -> Sequence[bytes]:
        """The library's version: what `strftime` or a default says differs from one to the next."""
        return [self.version.encode()]

    def lock(self, name: str, *, timeout: float) -> AbstractContextManager[None]:
        """See contract.Server."""
        return self._locked(name, timeout)

    @contextlib.contextmanager
    def _locked(self, name: str, timeout: float) -> Iterator[None]:
        try:
            with locked(self._folder.locks / f"{_digest(name)}.lock", timeout=timeout):
                yield
        except StillLocked:
            raise LockTimeout(what=name, seconds=timeout, holder="") from None

    def has_template(self, name: str, *, run: str = "") -> bool:
        """See contract.Server."""
        return self._template(name).exists() and (not run or _read(self._note(name)) == run)

    def build_template(self, name: str, build: Callable[[Address], None], *, run: str = "", base: str = "") -> None:
        """See contract.Server. What `build` raises is passed on."""
        parsed = find_role(name)
        assert parsed is not None, name
        building = DatabaseName(Role.BUILDING, parsed.project, parsed.fingerprint, owner=self._owner)
        path = self._folder.path(str(building))
        if base:
            databases.copy(self._template(base), path)
        else:
            databases.make_empty(path)
        try:
            build(Address("sqlite", str(path)))
            self._note(name).write_text(run)
            databases.seal(path, self._template(name))
        finally:
            databases.remove(path)

    def hold_name(self, name: str, *, timeout: float) -> None:
        """See contract.Server. Raises NameBusy and FileNotOurs."""
        path = self._folder.path(name)
        stake = self._folder.locks / f"{_digest(str(path))}.alive"
        deadline = clock.monotonic() + timeout
        while databases.is_held(stake):
            if clock.monotonic() >= deadline:
                raise NameBusy(name=str(path), seconds=timeout, holder=" by another run")
            clock.sleep(0.05)
        self._held_names.append(databases.Stake(stake))
        if path.exists():
            if _read(self._made(path)) != str(path.stat().st_ino):
                raise FileNotOurs(path=path)
            databases.remove(path)

    def drop_template(self, name: str) -> None:
        """See contract.Server."""
        databases.remove(self._template(name))
        self._note(name).unlink(missing_ok=True)

    def clone(self, template: str, name: str) -> SqliteClone:
        """See contract.Server."""
        path = self._folder.path(name)
        clone = SqliteClone(self._stay, self._template(template), path)
        if not find_role(name):
            self._made(path).write_text(str(path.stat().st_ino))
        return clone

    def adopt(self, name: str) -> SqliteClone:
        """See contract.Server."""
        return SqliteClone(self._stay, None, self._folder.path(name))

    def reap(self) -> Sequence[str]:
        """See contract.Server."""
        dropped: list[str] = []
        others = [f for f in self._folder.runs.iterdir() if f.is_dir() and f.name != self._owner]
        for folder in others:
            if not databases.is_held(self._folder.stake(folder.name)):
                dropped += sorted(path.stem for path in folder.glob(f"mint_*{databases.SUFFIX}"))
                shutil.rmtree(folder, ignore_errors=True)
        return dropped

    def close(self) -> None:
        """See contract.Server."""
        for stake in self._held_names:
            stake.give_up()
        if self._stake.give_up():
            shutil.rmtree(self._stay.folder, ignore_errors=True)

    def _template(self, name: str) -> Path:
        return self._folder.templates / f"{name}{databases.SUFFIX}"

    def _note(self, name: str) -> Path:
        return self._folder.templates / f"{name}.run"

    def _made(self, path: Path) -> Path:
        """The record that mintdb has made a file outside its own folder: its inode."""
        return self._folder.locks / f"{_digest(str(path))}.made"


def reserve(database: DatabaseSettings, *, root: Path, slot: str) -> Folder:
    """Where the files of a database go. Raises NotAFolder, FixedFileForWorkers and FolderUnusable."""
    if database.name and slot:
        raise FixedFileForWorkers(path=root / database.name, worker=slot)
    return Folder(_find_base(database.url), root)


def reserve_folder(url: str) -> Folder:
    """A folder that mintdb uses already."""
    return Folder(Path(parse_url(url).database))


def _find_base(url: str | None) -> Path:
    if url is None:
        from mintdb.engines.places import data_parent, find_places

        return data_parent(find_places(), room=ROOM) / "sqlite"
    address = parse_url(url)
    if not Path(address.database).is_dir():
        raise NotAFolder(path=address.database)
    return Path(address.database) / "mintdb-sqlite"


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
