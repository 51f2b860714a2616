"""Group what was found by the line that opened it: the question is which line to mend, not which test met it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mintdb.facts import dataclass

Found = Mapping[str, Any]  # Any: JSON; see connections.explain.Finding.to_plain, and its test

LABELS = {
    "pool": "pool_place",
    "state": "state",
    "thread": "thread",
    "task": "task",
    "fixture": "fixture",
    "process": "command_line",
    "waits for": "waits_for",
    "held by": "blockers",
    "holds": "holds",
    "last ran": "query",
}
UNKNOWN = "opened before it could be seen"


@dataclass(frozen=True)
class Group:
    """Connections that one line left open."""

    place: str
    kind: str
    found: Sequence[Found]

    @property
    def tests(self) -> list[str]:
        """The tests that met it, each once, in their order."""
        return list(dict.fromkeys(found["test"] for found in self.found))

    def story(self) -> list[tuple[str, str]]:
        """What is known of it: a label and at most three values for each fact."""
        known = [(label, self._values(fact)) for label, fact in LABELS.items()]
        return [(label, "; ".join(values[:3]) + "; …" * (len(values) > 3)) for label, values in known if values]

    def _values(self, fact: str) -> list[str]:
        """The different values of a fact, the first ones first; unknown ones are left out."""
        return list(dict.fromkeys(_shown(found[fact]) for found in self.found if found.get(fact) is not None))


def _shown(value: object) -> str:
    """A fact as people read it."""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def by_line(findings: Iterable[Found]) -> list[Group]:
    """A group for each line and kind of verdict, the largest first."""
    groups: dict[tuple[str, str], list[Found]] = defaultdict(list)
    for found in findings:
        groups[_place(found), found["kind"]].append(found)
    return sorted((Group(place, kind, found) for (place, kind), found in groups.items()), key=_size, reverse=True)


def _place(found: Found) -> str:
    return str(found.get("place") or found.get("command_line") or UNKNOWN)


def _size(group: Group) -> int:
    return len(group.found)
