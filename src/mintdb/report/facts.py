"""What a run leaves behind to be read: plain facts that come from any number of processes and fit into JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, Self

from mintdb import clock
from mintdb.contract import Restored
from mintdb.facts import dataclass

FORMAT = 1  # of the JSON file; a number that grows when a reader of an older one would misunderstand


@dataclass(frozen=True)
class Tested:
    """One test's lease of one database."""

    test: str
    worker: str
    database: str  # the configured name, or the database itself where mintdb only watched
    began: float  # seconds since the epoch
    seconds: float  # from the beginning of the lease to the end of the put-back
    way: str  # how it was put back: a word of contract.Way
    put_back: float  # seconds
    opened: int  # connections
    peak: int  # most of them open at once
    reason: str | None = None  # why it was a swap
    findings: Sequence[Mapping[str, Any]] = ()  # connections that somebody has to mend  # Any: JSON

    @classmethod
    def of(cls, test: str, worker: str, database: str, began: float, restored: Restored) -> Self:
        """What became of a lease that began at `began` and has ended now."""
        connections = restored.connections
        return cls(
            test,
            worker,
            database,
            began,
            clock.wall() - began,
            str(restored.way),
            restored.seconds,
            connections.opened,
            connections.peak,
            restored.reason,
            connections.findings,
        )


@dataclass(frozen=True)
class Worker:
    """One process of the run."""

    name: str
    process: int
    opened: int  # connections, to whatever database
    peak: int  # most of them open at once


@dataclass(frozen=True)
class RunReport:
    """Everything that is known of a run when it has ended."""

    project: str
    command: str
    began: float  # seconds since the epoch
    seconds: float
    tests: Sequence[Tested] = ()
    workers: Sequence[Worker] = ()
    sprawl: Sequence[Mapping[str, Any]] = ()  # Any: JSON
    notes: Sequence[str] = ()  # what the terminal said besides
    format: int = field(default=FORMAT)

    @property
    def findings(self) -> list[Mapping[str, Any]]:  # Any: JSON
        """Every connection that somebody has to mend, with its test."""
        return [{"test": tested.test, **finding} for tested in self.tests for finding in tested.findings]
