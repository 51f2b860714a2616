"""One emulated account, leased to one test at a time and put back by rewinding its files."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from mintdb.address import Address
from mintdb.contract import Present, Restored, Session
from mintdb.core.names import new_token
from mintdb.engines.snowflake.account import EmulatedAccount
from mintdb.engines.snowflake.switchboard import switchboard

KEPT = "kept"  # the folder of accounts that somebody wants to look at


class AccountClone:
    """See contract.Clone."""

    def __init__(self, address: Address, folder: Path, cache: Path, *, creates_on_connect: bool) -> None:
        self._address = address
        self._cache = cache
        self._account = EmulatedAccount(address.database, folder, creates_on_connect=creates_on_connect)
        switchboard.add(self._account)

    @property
    def address(self) -> Address:
        return self._address

    def connect(self, **options: Any) -> Any:  # Any: the connector's connection, and its options
        """See contract.Clone."""
        import snowflake.connector

        return snowflake.connector.connect(**{**self._address.params, **options})

    def settle(self, *, seconds: float, ahead: bool = False) -> Present:
        """See contract.Clone. Statements run one at a time: the one that runs is waited for."""
        if self._account.lock.acquire(timeout=seconds):
            self._account.lock.release()
        sessions = self._account.sessions()
        used = {connection.number: connection.last_used for connection in self._account.connections()}
        return Present(used, [session for session in sessions if session.is_busy])

    def restore(self) -> Restored:
        """See contract.Clone."""
        return self._account.restore()

    def end(self, backends: Collection[int]) -> None:
        """See contract.Clone."""
        self._account.end(backends)

    def welcome(self) -> None:
        """See contract.Clone."""
        self._account.welcome()

    def push_mark(self) -> None:
        """See contract.Clone."""
        self._account.push_mark()

    @property
    def marks(self) -> int:
        return self._account.marks

    def drop_mark(self, number: int) -> None:
        """See contract.Clone. Raises MarkHeld for any but the newest."""
        self._account.drop_mark(number)

    def wrote(self) -> bool:
        """See contract.Clone."""
        return self._account.wrote()

    def step_aside(self) -> None:
        """See contract.Clone. There is no session of mintdb's own."""

    def keep(self) -> Address:
        """See contract.Clone. What is kept is a folder of DuckDB files, and the account goes on as it is."""
        folder = self._cache / KEPT / f"{self._address.database}-{new_token()}"
        self._account.copy_to(folder)
        return Address(self._address.engine, str(folder))

    def sessions(self) -> Sequence[Session]:
        """See contract.Clone."""
        return self._account.sessions()

    def drop(self) -> Sequence[Session]:
        """See contract.Clone. Every connection is of this process: nobody else's ends."""
        switchboard.remove(self._account)
        self._account.close()
        shutil.rmtree(self._account.folder, ignore_errors=True)
        return []
