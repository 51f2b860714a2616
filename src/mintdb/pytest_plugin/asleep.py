"""Whether anybody wants mintdb in this run: asked in every pytest run on the machine, so it costs next to nothing."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from pathlib import Path

import pytest

FILES = ("mintdb.toml", "pyproject.toml")
PREFIX = "mintdb_"
WORKER, OF_RUN, CLAIMED = "PYTEST_XDIST_WORKER", "PYTEST_XDIST_TESTRUNUID", "MINTDB_XDIST_WORKER_TAKEN"
# Where things are kept says nothing about wanting them, nor does what this plugin notes everywhere.
NO_WISH = {"mintdb_cache_dir", CLAIMED.lower()}
WORKER_NAME = pytest.StashKey[str]()  # what xdist calls the run, if it is a worker's


def is_wanted(start: Path, options: Mapping[str, object], environ: Mapping[str, str]) -> bool:
    """Whether an option, a variable or a settings file at or above `start` speaks of mintdb.

    It may say yes where `settings.load` then finds nothing, never the other way round.
    """
    if any(value for name, value in options.items() if name.startswith(PREFIX)):
        return True
    if any(variable.startswith(PREFIX) for variable in map(str.lower, environ) if variable not in NO_WISH):
        return True
    return any(_speaks_of_it(folder / name) for folder in (start, *start.parents) for name in FILES)


def claim_worker(environ: MutableMapping[str, str]) -> str | None:
    """The name that xdist gave a run; None for every other, a pytest that a worker's test started included.

    xdist tells it by a variable, which that inner pytest inherits, in a process of its own or in the same one, before
    the configuration knows of it. So the first run to see it takes it, and an inner run's own workers have another one.
    """
    if WORKER not in environ:
        return None
    claim = f"{environ[WORKER]} of {environ.get(OF_RUN, '')}"
    if environ.get(CLAIMED) == claim:
        return None
    environ[CLAIMED] = claim
    return environ[WORKER]


def _speaks_of_it(file: Path) -> bool:
    try:
        return file.name == FILES[0] or b"mintdb" in file.read_bytes() if file.is_file() else False
    except OSError:
        return True  # whoever reads it next says what is wrong
