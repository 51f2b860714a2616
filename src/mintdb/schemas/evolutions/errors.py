"""What can be wrong with evolutions: their files and statements, a database's state, the table that has it."""

from __future__ import annotations

from mintdb.errors import SchemaError, ServerError, SettingsError


class NoEvolutionsError(SchemaError):
    """A folder has no first evolution. Facts: setting, path."""

    text = """\
schema source {setting!r} has no evolutions: there is no 1.sql
  looked at {path}"""


class SubstitutionError(SchemaError):
    """An evolution wants a value from Play's configuration. Facts: place, line, name."""

    text = """\
{place}:{line} wants the value of {name!r}, which nobody has given
  1. give it to mintdb.evolutions as one of `substitutions`, or on the command line:  --define {name}=VALUE
  2. a schema source has no values: write it out there
  3. or escape it with ! where it is meant literally"""


class EvolutionError(SchemaError):
    """The server refused a statement of an evolution. Facts: file, line, revision, message, code, statement."""

    text = """\
{file}:{line} failed: {message}
  in the ups of evolution {revision}, SQLSTATE {code}
{statement}"""


class EvolutionSyntaxError(EvolutionError):
    """A statement of an evolution is none, most often because a semicolon cut it in two. Facts: as EvolutionError's."""

    text = """\
{file}:{line} failed: {message}
  in the ups of evolution {revision}, SQLSTATE {code}
{statement}
  1. write a semicolon inside a function or a string twice: Play ends a statement at every other one"""


class InconsistentDatabase(SchemaError):
    """An evolution is half way: it failed, or its process died. Facts: database, revision, state, problem, options."""

    text = """\
Database {database!r} is in an inconsistent state!
  An evolution has not been applied properly. Please check the problem and resolve it manually before marking it as \
resolved.
  evolution {revision} is {state}: {problem}
  1. finish by hand what it began;  then  mintdb evolutions resolve {revision}{options}
  2. or begin anew, where mintdb made the database:  mintdb evolutions clean --drop{options}"""


class EvolutionFailed(InconsistentDatabase):
    """A statement of an evolution was refused, and the evolution is half way now.

    Facts: database, place, line, direction, revision, state, message, code, statement, options.
    """

    text = """\
Database {database!r} is in an inconsistent state!
  {place}:{line} failed: {message}
  in the {direction}s of evolution {revision}, which is {state} now; SQLSTATE {code}
{statement}
  1. finish by hand what it began;  then  mintdb evolutions resolve {revision}{options}
  2. or begin anew, where mintdb made the database:  mintdb evolutions clean --drop{options}"""


class EvolutionUndone(SchemaError):
    """A statement was refused, and all that was run with it was rolled back.

    Facts: database, place, line, direction, revision, message, code, statement.
    """

    text = """\
evolutions of database {database!r} were rolled back
  {place}:{line} failed: {message}
  in the {direction}s of evolution {revision}, SQLSTATE {code}
{statement}"""


class NothingToResolve(SchemaError):
    """No evolution of that number is half way. Facts: database, revision, options."""

    text = """\
evolution {revision} of database {database!r} is not half way: there is nothing to resolve
  1. see what is to be done:  mintdb evolutions plan{options}"""


class EvolutionsBusy(ServerError):
    """Another process works on the evolutions of this database. Facts: database, holder, timeout."""

    text = """\
the evolutions of database {database!r} are in the hands of another process
  {holder}; waited {timeout} s
  1. give each run, and each worker, a database of its own: mintdb does, where no url is given
  2. or wait longer:  lock_timeout=…"""


class EvolutionsUnreachable(ServerError):
    """The database of evolutions cannot be connected to. Facts: url, reason."""

    text = """\
cannot connect to {url}
  {reason}"""


class EngineWithoutEvolutions(SchemaError):
    """Evolutions are not run on this engine. Facts: engine, known."""

    text = "evolutions cannot be run on {engine}; they can on {known}"


class EvolutionsTableRefused(SchemaError):
    """The database refused what is written down in the table of evolutions. Facts: table, message, code."""

    text = """\
the table of evolutions, {table}, cannot be used: {message}
  SQLSTATE {code}
  1. may this login make and write tables there?
  2. does the application apply its evolutions at the same moment?"""


class BadEvolutionsTable(SettingsError):
    """A name for the table of evolutions that could not stand unquoted. Facts: name."""

    text = """\
{name!r} cannot name the table of evolutions
  1. write letters, digits and underscores, as Play's configuration has them"""
