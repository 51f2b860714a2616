"""Where a driver's hook asks, before it connects, whether one more connection is allowed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Keeper(Protocol):
    """Whoever limits connections. `database` works out where the connection would lead, for those who need to know."""

    def wait(self, database: Callable[[], str]) -> None: ...

    async def wait_async(self, database: Callable[[], str]) -> None: ...

    def find_note(self, database: Callable[[], str]) -> str | None:
        """Who holds what is allowed, for an error that does not say so; None where one more is allowed."""


keeper: Keeper | None = None
"""None: as many as the server allows."""
