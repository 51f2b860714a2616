"""Start a server's program on a data folder, which is made once and copied ever after."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from mintdb import clock
from mintdb.engines.account import Account
from mintdb.engines.errors import FolderUnusable
from mintdb.engines.places import make_passable
from mintdb.engines.processes import clean_environment

START_TIMEOUT = 60.0  # seconds; 0.1 on an idle machine, more after a crash
POLL = 0.01  # seconds between two looks whether a server is ready
LOG_LINES = 12


class Stillborn(Exception):
    """A server's program ended, or was ended, before it was ready. No process is left."""


def start(argv: Sequence[str], *, log: Path, account: Account, is_ready: Callable[[int], bool]) -> int:
    """Start a server in a session of its own and return its pid once it `is_ready`. Raises Stillborn, saying why."""
    with log.open("wb") as file:
        process = subprocess.Popen(  # type: ignore[call-overload]  # the account's options fit, mypy cannot see it
            argv,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env=clean_environment(),
            cwd="/",
            start_new_session=True,  # Ctrl-C in the user's terminal must not reach it
            **account.popen_options(),
        )
    deadline = clock.monotonic() + START_TIMEOUT
    while not is_ready(process.pid):
        if process.poll() is not None:
            raise Stillborn(f"exit code {process.returncode}")
        if clock.monotonic() > deadline:
            process.kill()
            process.wait()
            raise Stillborn(f"not ready within {START_TIMEOUT:g} s")
        clock.sleep(POLL)
    return int(process.pid)


def read_log(log: Path) -> list[str]:
    """The lines of a server's log; none where there is no log."""
    try:
        return log.read_text(errors="replace").splitlines()
    except OSError:
        return []


def tail(lines: Sequence[str]) -> str:
    """The last lines, as errors show them."""
    return "\n".join(f"    {line}" for line in lines[-LOG_LINES:])


def copy_pristine(pristine: Callable[[], Path], data: Path, account: Account) -> None:
    """Make `data` a copy of the folder that `pristine` returns, the account's own. Raises FolderUnusable."""
    try:
        origin = pristine()
        shutil.rmtree(data, ignore_errors=True)
        make_passable(data.parent)
        shutil.copytree(origin, data, symlinks=True)
        data.chmod(0o700)
        account.own_tree(data)
    except (OSError, shutil.Error) as error:
        shutil.rmtree(data, ignore_errors=True)
        raise FolderUnusable(folder=data.parent, why=f"copying a fresh data folder failed: {why(error)}") from None


def make_once(folder: Path, identity: Iterable[str], make: Callable[[Path], None], account: Account) -> Path:
    """A folder below `folder` for this identity, filled by `make` if it is not there yet."""
    made = folder / hashlib.sha256("\n".join(identity).encode()).hexdigest()[:12]
    if made.exists():
        return made
    make_passable(folder)
    building = Path(tempfile.mkdtemp(prefix="building-", dir=folder))
    try:
        account.own(building)
        make(building)
        building.rename(made)  # atomic: a half-made folder is never found under the final name
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    return made


def why(error: OSError) -> str:
    """The reason alone: shutil.Error lists every file that it could not copy."""
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        return str(error.args[0][0][-1])
    return str(error)
