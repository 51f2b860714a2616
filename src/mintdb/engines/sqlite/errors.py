"""What can go wrong between mintdb and SQLite's files: one class for each remedy."""

from __future__ import annotations

from mintdb.engines.errors import LockTimeout as LockTimeout
from mintdb.errors import ServerError, SettingsError, TemplateError


class NotAFolder(SettingsError):
    """The URL names a file, where it should name a folder for mintdb's own files. Facts: path."""

    text = """\
{path} is not a folder: a SQLite url says where mintdb may put its own files
  mintdb never writes to a database that it did not make
  1. take `url` out: the files then go to tmpfs
  2. to begin with what the file holds:  schema = "dump:{path}"
  3. to give the tests a file of that name:  name = "{path}" """.rstrip()


class FileNotOurs(ServerError):
    """The wanted file exists, and mintdb did not make it. Facts: path."""

    text = """\
{path} exists, and mintdb did not make it
  mintdb never touches a database that it did not make
  1. give the test database another name
  2. or remove the file yourself, if nobody needs it"""


class FixedFileForWorkers(SettingsError):
    """Several workers cannot share one file name. Facts: path, worker."""

    text = """\
worker {worker} cannot have the fixed file {path}: all workers would share one database
  1. run without -n
  2. or take `name` out of the settings: each worker then has a file of its own"""


class NoRoom(ServerError):
    """A file could not be written. Facts: path, why."""

    text = """\
mintdb cannot write {path}
  {why}
  1. make room or mend its permissions
  2. or name another folder:  url = "sqlite:////path/to/a/folder"  """.rstrip()


class FileInUse(TemplateError):
    """A template cannot be finished, because whoever filled it is in the middle of a transaction. Facts: path."""

    text = """\
the schema source has left a transaction open on {path}
  what it wrote there would be lost
  1. commit, and close the connection, at the end of the schema source"""
