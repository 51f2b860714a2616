"""Read the files and folders of schema sources, and say which of them cannot be read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mintdb.schemas.errors import UnreadableFileError

BACKUPS = ("~", ".bak", ".orig", ".rej", ".swp", ".pyc")  # Emacs and many others, patch and Mercurial, Vim; Python
CACHE = "__pycache__"


def read_bytes(file: Path, shown: str) -> bytes:
    """What a file holds. Raises UnreadableFileError, which calls it `shown`."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise UnreadableFileError(file=shown, reason=error.strerror) from None


def is_project_file(file: Path) -> bool:
    """Whether a name is a project's own: no hidden file, no editor's backup or lock, no bytecode."""
    return not file.name.startswith((".", "#")) and not file.name.endswith(BACKUPS) and CACHE not in file.parts


def list_sql_files(folder: Path, shown: str) -> Sequence[Path]:
    """The *.sql files in a folder, not below it, in any order. Raises UnreadableFileError."""
    try:
        return [
            path for path in folder.iterdir() if path.suffix == ".sql" and is_project_file(path) and not path.is_dir()
        ]
    except OSError as error:
        raise UnreadableFileError(file=shown, reason=error.strerror) from None
