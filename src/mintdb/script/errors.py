"""What a script says when the application asks something else, and what a double says of what it does not have."""

from __future__ import annotations

from mintdb.errors import MintdbError, SettingsError


class ScriptError(MintdbError, AssertionError):
    """The application and the script disagree: the test fails."""


class UnexpectedStatement(ScriptError):
    """A statement that is not in the script. Facts: statement, params, nearest, site."""

    text = """\
a statement was executed that is not in the script
  executed  {statement}
  with      {params}
  nearest   {nearest}
  asked at  {site}
  1. script it:  script.on({statement!r}).rows([…])"""


class WrongParameters(ScriptError):
    """A scripted statement was executed with other parameters. Facts: statement, asked, scripted, site."""

    text = """\
a scripted statement was executed with other parameters
  executed  {statement}
  with      {asked}
  scripted  {scripted}
  asked at  {site}"""


class NeverAsked(ScriptError):
    """Statements were scripted and never executed. Facts: count, statements."""

    text = """\
scripted and never executed: {count}
{statements}
  1. take out of the script what the application does not ask"""


class NotOfTheDriver(ScriptError, AttributeError):
    """Something was asked of a double that the driver's own class does not have. Facts: name, kind, nearest."""

    text = "{kind} has no attribute {name!r}, and so its double has none{nearest}"


class NotScripted(ScriptError, NotImplementedError):
    """Something was asked of a double that the driver has and the double does not. Facts: name, kind."""

    text = "the double of {kind} cannot do {name!r}: what it can do is in docs/how-to/scripted.md"


class BadAnswer(SettingsError):
    """An answer that cannot be given. Facts: what, why."""

    text = """\
cannot script {what}: {why}"""


class NotADriver(SettingsError):
    """A module that cannot be doubled. Facts: name, why."""

    text = """\
cannot make a double of {name!r}: {why}
  1. name a module with connect(), as PEP 249 has it: "snowflake.connector", "psycopg2", "sqlite3"
  2. or name its classes:  mintdb.scripted({name!r}, connection=…, cursor=…)"""


class BadRecording(SettingsError):
    """A recording that cannot be read. Facts: file, line, why."""

    text = """\
cannot read the recording {file}, line {line}: {why}
  1. record it anew:  with mintdb.record({file!r}): …"""
