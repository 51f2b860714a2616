"""What can go wrong on this machine, whatever the engine: folders, accounts, names."""

from __future__ import annotations

from mintdb.errors import ServerError


class NoAccountToDropTo(ServerError):
    """Database servers refuse to run as root, and there is no other account. Facts: looked."""

    text = """\
a database server refuses to run as root, and there is no account to run it as
  looked for {looked}
  1. run the tests as an ordinary user
  2. or name an existing account: MINTDB_ACCOUNT=name
  3. or name a server: --mintdb-url URL"""


class FolderUnusable(ServerError):
    """A folder that mintdb needs cannot be written to. Facts: folder, why."""

    text = """\
mintdb cannot use the folder {folder}
  {why}
  1. make room or mend its permissions
  2. or name another folder: MINTDB_CACHE_DIR=/path/with/1/GB"""


class NameBusy(ServerError):
    """Another live run holds the fixed database name. Facts: name, seconds, holder."""

    text = """\
database name {name!r} is taken{holder}
  waited     {seconds:g} s for it to end
  1. let the other run end, or end it
  2. or take `name` out of the settings: each run then has a name of its own"""
