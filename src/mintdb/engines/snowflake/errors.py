"""What can go wrong with the emulated account, one subclass for each remedy."""

from __future__ import annotations

from mintdb.errors import LeaseError, ServerError, SettingsError


class EmulationMissing(ServerError):
    """A library of the extra `snowflake` cannot be imported. Facts: library."""

    text = """\
the engine snowflake needs {library}, which cannot be imported
  1. python -m pip install 'mintdb[snowflake]'"""


class UnsupportedVersions(ServerError):
    """The connector or fakesnow has a version that mintdb was not tried with. Facts: found, supported, why."""

    text = """\
the engine snowflake works with {supported}; found {found}
  {why}
  1. python -m pip install 'mintdb[snowflake]'"""


class NotHere(SettingsError):
    """A setting that the engine snowflake has no use for. Facts: setting, why."""

    text = """\
the engine snowflake cannot use the setting {setting!r}: {why}
  1. leave it out"""


class OnlyThisProcess(ServerError):
    """The emulated account was to be handed to another process. Facts: none."""

    text = """\
an emulated Snowflake account lives in the process that tests, and no other can reach it
  1. run the tests themselves: pytest, or python -m unittest, with  engine = "snowflake"  in the settings"""


class AnotherAccount(ServerError):
    """A test connects to two accounts, and one database is configured. Facts: first, second, site."""

    text = """\
the accounts {first!r} and {second!r} would be one and the same emulated account
  asked at {site}
  1. give the second one a database of its own:  [tool.mintdb.databases.{second}]  engine = "snowflake"
  2. or spell the account in one way"""


class ForkedAccount(LeaseError):
    """A forked child used its parent's emulated account. Facts: none."""

    text = """\
a forked child process cannot use its parent's emulated Snowflake account: DuckDB does not survive a fork
  1. use a thread, or let the child have a mint of its own"""


class NotEmulated(ServerError):
    """A statement or call that the emulation does not do, or would do wrongly. Facts: what, why."""

    text = """\
the emulated account does not do {what}: {why}
  1. test this statement with a double:  mintdb.scripted()
  2. docs/reference/snowflake.md lists what works"""
