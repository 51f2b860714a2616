"""The databases of a command of any language, put back whenever it says that one of its tests has ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from threading import Lock
from typing import TYPE_CHECKING

from mintdb import clock
from mintdb.contract import Way
from mintdb.report.facts import Tested
from mintdb.report.summary import WORDS, Summary

if TYPE_CHECKING:
    from mintdb.contract import Restored
    from mintdb.mint import Mint

UNNAMED = "a test of the command"


class Between:
    """The databases of a command, which leads their tests itself. Nothing is done to them before it asks."""

    def __init__(self, mint: Mint, aliases: Sequence[str]) -> None:
        self._mint = mint
        self._aliases = aliases
        self._lock = Lock()  # held while a request is answered: whoever cleans up waits for it
        self.summary = Summary()

    def put_back(self, test: str) -> str:
        """Put every database back to what was last kept; returns what there is to say. Raises MintdbError."""
        with self._lock:
            return "\n".join(line for alias in self._aliases for line in self._put_back(alias, test or UNNAMED))

    def keep(self, _: str) -> str:
        """What is committed now stays from now on, for every later test. Raises MintdbError."""
        with self._lock:
            for alias in self._aliases:
                self._mint.open(alias).pool.marks.keep_what_is_there()
            return "kept"

    def close(self) -> None:
        """Wait for the request that is being answered; no other will be."""
        self._lock.acquire()

    def _put_back(self, alias: str, test: str) -> Iterator[str]:
        mint, began = self._mint, clock.wall()
        restored = mint.lease(alias, test=test).release()
        self.summary.count(restored, test)
        tested = Tested.of(test, mint.worker, alias, began, restored)
        self.summary.note(tested, restored.connections.told, mint.settings.leaks)
        yield f"{_way(restored)}{restored.seconds * 1000:.1f} ms"
        yield from filter(None, [restored.report])


def _way(restored: Restored) -> str:
    return f"{WORDS[restored.way]}, " if restored.way is Way.UNTOUCHED else f"{WORDS[restored.way]} in "
