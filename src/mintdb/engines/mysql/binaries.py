"""Find MariaDB's server programs: an explicit folder, else a system install."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mintdb.engines.mysql.errors import BinariesNotFound

SERVER, INSTALL = "mariadbd", "mariadb-install-db"
# No PATH of an ordinary user has /usr/sbin, where Debian puts the server.
FOLDERS = (
    "/usr/sbin",
    "/usr/libexec",
    "/usr/local/sbin",
    "/opt/homebrew/opt/mariadb/bin",
    "/usr/local/opt/mariadb/bin",
)


@dataclass(frozen=True)
class Binaries:
    """The server, and the program that makes a data folder for it."""

    server: Path
    install: Path

    @property
    def identity(self) -> str:
        """Changes when the programs do; needs none of them to run."""
        status = self.server.stat()
        return f"{self.server.resolve()}:{status.st_size}:{status.st_mtime_ns}"


def find_binaries(explicit: str | None = None) -> Binaries:
    """The programs in `explicit` (a folder) or MINTDB_BINARIES if it has them, else on PATH and in the usual folders.

    Raises BinariesNotFound with the places looked at.
    """
    named = explicit or os.environ.get("MINTDB_BINARIES")
    looked = list(_folders(named))
    path = os.pathsep.join(looked)
    server, install = shutil.which(SERVER, path=path), shutil.which(INSTALL, path=path)
    if server is None or install is None:
        raise BinariesNotFound(looked=", ".join(dict.fromkeys(looked)))
    return Binaries(Path(server), Path(install))


def _folders(named: str | None) -> Iterator[str]:
    if named:
        yield str(Path(named).expanduser() / "bin")
        yield str(Path(named).expanduser())
    yield from os.environ.get("PATH", "").split(os.pathsep)
    yield from FOLDERS
