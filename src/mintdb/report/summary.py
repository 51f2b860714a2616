"""What a run's put-backs came to, in one line, and who was still connected."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, field, replace
from statistics import median
from typing import Any

from mintdb import clock
from mintdb.connections.closing import collect
from mintdb.connections.explain import explain_sprawl
from mintdb.connections.finding import name_backends
from mintdb.connections.hooks import unseen
from mintdb.connections.ledger import ledger
from mintdb.connections.pools import pools
from mintdb.contract import Restored, Session, Told, Way
from mintdb.facts import dataclass
from mintdb.report.facts import Tested, Worker
from mintdb.report.stories import Story, tell
from mintdb.report.words import count_of, describe

REASONS_SHOWN = 5
PLACES_SHOWN = 5
HOW_NOT_TO_BE_ENDED = (
    "such a connection reconnects if a pool holds it; or let that test have a clone of its own: "
    ' @pytest.mark.mintdb(isolation="clone")'
)
HOW_NOT_TO_SWAP = (
    "a fixture that makes or drops the tables around each test costs that: name what makes them as the setting schema, "
    "and leave it out"
)
UNSEEN = (
    "connections of {driver} cannot be seen, or not all of them, and what they leave open is not told ({reason});"
    " another release of {driver}, or a newer one of mintdb, may help"
)
KEPT = (
    "open to the program's end, for something kept it on purpose, as far as mintdb can see (a global, a thread that"
    " runs on): {by_place}"
)
SCHEMA_CHANGED = "the schema was changed"
MANY = 3  # tests; fewer are about the schema itself
OR_A_CLONE = 'let that test have a clone of its own:  @pytest.mark.mintdb(isolation="clone")'
WORDS = {
    Way.UNTOUCHED: "wrote nothing",
    Way.REWIND: "rewound",
    Way.SWAP: "swapped",
    Way.DROP: "on a clone of its own",
    Way.KEPT: "not put back",
    Way.ROLLED_BACK: "rolled back",
}


@dataclass
class Summary:
    """Counted while the tests run; a worker sends it to the controller as plain data."""

    began: float = field(default_factory=clock.wall)  # seconds since the epoch
    ways: dict[str, int] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)  # of swaps
    worst: tuple[float, str] = (0.0, "")
    reports: list[Story] = field(default_factory=list)  # of connections left open, one for each test
    failures: list[Story] = field(default_factory=list)  # for which tests have failed: pytest shows them
    tests: list[Tested] = field(default_factory=list)
    workers: list[Worker] = field(default_factory=list)
    sprawl: list[dict[str, Any]] = field(default_factory=list)  # Any: JSON
    troubles: list[str] = field(default_factory=list)
    ended: list[tuple[str, Session]] = field(default_factory=list)  # test, session that its put-back ended
    cut_off: list[tuple[str, Session]] = field(default_factory=list)  # … that it could not end
    elsewhere: dict[str, str] = field(default_factory=dict)  # databases that mintdb did not make: what to say of each
    kept: list[tuple[str, str]] = field(default_factory=list)  # test, URL
    written: list[str] = field(default_factory=list)  # files with the report
    left_behind: list[Session] = field(default_factory=list)
    watched: str = "test"  # or "program"

    def note(self, tested: Tested, told: Sequence[Told], policy: str) -> None:
        """Keep what is known of one test, and what there is to say of its connections: under `error` by pytest."""
        self.tests.append(tested if policy != "ignore" else replace(tested, findings=()))
        if told and policy != "ignore":
            (self.reports if policy == "warn" else self.failures).append(Story(told, tested.test))

    def tell_after_all(self, test: str) -> None:
        """A failure of the test's is not shown: what it failed for is said at the end of the run."""
        self.reports += [story for story in self.failures if story.test == test]
        self.failures = [story for story in self.failures if story.test != test]

    def count(self, restored: Restored | None, test: str = "", *, port: int | None = None) -> None:
        """Count one put-back, on the server at that port of those that this process has connections to."""
        if restored is None:
            return
        _count(self.ways, str(restored.way))
        if restored.reason:
            _count(self.reasons, restored.reason)
        if restored.way is Way.SWAP or not restored.report:
            self.ended += [(test, _with_its_line(session, port)) for session in restored.ended]
        self.cut_off += [(test, session) for session in restored.cut_off]
        for note in restored.connections.notes:
            self._once(note)
        for outside in restored.outside:
            self._once(
                f"{outside} {'was created' if outside.startswith('database ') else 'were changed'} while"
                f" {test or 'a lease'} ran, by it or by somebody else on the server: what lies outside of the test's"
                " own database stays as it is"
            )
        for lost in restored.lost:
            self._once(
                f"{lost} of a wider fixture went when the database was swapped after {test or 'a lease'}: {OR_A_CLONE}"
            )
        if restored.horizon_held_by is not None:
            holder = _name_with_its_line(restored.horizon_held_by, port)
            self._once(f"{holder} keeps an old snapshot: tables that tests change grow meanwhile")
        self.seconds.append(restored.seconds)
        self.worst = max(self.worst, (restored.seconds, test))

    def _once(self, trouble: str) -> None:
        if trouble not in self.troubles:
            self.troubles.append(trouble)

    def to_json(self) -> str:
        """As a worker sends it: execnet knows no types but the simplest."""
        return json.dumps(asdict(self))

    def add(self, counted: str) -> None:
        """Add what a worker has sent."""
        plain = json.loads(counted)
        self.began = min(self.began, plain["began"])
        for counts, more in ((self.ways, plain["ways"]), (self.reasons, plain["reasons"])):
            for key, times in more.items():
                _count(counts, key, times)
        self.seconds += plain["seconds"]
        self.worst = max(self.worst, (plain["worst"][0], plain["worst"][1]))
        self.reports += [Story([Told(**told) for told in story["told"]], story["test"]) for story in plain["reports"]]
        self.tests += [Tested(**tested) for tested in plain["tests"]]
        self.workers += [Worker(**worker) for worker in plain["workers"]]
        self.sprawl += plain["sprawl"]
        for trouble in plain["troubles"]:
            self._once(trouble)
        self.ended += [(test, Session(**session)) for test, session in plain["ended"]]
        self.cut_off += [(test, Session(**session)) for test, session in plain["cut_off"]]
        self.elsewhere = plain["elsewhere"] | self.elsewhere
        self.kept += [(test, url) for test, url in plain["kept"]]
        self.left_behind += [Session(**session) for session in plain["left_behind"]]

    def tell_unseen(self) -> None:
        """Say which drivers are not where they are looked for: what they leave open is nobody's."""
        for driver, reason in unseen().items():
            self._once(UNSEEN.format(driver=driver, reason=reason))

    def tell_kept(self, places: Sequence[str]) -> None:
        """Say what a program has kept open to its end, for which nobody is accused."""
        if places:
            by_place = ", ".join(f"{times} x {place}" for place, times in Counter(places).most_common(PLACES_SHOWN))
            self._once(KEPT.format(by_place=by_place))

    def tell_sprawl(self, policy: str) -> None:
        """Add a report for each database that several pools of this process lead to."""
        if policy != "ignore" and pools.sprawl():
            collect()  # an app factory's engines are in cycles: they may be gone long since, and only not collected
            for found in pools.sprawl():
                owners = [(owner.kind, owner.site) for owner in found.owners]
                self.reports.append(Story([Told(explain_sprawl(found.url, owners, keep_idle=pools.keep_idle))]))
                places = [f"{site}, {kind}" if site else kind for kind, site in owners]
                self.sprawl.append({"url": found.url, "places": places})

    def lines(self) -> Iterator[str]:
        """What a person reads at the end; nothing if nothing was leased."""
        yield from (f"mintdb: {note}" for note in self.notes())
        yield from tell(self.reports)
        for test, url in self.kept:
            yield f"mintdb: kept the database of {test}:  psql '{url}'"
        for file in self.written:
            yield f"mintdb: the report is in {file}"

    def notes(self) -> Iterator[str]:
        """What there is to say besides the reports of connections, a line each."""
        yield from self.troubles
        if not self.seconds:
            yield from self._watched()
            return
        yield self._counts()
        for reason, times in Counter(self.reasons).most_common(REASONS_SHOWN):
            yield f"swapped {times} x because {reason}"
        if self._is_made_for_each_test():
            yield HOW_NOT_TO_SWAP
        for test, session in self.ended[:REASONS_SHOWN]:
            yield f"putting the database back after {test} had to end {describe(session)}"
        for test, session in self.cut_off[:REASONS_SHOWN]:
            yield f"{describe(session)}, could not be ended after {test}: it goes on with the old file"
        if any(session.opened for _, session in self.ended):
            yield HOW_NOT_TO_BE_ENDED
        yield from list(self.elsewhere.values())[:REASONS_SHOWN]
        for session in self.left_behind:
            yield f"still connected at the end: {describe(session)}"

    def _is_made_for_each_test(self) -> bool:
        """Whether at least half of the tests, and a few, leave the schema changed: they make or drop it themselves."""
        changed = sum(times for reason, times in self.reasons.items() if reason.startswith(SCHEMA_CHANGED))
        return changed >= MANY and changed * 2 >= len(self.seconds)

    def _watched(self) -> Iterator[str]:
        """Nothing was leased, and connections were only watched."""
        if self.tests:
            opened = sum(tested.opened for tested in self.tests)
            peak = max(tested.peak for tested in self.tests)
            what = count_of(self.watched, len(self.tests))
            yield f"watched {what}, which opened {count_of('connection', opened)}, at most {peak} at once"

    def _counts(self) -> str:
        counts = ", ".join(f"{self.ways[way]} {WORDS[way]}" for way in Way if way in self.ways)
        worst, test = self.worst
        return (
            f"{len(self.seconds)} put back: {counts}; median {median(self.seconds) * 1000:.1f} ms,"
            f" worst {worst * 1000:.0f} ms" + (f" ({test})" if test else "")
        )


def _with_its_line(session: Session, port: int | None) -> Session:
    """The same, with the line that opened it, if this process did."""
    found = [
        entry.site
        for entry in ledger.open_entries(port=port)
        if entry.backend_pid == session.backend_pid and entry.site
    ]
    return replace(session, opened=str(found[0])) if found else session


def _name_with_its_line(backend_pid: int, port: int | None) -> str:
    [name] = name_backends([backend_pid], ledger.open_entries(port=port))
    return name


def _count(counts: dict[str, int], key: str, times: int = 1) -> None:
    counts[key] = counts.get(key, 0) + times
