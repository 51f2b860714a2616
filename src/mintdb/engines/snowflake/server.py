"""The emulated accounts of one process: templates in the user's cache, clones in a folder that goes with it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from mintdb.address import Address
from mintdb.contract import Clone, Server
from mintdb.core.names import new_token
from mintdb.engines.places import find_places
from mintdb.engines.snowflake import compat
from mintdb.engines.snowflake.errors import OnlyThisProcess
from mintdb.engines.snowflake.switchboard import Line, switchboard
from mintdb.errors import ServerError
from mintdb.locks import StillLocked, locked
from mintdb.settings import DatabaseSettings

ENGINE = "snowflake"
LOGIN = "mintdb"
DATABASE, SCHEMA = "MINTDB", "PUBLIC"  # of a session for whom nothing else is named
BUILT_BY = "built-by"  # a file of a template: the run that built it
NOBODY = "none"  # the setting `schema` where there is none


class LockTimeout(ServerError):
    """Another process holds a lock for too long. Facts: name, seconds, file."""

    text = """\
another process has held {name!r} for {seconds} s
  1. wait for the run that builds it
  2. or end it; the lock is {file}"""


class AccountReservation:
    """Where an emulated account will answer: at every name, once it is open."""

    def __init__(self, database: DatabaseSettings) -> None:
        self._line = Line(database.alias, database.name)
        self._database = database
        switchboard.reserve(self._line)

    def address(self, database: str) -> Address:
        """See contract.Reservation. The first that is asked for is the home clone's."""
        self._line.home = self._line.home or database
        return address_of(database, home=self._database.name)

    def open(self, *, owner: str, linger: float, let_go: Callable[[str], object]) -> Server:
        """See contract.Reservation."""
        compat.prepare()
        from mintdb.engines.snowflake.frames import answer_write_pandas

        answer_write_pandas()
        return AccountServer(self._line, self._database)


class AccountServer:
    """This process's accounts of one configured database."""

    def __init__(self, line: Line, database: DatabaseSettings) -> None:
        self._line = line
        self._database = database
        places = find_places()
        self._templates = places.cache / ENGINE
        self._stays = places.live / ENGINE
        self._templates.mkdir(parents=True, exist_ok=True)
        self._stays.mkdir(parents=True, exist_ok=True)
        token = new_token()
        self._held = ExitStack()
        # Free as soon as this process is gone: then the folder is an orphan.
        self._held.enter_context(locked(self._stays / f"{token}.lock"))
        self._folder = self._stays / token
        self._folder.mkdir()
        self.reap()

    @property
    def engine(self) -> str:
        return ENGINE

    @property
    def version(self) -> str:
        return f"emulated by fakesnow {compat.check()[1]}"

    @property
    def own_url(self) -> str:
        raise OnlyThisProcess()

    @property
    def identity(self) -> Iterable[bytes]:
        """The connector's and fakesnow's versions, and the database that schema sources find as current."""
        return [*(version.encode() for version in compat.check()), self._current().encode()]

    own_connections = 0
    can_be_adopted = False

    @property
    def connections_allowed(self) -> None:
        return None

    @contextmanager
    def lock(self, name: str, *, timeout: float) -> Iterator[None]:
        """See contract.Server. Raises LockTimeout."""
        file = self._templates / f"{name.replace(' ', '_')}.lock"
        try:
            with locked(file, timeout=timeout):
                yield
        except StillLocked:
            raise LockTimeout(name=name, seconds=timeout, file=file) from None

    def has_template(self, name: str, *, run: str = "") -> bool:
        """See contract.Server."""
        built_by = self._templates / name / BUILT_BY
        return built_by.exists() and run in ("", built_by.read_text())

    def build_template(self, name: str, build: Callable[[Address], None], *, run: str = "", base: str = "") -> None:
        """See contract.Server."""
        from mintdb.engines.snowflake.account import EmulatedAccount

        folder, sealed = self._folder / f"building-{name}", self._templates / f"{name}.{new_token()}"
        if base:
            shutil.copytree(self._templates / base, folder, ignore=shutil.ignore_patterns(BUILT_BY))
        account = EmulatedAccount(f"{name}_building", folder, creates_on_connect=True)
        try:
            with switchboard.building(account):
                account.connect({"database": self._current(), "schema": SCHEMA}).close()
                account.creates_on_connect = False
                build(address_of(account.name, home=self._database.name))
            account.copy_to(sealed)
            (sealed / BUILT_BY).write_text(run)
            sealed.rename(self._templates / name)
        finally:
            account.close()
            shutil.rmtree(folder, ignore_errors=True)
            shutil.rmtree(sealed, ignore_errors=True)

    def drop_template(self, name: str) -> None:
        """See contract.Server."""
        shutil.rmtree(self._templates / name, ignore_errors=True)

    def hold_name(self, name: str, *, timeout: float) -> None:
        """See contract.Server. Every process has names of its own."""

    def clone(self, template: str, name: str) -> Clone:
        """See contract.Server."""
        from mintdb.engines.snowflake.clone import AccountClone

        self._line.home = self._line.home or name
        folder = self._folder / name
        shutil.copytree(self._templates / template, folder, ignore=shutil.ignore_patterns(BUILT_BY))
        address = address_of(name, home=self._database.name)
        return AccountClone(address, folder, self._templates, creates_on_connect=self._database.schema == NOBODY)

    def adopt(self, name: str) -> Clone:
        """See contract.Server. Raises OnlyThisProcess, always."""
        raise OnlyThisProcess()

    def reap(self) -> Sequence[str]:
        """See contract.Server."""
        reaped = []
        for file in self._stays.glob("*.lock"):
            folder = file.with_suffix("")
            if folder != self._folder and _is_free(file):
                reaped += [path.name for path in folder.glob("*") if path.is_dir()]
                shutil.rmtree(folder, ignore_errors=True)
                file.unlink(missing_ok=True)
        return reaped

    def close(self) -> None:
        """See contract.Server."""
        switchboard.leave(self._line)
        shutil.rmtree(self._folder, ignore_errors=True)
        self._held.close()
        self._folder.with_suffix(".lock").unlink(missing_ok=True)

    def _current(self) -> str:
        return (self._database.name or DATABASE).upper()


def address_of(name: str, *, home: str | None) -> Address:
    """An emulated account's address; `home` is the fixed name, which its first database has too."""
    options = {"database": (home or DATABASE).upper(), "schema": SCHEMA}
    return Address(ENGINE, name, user=LOGIN, password=LOGIN, options=options)


def _is_free(lock: Path) -> bool:
    try:
        with locked(lock, timeout=0):
            return True
    except StillLocked:
        return False
