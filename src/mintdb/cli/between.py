"""The databases of a command of any language, and of its workers, put back whenever it says that a test has ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import quote

from mintdb import clock
from mintdb.cli import ready
from mintdb.contract import Way
from mintdb.core.names import distinct
from mintdb.report.facts import Tested
from mintdb.report.summary import WORDS, Summary
from mintdb.report.words import describe

if TYPE_CHECKING:
    from mintdb.contract import Restored
    from mintdb.mint import Mint

UNNAMED = "a test of the command"
PUT_BACK = "MINTDB_PUT_BACK_URL"
KEEP = "MINTDB_KEEP_URL"
WORKER = "MINTDB_WORKER_URL"


class Between:
    """The databases of a command, which leads their tests itself. Nothing is done to them before it asks."""

    def __init__(self, mint: Mint, lead: Callable[[Mint], Mapping[str, str]]) -> None:
        """`lead` tells the variables that lead to a mint's databases."""
        self._mints = {"": mint}  # by the worker's name; the command's own has none
        self._lead = lead
        self._lock = Lock()  # held while a request is answered: whoever cleans up waits for it
        self._urls: Mapping[str, str] = {}
        self.summary = Summary()

    def variables(self, urls: Mapping[str, str]) -> dict[str, str]:
        """The variables that tell where to ask, now that `urls` are known."""
        self._urls = urls
        return {PUT_BACK: urls["put-back"], KEEP: urls["keep"], WORKER: urls["worker"]}

    @property
    def workers(self) -> Sequence[Mint]:
        """The databases of those who have asked for their own."""
        return [mint for name, mint in self._mints.items() if name]

    def put_back(self, test: str, worker: str) -> str:
        """Put every database back to what was last kept; returns what there is to say. Raises MintdbError."""
        with self._lock:
            mint = self._mint_of(worker)
            return "\n".join(
                line for alias in ready.aliases(mint.settings) for line in self._put_back(mint, alias, test or UNNAMED)
            )

    def keep(self, _: str, worker: str) -> str:
        """What is committed now stays from now on, for every later test. Raises MintdbError."""
        with self._lock:
            mint = self._mint_of(worker)
            for alias in ready.aliases(mint.settings):
                mint.open(alias).pool.marks.keep_what_is_there()
            return "kept"

    def admit(self, name: str, _: str) -> str:
        """Give a worker databases of its own, under one name always the same; returns the variables that lead there.

        Without a name it is a further one each time. Raises MintdbError.
        """
        with self._lock:
            name = name or f"number {len(self._mints)}"
            whose = quote(name, safe="")
            asked = {PUT_BACK: f"{self._urls['put-back']}/{whose}", KEEP: f"{self._urls['keep']}/{whose}"}
            variables = {**self._lead(self._mint_of(name)), **asked}
            return "\n".join(f"{variable}={value}" for variable, value in variables.items())

    def close(self) -> None:
        """Wait for the request that is being answered; no other will be."""
        self._lock.acquire()

    def _mint_of(self, worker: str) -> Mint:
        if worker not in self._mints:
            settings = self._mints[""].settings
            self._mints[worker] = ready.open_all(settings, lambda line: None, worker=f"w{distinct(worker)}")
        return self._mints[worker]

    def _put_back(self, mint: Mint, alias: str, test: str) -> Iterator[str]:
        began = clock.wall()
        restored = mint.lease(alias, test=test).release()
        self.summary.count(restored, test)
        tested = Tested.of(test, mint.worker, alias, began, restored)
        self.summary.note(tested, restored.connections.told, mint.settings.leaks)
        yield f"{_way(restored)}{restored.seconds * 1000:.1f} ms" + _why(restored)
        if restored.way is Way.SWAP:
            yield from (f"ended {describe(session)}" for session in restored.ended)
        yield from filter(None, [restored.report])


def _way(restored: Restored) -> str:
    return f"{WORDS[restored.way]}, " if restored.way is Way.UNTOUCHED else f"{WORDS[restored.way]} in "


def _why(restored: Restored) -> str:
    return f", because {restored.reason}" if restored.reason else ""
