"""What can go wrong on this machine, whatever the engine: folders, accounts, names."""

from __future__ import annotations

from mintdb.errors import ServerError, SettingsError, TemplateError


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


class FolderClosed(ServerError):
    """The account that runs the server may not pass through a folder. Facts: folder, mode, account, needed."""

    text = """\
mintdb cannot use the folder {needed}
  you are root, and the server runs as user {account}, to whom {folder} is closed (mode {mode})
  1. let others pass, not look:  chmod o+x {folder}
  2. or name another folder: MINTDB_CACHE_DIR=/path/with/1/GB
  3. or run the tests as an ordinary user"""


class NoRoomForState(ServerError):
    """There is not a byte left where a server's socket, port and locks have to be. Facts: folder, above."""

    text = """\
mintdb has no room for a server's state in {folder}
  it is some KB, and has to be there wherever the cache is: a socket's path must be short
  1. make room:  du -sh {above}/* | sort -h
  2. or give the container more: docker run --shm-size=2g"""


class NameBusy(ServerError):
    """Another live run holds the fixed database name. Facts: name, seconds, holder."""

    text = """\
database name {name!r} is taken{holder}
  waited     {seconds:g} s for it to end
  1. let the other run end, or end it
  2. or take `name` out of the settings: each run then has a name of its own"""


class PortInUse(ServerError):
    """The port that was exported before the server was started is taken. Facts: port."""

    text = """\
port {port}, which mintdb had already exported, is taken
  1. run the tests again: another port is chosen
  2. or end the program that listens there"""


class ServerGone(ServerError):
    """The server ended mintdb's own session: it was stopped, killed or restarted. Facts: url, reason."""

    is_final = True
    text = """\
the server at {url} went away under way
  it said    {reason}
  1. run the tests again: an embedded server is started anew, and what this run left is cleared up
  2. if it happens again, look at the server's log and at the machine's memory"""


class DatabaseNotOurs(ServerError):
    """A database of the wanted name exists, and mintdb did not make it. Facts: name, url."""

    text = """\
database {name!r} exists on {url}, and mintdb did not make it
  mintdb never touches a database that it did not make
  1. give the test database another name
  2. or drop it yourself, if nobody needs it"""


class LockTimeout(TemplateError):
    """Another process held a lock for too long. Facts: what, seconds, holder."""

    text = """\
waited {seconds:g} s for {what}{holder}
  1. see what that process is doing
  2. or end it: its lock is free at once"""


class FixedNameOnSharedServer(ServerError):
    """Several workers cannot share one database name on one server. Facts: url, worker."""

    text = """\
worker {worker} cannot have the fixed database name on {url}: all workers would share one database
  1. run without -n
  2. or take `name` out of the settings: each worker then has a database of its own
  3. or take `url` out: each worker then has an embedded server of its own"""


class ServerInUse(ServerError):
    """A server cannot be stopped, because live runs use it. Facts: port, runs."""

    text = """\
the server on port {port} is in use
  by         {runs}
  1. let them end
  2. or stop it all the same:  mintdb down --force"""


class NameTooLong(SettingsError):
    """A fixed database name that the engine cannot have. Facts: name, length, allowed."""

    text = """\
the database name {name!r} has {length}; {allowed}
  1. give `name` a shorter one"""
