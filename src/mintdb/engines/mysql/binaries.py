"""Find the server's programs, MariaDB's or MySQL's: an explicit folder, else a system install."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from mintdb.engines.mysql.errors import BinariesNotFound
from mintdb.facts import dataclass

MARIADB, MYSQL = "mariadbd", "mysqld"
PROGRAMS = (MARIADB, MYSQL)
INSTALL = "mariadb-install-db"  # mysqld makes a data folder itself
# No PATH of an ordinary user has /usr/sbin, where Debian puts the server.
FOLDERS = (
    "/usr/sbin",
    "/usr/libexec",
    "/usr/local/sbin",
    "/opt/homebrew/opt/mariadb/bin",
    "/usr/local/opt/mariadb/bin",
    "/opt/homebrew/opt/mysql/bin",
    "/usr/local/opt/mysql/bin",
    "/usr/local/mysql/bin",
)


@dataclass(frozen=True)
class Binaries:
    """The server, and the program that makes a data folder for it: of MySQL it is the server itself."""

    server: Path
    install: Path

    @property
    def is_mariadb(self) -> bool:
        return self.install != self.server

    @property
    def product(self) -> str:
        return "MariaDB" if self.is_mariadb else "MySQL"

    @property
    def identity(self) -> str:
        """Changes when the programs do; needs none of them to run."""
        status = self.server.stat()
        return f"{self.server.resolve()}:{status.st_size}:{status.st_mtime_ns}"


def find_binaries(explicit: str | None = None) -> Binaries:
    """The programs in `explicit` (a folder) or MINTDB_BINARIES if it has them, else on PATH and in the usual folders.

    Where there are both, MariaDB's, unless the explicit folder has MySQL's. Raises BinariesNotFound with the places
    looked at.
    """
    named = _named(explicit or os.environ.get("MINTDB_BINARIES"))
    usual = [*os.environ.get("PATH", "").split(os.pathsep), *FOLDERS]
    found = _find_in(named) or _find_in([*named, *usual])
    if found is None:
        raise BinariesNotFound(looked=", ".join(dict.fromkeys([*named, *usual])))
    return found


def _find_in(folders: Sequence[str]) -> Binaries | None:
    path = os.pathsep.join(folders)
    server, install = (shutil.which(each, path=path) for each in (MARIADB, INSTALL))
    if server and install:
        return Binaries(Path(server), Path(install))
    mysql = shutil.which(MYSQL, path=path)
    if mysql is None or Path(mysql).resolve().name == MARIADB:  # the name under which MariaDB was once installed
        return None
    return Binaries(Path(mysql), Path(mysql))


def _named(folder: str | None) -> list[str]:
    return [str(Path(folder).expanduser() / "bin"), str(Path(folder).expanduser())] if folder else []
