"""Whatever a test did, the clone is as it was at its mark: random workloads, compared by a full logical dump."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import Phase, given, note, settings
from hypothesis import strategies as st
from rewind_workloads import CALM, STATEMENTS, TEMPLATE, dump, run, steps

sys.path.append(str(Path(__file__).parents[1] / "engines/postgresql/rewind"))
from benchmarks.private_server import embedded_bin, private_server, system_bin
from rewind_site import Clone, Site

FACTOR = int(os.environ.get("MINTDB_SOAK", "0") or 0) * 20 or 1
THOROUGH = settings(
    derandomize=FACTOR == 1,
    phases=[Phase.generate],
)


@pytest.fixture(scope="module", params=["18", "15"])
def site(request) -> Iterator[Site]:
    programs = embedded_bin() if request.param == "18" else system_bin(15)
    if programs is None:
        pytest.skip(f"no PostgreSQL {request.param} here")
    with private_server(programs) as server:
        yield Site(server)


@pytest.fixture(scope="module")
def template(site) -> str:
    return site.template(*TEMPLATE)


class House:
    """One clone for many workloads: what an earlier one left behind must show in a later one."""

    def __init__(self, site: Site, template: str, *, way: str) -> None:
        self.site, self.template, self.way = site, template, way
        self.rewinds = self.swaps = 0
        self.clone = Clone(site, template, with_reference=way != "local")

    def rebuild(self) -> None:
        self.clone.close()
        self.clone = Clone(self.site, self.template, with_reference=self.way != "local")

    def conninfo(self) -> str:
        return self.clone.site.server.conninfo(self.clone.name)

    def run(self, workload) -> object:
        return run(self.conninfo(), self.clone.name, workload)

    def dump(self, *, ordered: bool = True) -> dict[str, object]:
        return dump(self.conninfo(), ordered=ordered)

    def put_back(self) -> bool:
        """Put the clone back; tells whether that was a rewind."""
        if self.way == "sweep":
            self.clone.rewinder._bearings.near = -1  # any WAL at all is too much to read
        put = self.clone.put_back()
        note(f"{put} {self.clone.reasons[-1:]}")
        return put is not None

    def claim(self) -> None:
        """Put the clone back, and count what the claim is about."""
        if self.put_back():
            self.rewinds += 1
        else:
            self.swaps += 1


@pytest.fixture(scope="module", params=["wal", "sweep", "local"])
def house(request, site, template) -> Iterator[House]:
    house = House(site, template, way=request.param)
    yield house
    house.clone.close()
    assert house.rewinds >= house.swaps, "too few of the claims were about a rewind"


@contextmanager
def judged_alone(house: House) -> Iterator[None]:
    """What Hypothesis tries after a failure must not fail for what that one left behind."""
    try:
        yield
    except BaseException:
        house.rebuild()
        raise


def check(house: House, expected: dict[str, object]) -> None:
    now = house.dump()
    differs = {key for key in expected.keys() | now.keys() if expected.get(key) != now.get(key)}
    assert {key: (expected.get(key), now.get(key)) for key in differs} == {}


@settings(THOROUGH, max_examples=16 * FACTOR)
@given(workload=steps(CALM, longest=16))
def test_any_workload_is_undone_and_runs_again_to_the_same_results(house, workload):
    with judged_alone(house):
        expected = house.dump()
        first = house.run(workload)
        house.claim()
        check(house, expected)
        again = house.run(workload)
        house.claim()
        check(house, expected)
        assert again == first


@settings(THOROUGH, max_examples=6 * FACTOR)
@given(
    fixtures=st.lists(steps(CALM, longest=6), min_size=1, max_size=2),
    tests=st.lists(steps(STATEMENTS, longest=8), min_size=1, max_size=3),
)
def test_marks_stack(house, fixtures, tests):
    with judged_alone(house):
        states = [house.dump()]
        for fixture in fixtures:
            house.run(fixture)
            house.clone.push_mark()
            states.append(house.dump())
        while states:
            for workload in tests:
                house.run(workload)
                house.put_back()
                check(house, states[-1])
            states.pop()
            if states:
                house.clone.pop_mark()
                house.put_back()
                check(house, states[-1])
