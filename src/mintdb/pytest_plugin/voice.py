"""Tell while a run goes on what takes long and what is ready, once, though each of xdist's workers has a hand in it."""

from __future__ import annotations

import sys

import pytest

MAIN = "main"  # who is no worker


class Voice:
    """What a run says before its tests' results: on its own terminal, or by way of the controller of its workers."""

    def __init__(self, config: pytest.Config, worker: str) -> None:
        self._config = config
        self._worker = worker
        self._unsent: list[tuple[str, str, bool]] = []  # what a worker has to tell: see `ready`
        self._told: set[str] = set()  # the databases of which something was told

    def say(self, line: str) -> None:
        """Say what takes long. A controller would hear of it only when it is over, so a worker says it itself."""
        if self._worker != MAIN:
            print(f"mintdb: {line}", file=sys.__stderr__, flush=True)
        elif reporter := self._config.pluginmanager.get_plugin("terminalreporter"):
            reporter.ensure_newline()
            reporter.write_line(f"mintdb: {line}")

    def ready(self, alias: str, line: str, *, built: bool) -> None:
        """Say how a database came to be ready; `built`: its template was not there before."""
        if self._worker != MAIN:
            self._unsent.append((alias, line, built))
        else:
            self.say(line)

    def send(self, report: pytest.TestReport) -> None:
        """A worker's first report takes along what there is to tell: xdist sends its attributes."""
        if self._unsent:
            report.mintdb_ready, self._unsent = self._unsent, []  # type: ignore[attr-defined]  # ours

    def hear(self, report: pytest.TestReport) -> None:
        """Say what a worker has sent, unless another one has and this one only reused the template."""
        for alias, line, built in getattr(report, "mintdb_ready", ()) if self._worker == MAIN else ():
            if built or alias not in self._told:
                self._told.add(alias)
                self.say(line)
