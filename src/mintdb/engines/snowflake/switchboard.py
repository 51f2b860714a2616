"""Which emulated account answers a connect: the one that is named, or the home clone of the default database."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from mintdb.engines.snowflake.errors import AnotherAccount
from mintdb.facts import dataclass
from mintdb.settings import DEFAULT
from mintdb.snowflake import Asked, NetworkRefused, answering

if TYPE_CHECKING:
    from mintdb.engines.snowflake.account import EmulatedAccount

NOT_OPEN = "its database is not open: the run has not begun, or is over"


@dataclass
class Line:
    """One configured database."""

    alias: str
    name: str | None  # the fixed name
    home: str = ""  # the home clone's, from the moment it is known


class Switchboard:
    """The accounts of this process. It fulfils snowflake.Answerer."""

    def __init__(self) -> None:
        self._lines: list[Line] = []
        self._accounts: dict[str, EmulatedAccount] = {}
        self._building: list[EmulatedAccount] = []
        self._answering = ExitStack()

    def reserve(self, line: Line) -> None:
        """Answer for a database from now on, although it is not open yet."""
        if not self._lines:
            self._answering.enter_context(answering(self))
        self._lines.append(line)

    def leave(self, line: Line) -> None:
        """Its server was left. Again is harmless."""
        if line in self._lines:
            self._lines.remove(line)
        if not self._lines:
            self._answering.close()

    def add(self, account: EmulatedAccount) -> None:
        """An account is open."""
        self._accounts[account.name] = account

    def remove(self, account: EmulatedAccount) -> None:
        """It is no more."""
        self._accounts.pop(account.name, None)

    @contextmanager
    def building(self, account: EmulatedAccount) -> Iterator[None]:
        """Whoever connects in the block, by whatever name, fills this template."""
        self._building.append(account)
        try:
            yield
        finally:
            self._building.remove(account)

    def find(self, asked: Asked) -> str | None:
        """See snowflake.Answerer."""
        if self._building:
            return self._building[-1].name
        for name in self._accounts:
            if _spelled(name) == asked.locator:
                return name
        line = self._find_line(asked)
        return line.home if line else None

    def connect(self, asked: Asked) -> object:
        """See snowflake.Answerer. Raises NetworkRefused for a database that is not open, and AnotherAccount."""
        if self._building:
            return self._building[-1].connect(asked.wanted)
        account = self._accounts.get(self.find(asked) or "")
        if account is None:
            raise NetworkRefused(account=asked.account, why=NOT_OPEN, site=asked.asked_at)
        self._check_called(account, asked)
        return account.connect(asked.wanted)

    def _find_line(self, asked: Asked) -> Line | None:
        """The line of that alias or name; else the default one; else the only one."""
        lines = self._lines[::-1]
        named = [line for line in lines if asked.locator in (_spelled(line.alias), _spelled(line.name or ""))]
        return next(iter(named or [line for line in lines if line.alias == DEFAULT] or lines), None)

    def _check_called(self, account: EmulatedAccount, asked: Asked) -> None:
        """One emulated account does not play two: an application that uses two would see one's tables in the other."""
        if not asked.locator or asked.locator == _spelled(account.name):
            return
        if account.called not in (None, asked.locator):
            raise AnotherAccount(first=account.called, second=asked.locator, site=asked.asked_at)
        account.called = asked.locator


def _spelled(name: str) -> str:
    return re.sub("_", "-", name.lower())


switchboard = Switchboard()
"""The one of this process."""
