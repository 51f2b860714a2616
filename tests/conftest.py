"""What every test may ask for: a home of mintdb's own, with one embedded server for the whole session."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

LINGER = 2.0  # seconds
STAYS = 60.0  # seconds in which the session's server has nobody, between two tests that need it
INSTALLED = ("initdb", "mariadb", "mysql")  # folders of a home with what initdb and its like have made
# The files that take longest, of which none may be left over when every other worker is done.
LONG = (
    *("test_docs.py", "test_rewind_exact.py", "test_exactness.py", "test_other_line.py", "test_isolation.py"),
    *("test_django.py", "test_false_accusations.py", "test_two_at_once.py"),
)

# A busy machine is no failure: an example may take its time, and a real database is slower than Hypothesis expects.
settings.register_profile("mintdb", deadline=None, database=None, suppress_health_check=list(HealthCheck))
settings.load_profile("mintdb")

for variable in [name for name in os.environ if name.startswith("PYTEST_XDIST_")]:
    del os.environ[variable]  # what a test starts is no worker of the run that tests mintdb

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job ignores SIGINT, and so would every program that a test starts and interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.path.name not in LONG)


def pytest_collection_finish() -> None:
    """In hundreds of tests a connection is judged after a garbage collection: what is imported by now is no garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def server_home() -> Iterator[Path]:
    """A private cache folder, and so a private embedded server, for this session and the processes it starts.

    When the session ends the server is stopped and everything below the folder is gone.
    """
    with _home(STAYS) as home:
        yield home


@pytest.fixture
def own_home(server_home: Path) -> Iterator[Path]:
    """A home for one test that does to it what nobody else could bear."""
    with _home(beside=server_home) as home:
        yield home


@pytest.fixture(scope="module")
def module_home(server_home: Path) -> Iterator[Path]:
    """A home for one file's tests, which look at everything in it or stop its server."""
    with _home(beside=server_home) as home:
        yield home


@contextmanager
def _home(linger: float = LINGER, *, beside: Path | None = None) -> Iterator[Path]:
    # Not below pytest's own folder: that is closed to the account which runs the server where the tests run as root.
    home = Path(tempfile.mkdtemp(prefix="mintdb-home-"))
    home.chmod(0o711)
    if beside:
        _share_installed(beside, home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINTDB_CACHE_DIR", str(home))
        patch.setenv("MINTDB_LINGER", f"{linger:g}")
        yield home
        _remove(home)


def _share_installed(session: Path, home: Path) -> None:
    """A home's server starts on a copy of what the session's once made, which costs a second of two cores each time."""
    from mintdb.engines.places import cached_password

    (home / "password").touch(mode=0o600)  # what was made has it inside
    (home / "password").write_text(cached_password(session))
    for name in INSTALLED:
        (session / name).mkdir(mode=0o711, exist_ok=True)
        (home / name).symlink_to(session / name)


def _remove(home: Path) -> None:
    """Stop every server that lives in the home, and remove what it had."""
    from mintdb.engines.mysql import keeper as mysql_keeper
    from mintdb.engines.mysql import mysqld
    from mintdb.engines.places import find_places
    from mintdb.engines.postgresql import keeper, postmaster
    from mintdb.engines.processes import wait_until_gone

    assert os.environ["MINTDB_CACHE_DIR"] == str(home)
    live = find_places().live
    for folder in live.iterdir():
        if state := keeper.find_state(folder):
            postmaster.stop(Path(state.data), state.server)
            wait_until_gone(state.keeper, 5)
        if mariadb := mysql_keeper.find_state(folder):
            mysqld.stop(mariadb.server)
            wait_until_gone(mariadb.keeper, 5)
    shutil.rmtree(live.parent, ignore_errors=True)
    shutil.rmtree(home, ignore_errors=True)
