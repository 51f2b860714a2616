"""Tell the same story once: however many tests leave connections open at one line, a person reads of it one time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field
from itertools import chain

from mintdb.connections.explain import GROUPS_SHOWN, compose
from mintdb.contract import Told
from mintdb.facts import dataclass

STORIES_SHOWN = 15  # what a person reads before scrolling on; a story is about five lines
TESTS_SHOWN = 3


@dataclass(frozen=True)
class Story:
    """What is said of one test's connections."""

    told: Sequence[Told]
    test: str = ""

    @property
    def key(self) -> object:
        """Stories with the same key differ in little but the test; None: like no other."""
        keys = frozenset(told.key for told in self.told)
        return None if "" in keys else keys


@dataclass
class _Telling:
    """A story that is told for the first time, and the tests of which there is nothing new to tell."""

    story: Story
    news: Sequence[Told]
    likewise: list[str] = field(default_factory=list)

    def text(self) -> str:
        known = sum(told.number for told in self.story.told if told not in self.news)
        lines = [compose(self.news).rstrip("\n")]
        if known:
            lines.append(f"  … and {known:,} more of lines that are told above")
        if tests := [test for test in dict.fromkeys(self.likewise) if test != self.story.test]:
            names = ", ".join(tests[:TESTS_SHOWN]) + ", …" * (len(tests) > TESTS_SHOWN)
            lines.append(f"  likewise {len(tests)} more test{'s' * (len(tests) != 1)}: {names}")
        return "\n".join(lines)


def tell(stories: Sequence[Story]) -> Iterator[str]:
    """The text of each different story, those of the most tests first; what has been told is not told again."""
    groups = sorted(_grouped(stories), key=len, reverse=True)
    tellings = _tellings(chain.from_iterable(groups))
    for telling in tellings[:STORIES_SHOWN]:
        yield "\n" + telling.text()
    if rest := tellings[STORIES_SHOWN:]:
        tests = sum(1 + len(telling.likewise) for telling in rest)
        yield f"\n… and {tests} more report{'s' * (tests != 1)}, of other lines: --mintdb-report FILE has them all"


def _tellings(stories: Iterable[Story]) -> list[_Telling]:
    tellings: list[_Telling] = []
    known: dict[str, _Telling] = {}
    for story in stories:
        news = [told for told in story.told if told.key not in known]
        if news:
            tellings.append(_Telling(story, news))
            known |= {told.key: tellings[-1] for told in _shown(news) if told.key}
        else:
            known[story.told[0].key].likewise.append(story.test)
    return tellings


def _shown(news: Iterable[Told]) -> Iterator[Told]:
    """What `compose` does not leave out."""
    by_title: dict[str, list[Told]] = defaultdict(list)
    for told in news:
        by_title[told.title].append(told)
    return chain.from_iterable(several[:GROUPS_SHOWN] for several in by_title.values())


def _grouped(stories: Sequence[Story]) -> list[list[Story]]:
    groups: dict[object, list[Story]] = defaultdict(list)
    for number, story in enumerate(stories):
        groups[story.key or number].append(story)
    return list(groups.values())
