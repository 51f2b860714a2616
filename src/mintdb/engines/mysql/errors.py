"""What can go wrong between mintdb and a MariaDB or MySQL server: one class for each remedy."""

from __future__ import annotations

from importlib.util import find_spec

from mintdb.engines.errors import NameBusy as NameBusy
from mintdb.errors import ServerError, SettingsError, TemplateError


class BinariesNotFound(ServerError):
    """No MariaDB server programs were found. Facts: looked."""

    text = """\
no MariaDB server was found on this machine
  looked at  {looked}
  1. install it:  apt-get install mariadb-server   (mintdb uses the program only, never a service that runs)
  2. or name the folder that holds mariadbd: MINTDB_BINARIES=/path/to/bin
  3. or name a server: --mintdb-url mysql://user:password@host/database"""


class DriverMissing(ServerError):
    """PyMySQL, through which mintdb talks to MariaDB and MySQL, cannot be imported. Facts: none."""

    text = """\
mintdb talks to MariaDB and MySQL through PyMySQL, which is not installed
  1. pip install 'mintdb[mysql]'"""


class NameTooLong(SettingsError):
    """A database name that MariaDB and MySQL cannot have. Facts: name, length, limit."""

    text = """\
the database name {name!r} has {length} characters; MariaDB and MySQL allow {limit}
  1. give `name` a shorter one"""


class ServerDidNotStart(ServerError):
    """The embedded server did not start. Facts: why, log, tail."""

    text = """\
the embedded MariaDB server did not start: {why}
  the last lines of {log}:
{tail}
  1. if a line names an option: take it out of `server_settings`
  2. or name a server: --mintdb-url mysql://user:password@host/database"""


class PortInUse(ServerError):
    """The port that was exported before the server was started is taken. Facts: port."""

    text = """\
port {port}, which mintdb had already exported, is taken
  1. run the tests again: another port is chosen
  2. or end the program that listens there"""


class ServerUnreachable(ServerError):
    """Nothing answers at the URL. Facts: url, reason."""

    text = """\
no MariaDB or MySQL server answers at {url}
  it said    {reason}
  1. start the server, or mend host and port in the URL
  2. or take the URL away: mintdb then runs a server of its own"""


class ServerGone(ServerError):
    """The server ended mintdb's own session: it was stopped, killed or restarted. Facts: url, reason."""

    text = """\
the server at {url} went away under way
  it said    {reason}
  1. run the tests again: an embedded server is started anew, and what this run left is cleared up
  2. if it happens again, look at the server's log and at the machine's memory"""


class LoginRefused(ServerError):
    """The server refused the login. Facts: url, reason."""

    text = """\
the server refused the login of {url}
  it said    {reason}
  1. mend user and password in the URL
  2. or allow the login on the server:  create user …, grant …"""


class ServerTooOld(ServerError):
    """The server's version is not supported. Facts: url, version, oldest."""

    text = """\
{url} is {version}; mintdb needs {oldest}
  1. name a newer server
  2. or take the URL away: mintdb then runs a server of its own"""


class PrivilegeMissing(ServerError):
    """The account may not create databases. Facts: url, account, reason."""

    text = """\
account {account} may not create databases on {url}
  it said    {reason}
  1. as an administrator:  grant all on `mint%`.* to {account}
     (a fixed `name` needs the same grant for that name)
  2. or take the URL away: mintdb then runs a server of its own"""


class LoggingForbids(ServerError):
    """The server writes a binary log and lets this account create no functions or triggers. Facts: url, reason."""

    text = """\
the server at {url} writes a binary log and lets this account create no functions, procedures or triggers
  it said    {reason}
  1. on a server that only tests use:  set global log_bin_trust_function_creators = 1
  2. or take the URL away: mintdb then runs a server of its own"""


class GaleraRefused(ServerError):
    """The server is a node of a Galera cluster. Facts: url."""

    text = """\
the server at {url} is a node of a Galera cluster
  mintdb knows who is alive by locks in the server, and those hold on one node only
  1. name a server that is no cluster
  2. or take the URL away: mintdb then runs a server of its own"""


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


class CannotCopy(TemplateError):
    """An object of a database could not be made again in a clone. Facts: kind, name, reason."""

    text = """\
the {kind} {name!r} cannot be copied into a clone
  it said    {reason}
  1. mend its definition: it must be one that this account may create"""


class NotMysql(ServerError):
    """The URL names another kind of database. Facts: url, engine."""

    text = """\
{url} is a {engine} URL, but the engine is mysql
  1. write  engine = "{engine}"  beside the url
  2. or mend the URL"""


class FixedNameOnSharedServer(ServerError):
    """Several workers cannot share one database name on one server. Facts: url, worker."""

    text = """\
worker {worker} cannot have the fixed database name on {url}: all workers would share one database
  1. run without -n
  2. or take `name` out of the settings: each worker then has a database of its own
  3. or take `url` out: each worker then has an embedded server of its own"""


def require_driver() -> None:
    """Raise DriverMissing where PyMySQL is not installed."""
    if find_spec("pymysql") is None:
        raise DriverMissing()


def require_short(name: str | None, *, limit: int) -> None:
    """Raise NameTooLong for a fixed name of more than `limit` characters."""
    if name and len(name) > limit:
        raise NameTooLong(name=name, length=len(name), limit=limit)
