"""A MySQL server for these tests, unpacked and never installed: Debian's releases have MariaDB only, its sid has both.

    python -m tests.engines.mysql.debian_mysql

fetches it once, some 60 MB, from where this machine's apt gets Debian. apt's own lists, and what is installed, stay as
they are. The server runs by the C library that came with it, so it does on an older Debian, too.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from mintdb.engines.mysql.binaries import MYSQL, find_binaries
from mintdb.engines.mysql.errors import BinariesNotFound
from mintdb.engines.places import find_cache

VARIABLE = "MINTDB_TEST_MYSQL"  # names a folder with another `mysqld`
FETCH = "python -m tests.engines.mysql.debian_mysql"
PACKAGE, SUITE = "mysql-server-core", "sid"
UNUSED = ("perl", "libperl", "libgdbm", "libdb5")  # what only the package's scripts need
# Without release info also archives are told of which nothing has been downloaded yet.
ARCHIVES = ["apt-get", "indextargets", "--no-release-info", "--format", "$(REPO_URI)", "Component: main"]
TIMEOUT = 300.0  # seconds, of each of apt's steps
FOLDER = find_cache().with_name("mintdb-tests") / "mysql"  # not in a test's own cache: this is read at import
LAUNCHER = """\
#!/bin/sh
# The loader has the server's name, by which mintdb knows its process.
exec {root}/loader/mysqld --library-path {libraries} {root}/usr/sbin/mysqld "$@" \\
  --basedir={root}/usr --plugin-dir={root}/usr/lib/mysql/plugin
"""


class NotFetched(Exception):
    """There is no apt here, or it could not get the package; the text says why."""


def find_mysql() -> str | None:
    """The folder of a MySQL server's program: the one that VARIABLE names, the fetched one, or an installed one."""
    for folder in filter(None, (os.environ.get(VARIABLE), str(FOLDER / "bin"))):
        if shutil.which(MYSQL, path=folder):
            return folder
    try:
        found = find_binaries()
    except BinariesNotFound:
        return None
    return None if found.is_mariadb else str(found.server.parent)


def why_not() -> str | None:
    """Why what needs MySQL cannot run here, and the remedy."""
    return None if find_mysql() else f"no MySQL server here:  {FETCH}   (or {VARIABLE}=/folder/of/mysqld)"


def fetch() -> None:
    """Make FOLDER, if it is not there. Raises NotFetched."""
    if FOLDER.exists():
        return
    FOLDER.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER.parent) as made:
        working = Path(made)
        root = working / "root"
        for package in _download(working):
            _run(["dpkg-deb", "--extract", str(package), str(root)])
        shutil.rmtree(root / "usr/bin")
        _add_launcher(root)
        root.rename(FOLDER)  # another process may have been as quick: then this fails, and nothing is lost


def _download(working: Path) -> list[Path]:
    """The package and all that it needs, down to the C library."""
    (working / "sources").write_text(f"deb {_archive()} {SUITE} main\n")
    (working / "installed").touch()  # nothing is: so all dependencies are fetched
    for folder in ("lists/partial", "cache/archives/partial"):
        (working / folder).mkdir(parents=True)
    places = {
        "Dir::Etc::sourcelist": working / "sources",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State": working,
        "Dir::State::lists": working / "lists",
        "Dir::State::status": working / "installed",
        "Dir::Cache": working / "cache",
        "APT::Sandbox::User": "root",  # else apt warns that its own account cannot reach the folder
    }
    apt = ["apt-get", "-qq", *(f"-o{key}={value}" for key, value in places.items())]
    _run([*apt, "update"])
    _run([*apt, "--yes", "--no-install-recommends", "--download-only", "install", PACKAGE])
    return [each for each in (working / "cache/archives").glob("*.deb") if not each.name.startswith(UNUSED)]


def _archive() -> str:
    """Where this machine gets its Debian: no other archive names its suites as Debian does."""
    system = platform.freedesktop_os_release()
    archives = _run([*ARCHIVES, f"Release: {system.get('VERSION_CODENAME')}"]).split()
    if system["ID"] != "debian" or not archives:
        raise NotFetched("this is no Debian, or its apt knows no archive")
    return archives[0]


def _add_launcher(root: Path) -> None:
    loader = next(root.glob("usr/lib/*/ld-linux*.so.*"))
    (root / "loader").mkdir()
    shutil.copy2(loader, root / "loader" / MYSQL)
    (root / "bin").mkdir()
    launcher = root / "bin" / MYSQL
    launcher.write_text(LAUNCHER.format(root=FOLDER, libraries=FOLDER / loader.parent.relative_to(root)))
    for each in (root, root / "bin", root / "loader", launcher):
        each.chmod(0o755)


def _run(command: list[str]) -> str:
    if shutil.which(command[0]) is None:
        raise NotFetched(f"there is no {command[0]} here")
    ran = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    if ran.returncode:
        raise NotFetched(f"{' '.join(command[:2])} failed: {ran.stderr.strip()}")
    return ran.stdout


if __name__ == "__main__":
    try:
        fetch()
    except NotFetched as error:
        sys.exit(str(error))
    print(find_mysql())
