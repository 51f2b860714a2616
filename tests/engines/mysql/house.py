"""One clone on which random workloads are worked, each put back and compared by all that a test could see."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import Phase, note, settings
from tests.engines.mysql.mariadb import dump, new_name
from tests.engines.mysql.workloads import work

from mintdb.contract import Way
from mintdb.engines.mysql.clone import MysqlClone
from mintdb.engines.mysql.server import MysqlServer

FACTOR = int(os.environ.get("MINTDB_SOAK", "0") or 0) * 20 or 1
THOROUGH = settings(
    derandomize=FACTOR == 1,
    phases=[Phase.generate],
)


WAITED = {1205, 1213}  # whom a lock meets depends on which deleted rows InnoDB has purged by then


class House:
    """One clone for many workloads: what an earlier one left behind must show in a later one."""

    def __init__(self, server: MysqlServer, template: str) -> None:
        self._server, self._template = server, template
        self.ways: list[Way] = []
        self.clone: MysqlClone = server.clone(template, new_name(server))
        self.expected = dump(self.clone.address)

    def rebuild(self) -> None:
        self.clone.drop()
        self.clone = self._server.clone(self._template, new_name(self._server))

    def work(self, workload: list[tuple[int, str]], *, leave_open: bool) -> Any:
        return work(self.clone.address, workload, leave_open=leave_open)

    def work_twice(self, workload: list[tuple[int, str]], *, leave_open: bool) -> None:
        """A workload that was put back runs again to the same results."""
        first, _held = self.work(workload, leave_open=leave_open)
        self.put_back(self.expected)
        again, _held = self.work(workload, leave_open=leave_open)
        self.put_back(self.expected)
        if not any(map(waited, (*first, *again))):
            assert again == first

    def work_once(self, workload: list[tuple[int, str]], *, leave_open: bool) -> None:
        _, _held = self.work(workload, leave_open=leave_open)
        self.put_back(self.expected)

    def stack(self, fixtures: list[list[tuple[int, str]]], tests: list[list[tuple[int, str]]]) -> None:
        """A mark upon what each fixture has done; tests return to the newest, which goes, and so on down."""
        states = [self.expected]
        try:
            for fixture in fixtures:
                self.work(fixture, leave_open=False)
                self.clone.push_mark()
                states.append(dump(self.clone.address))
            while states:
                for workload in tests:
                    self.work(workload, leave_open=False)
                    self.put_back(states[-1])
                states.pop()
                if states:
                    self.clone.drop_mark(len(states))
                    self.put_back(states[-1])
        except BaseException:
            self.rebuild()
            raise

    def put_back(self, expected: dict[str, object]) -> None:
        restored = self.clone.restore()
        note(str(restored))
        self.ways.append(restored.way)
        self.check(expected)

    def check(self, expected: dict[str, object]) -> None:
        now = dump(self.clone.address)
        differs = {key for key in expected.keys() | now.keys() if expected.get(key) != now.get(key)}
        if differs:
            self.rebuild()  # what is tried after a failure must not fail for what that one left behind
        assert {key: (expected.get(key), now.get(key)) for key in differs} == {}


def waited(result: object) -> bool:
    """Whether a statement gave up on a lock; OPTIMIZE tells it in a row."""
    return result in WAITED if isinstance(result, int) else "Lock wait timeout exceeded" in str(result)
