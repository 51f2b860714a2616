"""Every way in which a schema source fails, one class for each remedy; evolutions have theirs beside them."""

from __future__ import annotations

from mintdb.errors import SchemaError


class UnknownSourceError(SchemaError):
    """The setting begins with no known kind of source. Facts: setting, kind, nearest, known."""

    text = """\
schema source {setting!r} is not known: there is no {kind!r}
  1. did you mean {nearest!r}?
  2. known: {known}"""


class PathMissingError(SchemaError):
    """The file or folder of a source does not exist. Facts: setting, path."""

    text = """\
schema source {setting!r} was not found
  looked at {path}
  1. a relative path begins at the folder of the settings file"""


class EmptyFolderError(SchemaError):
    """The folder of a source holds no SQL files. Facts: setting, path."""

    text = """\
schema source {setting!r} has no *.sql files
  looked at {path}, not below it
  1. name a folder with files, or `schema = "none"` for an empty database"""


class EncodingError(SchemaError):
    """A SQL file is not UTF-8. Facts: file, line, byte, guess."""

    text = """\
{file}:{line} is not UTF-8: byte {byte}
  1. convert it:  iconv -f {guess} -t utf-8 {file}"""


class MetaCommandError(SchemaError):
    """A SQL file holds a command for psql itself. Facts: file, line, command."""

    text = """\
{file}:{line} has the psql command {command}, which the server does not know
  1. put its effect into SQL; a folder's files run in order, so \\i is not needed"""


class CopyLineError(SchemaError):
    """Something follows COPY … FROM stdin in its own line. Facts: file, line."""

    text = """\
{file}:{line} goes on after COPY … FROM stdin
  1. begin the data in the next line, and end it with a line of \\."""


class StatementError(SchemaError):
    """The server refused a statement of a SQL file. Facts: file, line, at, message, code, statement."""

    text = """\
{file}:{line} failed: {message}
  at line {at}, SQLSTATE {code}
{statement}"""


class FileStatementError(SchemaError):
    """SQLite, MariaDB or MySQL refused a statement of a SQL file or an evolution.

    Facts: file, line, message, code, statement.
    """

    text = """\
{file}:{line} failed: {message}
  {code}
{statement}"""


class OtherDatabaseError(SchemaError):
    """A SQL file would lead to another database than the one that is being built. Facts: file, line, statement."""

    text = """\
{file}:{line} chooses, creates or drops a database
{statement}
  1. take the statement out: mintdb has made the database, and the file is run in it"""


class DotCommandError(SchemaError):
    """A SQL file holds a command for the sqlite3 shell itself. Facts: file, line, command."""

    text = """\
{file}:{line} has the sqlite3 shell's command {command}, which SQLite does not know
  1. put its effect into SQL; a folder's files run in order, so .read is not needed"""


class DamagedFileError(SchemaError):
    """A SQLite file cannot be read, or is damaged. Facts: setting, path, message."""

    text = """\
schema source {setting!r} is a SQLite file that cannot be used: {message}
  looked at {path}
  1. what can be saved of it:  sqlite3 {path} .recover > saved.sql"""


class OpenTransactionError(SchemaError):
    """A SQL file ends in the middle of a transaction. Facts: file, line."""

    text = """\
{file}:{line} begins a transaction that the file never ends, so all of it would be lost
  1. add COMMIT, or leave out BEGIN"""


class SourceNameError(SchemaError):
    """A setting does not name a module and an object in it. Facts: setting, form."""

    text = """\
schema source {setting!r} names no module and object
  1. write it as {form}"""


class ModuleMissingError(SchemaError):
    """The module of a source, or one above it, does not exist. Facts: setting, module, root."""

    text = """\
schema source {setting!r}: there is no module {module!r}
  looked below {root} and on sys.path
  1. is it importable from there?  python -c 'import {module}'"""


class ModuleFailedError(SchemaError):
    """The module of a source raised while it was imported. Facts: setting, module, error, where."""

    text = """\
schema source {setting!r}: importing {module!r} failed
  {error}
  {where}"""


class AttributeMissingError(SchemaError):
    """The module of a source has no such object. Facts: setting, module, name, nearest."""

    text = """\
schema source {setting!r}: {module!r} has no {name!r}
  1. nearest: {nearest}"""


class NotCallableError(SchemaError):
    """A `python:` source names something that cannot be called. Facts: setting, kind."""

    text = """\
schema source {setting!r} is {kind}, which cannot be called
  1. name a function that takes the database's URL, or nothing"""


class NotASourceError(SchemaError):
    """A `source:` names something that does not fulfil the protocol of a schema source. Facts: setting, why."""

    text = """\
schema source {setting!r} is none: {why}
  1. give it  fingerprint(), an iterable of bytes,  and  build(database), which gets the empty database's address"""


class UnreadableFileError(SchemaError):
    """A file of a source is there, but cannot be read. Facts: file, reason."""

    text = """\
{file} cannot be read: {reason}
  1. let the user who runs the tests read it"""


class ArgumentsError(SchemaError):
    """A `python:` source wants more than a URL. Facts: setting, signature."""

    text = """\
schema source {setting!r} takes {signature}, but gets one argument at most: the database's URL
  1. give the others defaults, or wrap it"""


class CallFailedError(SchemaError):
    """A `python:` source raised. Facts: setting, error, where."""

    text = """\
schema source {setting!r} failed
  {error}
  {where}"""


class TooEarlyError(SchemaError):
    """A `python:` source asked for the database that tests get, and that its template is for. Facts: as the other's."""

    text = """\
schema source {setting!r} asked for the database that tests get, which is made from what it builds
  {error}
  {where}
  what was made at import, an engine say, leads there: while the template is built, DATABASE_URL leads to it
  1. let the function take the URL, and connect by it:  def create(url): …
  2. or make in the function what connects:  create_engine(os.environ["DATABASE_URL"])"""


class LibraryMissingError(SchemaError):
    """A kind of source needs a library that is not installed. Facts: setting, library, extra."""

    text = """\
schema source {setting!r} needs {library}, which is not installed
  1. pip install 'mintdb[{extra}]'"""


class NotMetadataError(SchemaError):
    """A `metadata:` source names something else. Facts: setting, kind."""

    text = """\
schema source {setting!r} is {kind}, not a SQLAlchemy MetaData
  1. name the MetaData, or what has it as `.metadata`: a declarative base, Flask-SQLAlchemy's db, SQLModel"""


class EmptyMetadataError(SchemaError):
    """A MetaData has no tables. Facts: setting, module."""

    text = """\
schema source {setting!r} has no tables
  the models register when their modules are imported, and importing {module!r} imported none
  1. import them there, or name a module that does"""


class CreateAllError(SchemaError):
    """The server refused what `create_all` sent. Facts: setting, message, code, statement."""

    text = """\
schema source {setting!r}: create_all failed: {message}
  {code}
{statement}"""


class ScriptsMissingError(SchemaError):
    """An alembic.ini names no folder with an env.py. Facts: setting, path."""

    text = """\
schema source {setting!r} has no migrations: no env.py in script_location
  looked in {path}
  1. a relative script_location begins at the folder of the ini, as does %(here)s"""


class SeveralHeadsError(SchemaError):
    """The migrations end in several heads. Facts: setting, heads, first."""

    text = """\
schema source {setting!r} has several heads: {heads}
  1. merge them:  alembic merge heads
  2. or run them all with @heads, or one with @{first}"""


class RevisionMissingError(SchemaError):
    """The setting names a revision that is not there. Facts: setting, revision, heads."""

    text = """\
schema source {setting!r} has no revision {revision!r}
  heads: {heads}
  1. list all:  alembic history"""


class MigrationFailedError(SchemaError):
    """A migration, or env.py, raised. Facts: setting, error, where."""

    text = """\
schema source {setting!r} failed
  {error}
  {where}"""


class MigrationElsewhereError(SchemaError):
    """env.py would have migrated another database; it was not let. Facts: setting, database, where."""

    text = """\
schema source {setting!r} connects to another database, {database}; nothing was done there
  {where}
  1. take the URL from config.get_main_option("sqlalchemy.url")
  2. or from a variable that is set as `export`"""


class MigratedNothingError(SchemaError):
    """env.py ran without an error, but the database is still empty. Facts: setting."""

    text = """\
schema source {setting!r} left the database empty
  1. does env.py run migrations online? mintdb runs no --sql scripts
  2. does it connect to the URL in sqlalchemy.url?"""


class RestoreFailedError(SchemaError):
    """`pg_restore` failed. Facts: setting, message."""

    text = """\
schema source {setting!r} could not be restored
{message}"""


class NewerDumpError(SchemaError):
    """A dump comes from a newer server than it is restored to, and failed. Facts: setting, dumped, server, message."""

    text = """\
schema source {setting!r} was dumped from PostgreSQL {dumped}, and this server is {server}
{message}
  1. use a server of that version, or
  2. dump again with the pg_dump of the older one"""


class NoDumpError(SchemaError):
    """A folder or file is no dump. Facts: setting, path."""

    text = """\
schema source {setting!r} is no dump
  looked at {path}
  1. pg_dump writes one: --format plain, custom, tar or directory"""


class DjangoNotConfiguredError(SchemaError):
    """Django's settings cannot be found. Facts: setting, error."""

    text = """\
schema source {setting!r} needs Django's settings
  it said    {error}
  1. name them:  export DJANGO_SETTINGS_MODULE=project.settings"""


class DjangoAliasMissingError(SchemaError):
    """There is no such alias in DATABASES. Facts: setting, alias, known."""

    text = """\
schema source {setting!r}: DATABASES has no alias {alias!r}
  1. it has {known}"""


class DjangoMigrationFailedError(SchemaError):
    """A migration, or what runs after all of them, raised. Facts: setting, migration, error, where, statement."""

    text = """\
{migration} failed: {error}
  at {where}{statement}
  1. mend it, and run the tests again: nothing was kept of this attempt"""


class ExtensionMissingError(SchemaError):
    """A PostgreSQL extension that the server does not have. Facts: extension, nearest, version, known."""

    text = """\
the PostgreSQL {version} server has no extension {extension!r}{nearest}
  it has     {known}
  1. install PostgreSQL with it from your system's packages:  MINTDB_BINARIES=/usr/lib/postgresql/{version}/bin names it
  2. or name a server that has it:  --mintdb-url postgresql://user:password@host/database"""
