"""What is wrong with a project's databases or tests, said before anything is touched: one class for each remedy."""

from __future__ import annotations

from mintdb.errors import LeaseError, ServerError, SettingsError


class TestNameIsRealName(SettingsError):
    """A test database would have the name of a real one. Facts: alias, name, owner."""

    __test__ = False  # it is no test class, whatever its name begins with

    text = """\
the test database of alias {alias!r} would be {name!r}, which is the real database of alias {owner!r}
  1. give it another name in DATABASES:  "TEST": {{"NAME": "test_{name}"}}"""


class StaleDatabaseHeld(ServerError):
    """A test database of an earlier run is to be replaced, and somebody is connected to it. Facts: name, holders."""

    text = """\
cannot replace the test database {name!r} of an earlier run: it is in use
{holders}
  1. end the program that is connected, or wait for it, and run the tests again
  2. or give this run another name in DATABASES:  "TEST": {{"NAME": "…"}}"""


class ConnectionsLeftOpen(LeaseError):
    """A test left connections open, and `leaks` is "error". Facts: report."""

    text = "{report}"
