"""Remember what nothing ever keeps, so that not every test of a suite that makes an application for each pays a search.

To find who holds a connection is to walk over all objects up to 14 times: 0.2 s in an application of 120,000 of them.
"""

from __future__ import annotations

from collections import defaultdict

from mintdb.connections.facts import Entry, Opening
from mintdb.connections.stack import Site

ALIKE = 5  # tests; as many as a pool that is told nothing keeps connections
SLOW = 0.05  # seconds; a search that takes less is no price for being sure

Making = tuple[Site, str, str]
"""A line, the file of tests, and the fixture or test function that led to it."""


class Habits:
    """What becomes of the connections of a line that is reached in one way, as far as somebody looked."""

    def __init__(self) -> None:
        self._unkept: defaultdict[Making, set[str]] = defaultdict(set)  # tests, by what nothing kept in them
        self._kept: set[Site] = set()
        self._last_search = 0.0  # seconds

    def note_search(self, seconds: float) -> None:
        """A search has taken so long."""
        self._last_search = seconds

    def learn(self, entry: Entry, *, is_kept: bool) -> None:
        """Somebody has looked for what keeps a connection, its pool or its thread."""
        making, opening = _find_making(entry), _find_opening(entry)
        if making is None or opening is None:
            return
        line, *_ = making
        if is_kept:
            self._kept.add(line)
        else:
            self._unkept[making].add(opening.test or "")

    def is_never_kept(self, entry: Entry) -> bool:
        """Whether nothing kept what was made alike in several tests, nor ever what else its line made.

        It may be wrong of the next one: so nobody is accused of that. Never said where a search is quick, and of idle
        connections of pools alone: a pool opens another where one was closed that somebody keeps.
        """
        making = _find_making(entry)
        if self._last_search < SLOW or entry.owner is None or entry.taking is not None or making not in self._unkept:
            return False
        assert making is not None
        line, *_ = making
        return line not in self._kept and len(self._unkept[making]) >= ALIKE


def line_of(entry: Entry) -> Site | None:
    """The line that made its pool, or that opened it."""
    return entry.owner.site if entry.owner else entry.site


def _find_making(entry: Entry) -> Making | None:
    line, opening = line_of(entry), _find_opening(entry)
    if line is None or opening is None or not opening.test:
        return None
    function = opening.fixture or opening.test.partition("[")[0]
    # Fixtures of one name differ from file to file.
    return line, opening.test.partition("::")[0], function


def _find_opening(entry: Entry) -> Opening | None:
    return entry.owner.opening if entry.owner else entry.opening


habits = Habits()
"""Those of this process."""
