"""Tell the same story once: however many tests leave connections open at one line, a person reads of it one time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mintdb.facts import dataclass

STORIES_SHOWN = 15  # what a person reads before scrolling on; a story is about five lines
TESTS_SHOWN = 3


@dataclass(frozen=True)
class Story:
    """What is said of one test's connections. Stories with the same `key` differ in little but the test."""

    text: str
    test: str = ""
    key: str = ""  # empty: like no other


def likeness(findings: Sequence[Mapping[str, Any]]) -> str:  # Any: JSON
    """The key of a story: which lines left what open."""
    return "; ".join(sorted({f"{found['kind']} {found.get('place')} {found.get('pool_place')}" for found in findings}))


def tell(stories: Sequence[Story]) -> Iterator[str]:
    """The text of each different story, those of the most tests first."""
    groups = sorted(_grouped(stories), key=len, reverse=True)
    for group in groups[:STORIES_SHOWN]:
        yield "\n" + group[0].text.rstrip("\n") + _likewise(group)
    if rest := groups[STORIES_SHOWN:]:
        tests = sum(map(len, rest))
        yield f"\n… and {tests} more report{'s' * (tests != 1)}, of other lines: --mintdb-report FILE has them all"


def _grouped(stories: Sequence[Story]) -> list[list[Story]]:
    groups: dict[object, list[Story]] = defaultdict(list)
    for number, story in enumerate(stories):
        groups[story.key or number].append(story)
    return list(groups.values())


def _likewise(group: Sequence[Story]) -> str:
    tests = [test for test in dict.fromkeys(story.test for story in group) if test != group[0].test]
    if not tests:
        return ""
    names = ", ".join(tests[:TESTS_SHOWN]) + ", …" * (len(tests) > TESTS_SHOWN)
    return f"\n  likewise {len(tests)} more test{'s' * (len(tests) != 1)}: {names}"
