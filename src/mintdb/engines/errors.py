"""What can go wrong on this machine before any engine's server runs: folders and accounts."""

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
