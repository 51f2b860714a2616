"""Whether anybody wants mintdb in this run: asked in every pytest run on the machine, so it costs next to nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

FILES = ("mintdb.toml", "pyproject.toml")
PREFIX = "mintdb_"
NO_WISH = {"mintdb_cache_dir"}  # where things are kept says nothing about wanting them


def is_wanted(start: Path, options: Mapping[str, object], environ: Mapping[str, str]) -> bool:
    """Whether an option, a variable or a settings file at or above `start` speaks of mintdb.

    It may say yes where `settings.load` then finds nothing, never the other way round.
    """
    if any(value for name, value in options.items() if name.startswith(PREFIX)):
        return True
    if any(variable.startswith(PREFIX) for variable in map(str.lower, environ) if variable not in NO_WISH):
        return True
    return any(_speaks_of_it(folder / name) for folder in (start, *start.parents) for name in FILES)


def _speaks_of_it(file: Path) -> bool:
    try:
        return file.name == FILES[0] or b"mintdb" in file.read_bytes() if file.is_file() else False
    except OSError:
        return True  # whoever reads it next says what is wrong
