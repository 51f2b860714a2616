"""What can be wrong with an engine or a session in a test: one class for each remedy."""

from __future__ import annotations

from typing import Any, ClassVar

from mintdb.errors import LeaseError, SettingsError

REALLY_HERE = 'let this test really commit:  @pytest.mark.mintdb(isolation="rewind")'
REALLY_ELSEWHERE = "run it where mintdb may create databases:  alter role … createdb, or take `url` away"


class DriverNotInstalled(SettingsError):
    """The driver of an engine is not installed. Facts: form, error, install."""

    text = """\
an engine for {form} needs a driver that cannot be imported
  it said    {error}
  1. pip install {install}
  2. or name another driver in the fixture {options}:  return {{"driver": "…"}}"""


class DriverOfTheOtherKind(SettingsError):
    """A blocking engine for an asynchronous driver, or the other way round.

    Facts: form, kind, wanted, other, example.
    """

    text = """\
{form} is {kind} driver, and {wanted} engine was asked for
  1. ask for the fixture {other}
  2. or name a driver of that kind in the fixture's options:  return {{"driver": "{example}"}}"""


class EngineElsewhere(SettingsError):
    """An engine of the application does not lead to the test's database. Facts: engine, created, ours, variable."""

    text = """\
an engine leads to {engine}, which is not the test's database
{created}  the test's  {ours}
  1. let the application read its URL from {variable}
  2. or import the application later: what it reads before mintdb exports the URL stays what it was"""


class SessionAfterTest(LeaseError):
    """A session was used after its test had ended. Facts: test."""

    text = """\
the session of {test} was used after that test had ended
  the database may be another test's by now
  1. ask for the session inside the test
  2. or let what runs longer (a thread, a task, a wider fixture) open sessions of its own"""


class Refused(LeaseError):
    """Base of what one shared connection cannot be right about. Fact of all: really, how it would be right.

    Each is kept until the test ends, since an application may make an error page of it, and the test see no more.
    """

    raised: ClassVar[list[Refused]] = []
    really: ClassVar[str] = REALLY_HERE  # what to do where the test's isolation is what is wrong

    def __init__(self, **facts: Any) -> None:  # Any: see MintdbError
        super().__init__(**{"really": self.really} | facts)
        self.raised.append(self)


class SecondConnection(Refused):
    """isolation = "transaction" has one connection, and something opens another. Facts: database, opener."""

    text = """\
a second connection to {database} under isolation = "transaction"
{opener}  it would see nothing of what the test wrote, and what it commits would stay
  1. let the application's sessions join:  mintdb_join(SessionLocal)
  2. or {really}"""


class ConnectionOutside(Refused):
    """A wider fixture connects, or what a test has left behind, where tests share one connection each.

    Facts: database, opener.
    """

    text = """\
a connection to {database} outside of a test's transaction
{opener}  what it commits would stay
  1. let a fixture of function scope do it, which asks for mintdb_join
  2. or {really}"""


class ConnectionLost(Refused):
    """The one connection was lost, and with it all that was written on it. Facts: database, how."""

    text = """\
{database} has lost its one connection under isolation = "transaction": what the test wrote is gone
  {how}
  1. let no statement be cut short (a task cancelled, a timeout): it costs the session its connection, here all of them
  2. or {really}"""


class TransactionEnded(Refused):
    """The outer transaction was not there any more when its test ended. Facts: database, test."""

    text = """\
the one transaction of {test} on {database} was ended in the test's midst: what it had written is committed, or gone
  1. look for a driver connection's own commit() or rollback(): a session's is what mintdb can see
  2. or {really}"""


class OutOfTurn(Refused):
    """Two sessions on one connection work at once, or do not end in the reverse order of their beginning.

    Facts: doing, first, second.
    """

    text = """\
a session {doing}: under isolation = "transaction" both share one connection
  began first  {first}
  began later  {second}
  1. let one end before the other goes on: concurrent requests need connections of their own
  2. or {really}"""


class CommitUndone(Refused):
    """A session's rollback would undo what another session did meanwhile. Facts: done, first, second."""

    text = """\
a session rolls back what another one has {done}: under isolation = "transaction" both share one connection
  rolls back   {first}
  {done:<12} {second}
  1. end the first session (commit, rollback or close) before the other one begins
  2. or {really}"""


class NeedsRealCommit(Refused):
    """A statement whose effect comes with a commit that never happens. Facts: statement, why."""

    text = """\
{statement} under isolation = "transaction": {why}
  1. {really}"""


class TwoKindsOfSession(Refused):
    """Blocking and asynchronous sessions cannot share one connection. Facts: database, opened, wanted."""

    text = """\
{database} has {opened} connection in this test, and {wanted} session wants to join it under isolation = "transaction"
  1. use sessions of one kind in this test
  2. or {really}"""


class NoUrlHere(SettingsError):
    """`mintdb.engine` was asked for where no test run leases the database and nothing gives it a URL. Facts: name."""

    text = """\
database {name!r} has no URL here: no test run leases it, and the settings give it none
  1. run the program under mintdb:  mintdb run -- CMD
  2. or give the database a URL in the environment's table:  url = "${{DATABASE_URL}}"
  3. see where each setting comes from:  mintdb env"""


class OtherOptions(SettingsError):
    """`mintdb.engine` was asked for with options that its one engine does not have. Facts: name, given, before."""

    text = """\
the engine of database {name!r} exists already, with other options
  given now  {given}
  at first   {before}
  1. give the options in one place, the first that asks; elsewhere:  mintdb.engine({name!r})"""
