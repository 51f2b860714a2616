"""Run a database server's programs as somebody: the caller, or, where the caller is root, an existing account."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from mintdb.engines.errors import FolderClosed, NoAccountToDropTo
from mintdb.engines.processes import clean_environment
from mintdb.facts import dataclass

CANDIDATES = ("nobody", "daemon")  # accounts that common systems have; mintdb creates none
PASSING = 20.0  # seconds that a look at one folder may take


@dataclass(frozen=True)
class Account:
    """Who runs the server. `drop` says that we are root and must become this account to do so."""

    uid: int
    gid: int
    drop: bool

    def popen_options(self) -> dict[str, object]:
        """Keyword arguments for subprocess that make the child this account."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.drop else {}

    def own(self, path: Path) -> None:
        """Give one file or folder to the account."""
        if self.drop:
            os.chown(path, self.uid, self.gid)

    def own_tree(self, folder: Path) -> None:
        """Give a folder and all below it to the account."""
        if self.drop:
            self.own(folder)
            for parent, folders, files in os.walk(folder):
                for name in folders + files:
                    os.chown(os.path.join(parent, name), self.uid, self.gid)

    def run(
        self, argv: Sequence[str | Path], *, env: dict[str, str], timeout: float, content: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a program as this account to its end, `content` on its standard input.

        Its output is captured, its failure is the caller's to judge.
        """
        return subprocess.run(  # type: ignore[call-overload, no-any-return]  # popen_options fits, mypy cannot see it
            argv,
            input=content,
            capture_output=True,
            text=True,
            env=env,
            timeout=timeout,
            cwd="/",
            check=False,
            **self.popen_options(),
        )


def find_account(preferred: str) -> Account:
    """The caller; for root MINTDB_ACCOUNT, else `preferred` or another of CANDIDATES. Raises NoAccountToDropTo."""
    if os.name != "posix":
        return Account(0, 0, drop=False)
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), drop=False)
    import pwd  # there is none on Windows

    named = os.environ.get("MINTDB_ACCOUNT")
    names = (named,) if named else (preferred, *CANDIDATES)
    for name in names:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(entry.pw_uid, entry.pw_gid, drop=True)
    raise NoAccountToDropTo(looked=", ".join(names))


def reachable(path: Path, account: Account) -> bool:
    """Whether the account may walk down to `path`: every folder above it must let others, or the account, pass."""
    return _find_closed(path, account) is None


def require_way(account: Account, *folders: Path) -> None:
    """Raise FolderClosed for a folder that the account cannot walk down to."""
    for folder in folders:
        closed = _find_closed(folder, account)
        if closed and not _gets_to(folder, account):
            mode = f"{closed.stat().st_mode & 0o777:o}"
            raise FolderClosed(folder=closed, mode=mode, account=account.uid, needed=folder)


def _find_closed(path: Path, account: Account) -> Path | None:
    if not account.drop:
        return None
    for folder in (path, *path.parents):
        status = folder.stat()
        owned = status.st_uid == account.uid
        bit = 0o100 if owned else 0o010 if status.st_gid == account.gid else 0o001
        if not status.st_mode & bit:
            return folder
    return None


def _gets_to(folder: Path, account: Account) -> bool:
    """An access list may let in whom the mode does not."""
    tried = account.run(["/bin/sh", "-c", 'test -x "$0/."', folder], env=clean_environment(), timeout=PASSING)
    return tried.returncode == 0
