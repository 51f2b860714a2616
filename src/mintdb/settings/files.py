"""The nearest settings file at or above a folder, and what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mintdb.settings.errors import BadSettingsFile


def find_file(start: Path) -> tuple[Path | None, dict[str, Any], str | None]:
    """The file, mintdb's table of it, and the project's name if it says that. Raises BadSettingsFile."""
    for folder in (start, *start.parents):
        own, pyproject = folder / "mintdb.toml", folder / "pyproject.toml"
        if own.is_file():
            return own, _read(own), None
        if pyproject.is_file() and b"mintdb" in pyproject.read_bytes():  # parsing others' files costs more than looking
            content = _read(pyproject)
            tool = content.get("tool", {})
            if "mintdb" in tool:
                return pyproject, tool["mintdb"], content.get("project", {}).get("name")
    return None, {}, None


def _read(file: Path) -> dict[str, Any]:
    import tomllib  # 10 ms, for those who have a settings file

    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise BadSettingsFile(file=file, why=error) from None
