"""What can go wrong between mintdb and a MariaDB or MySQL server: one class for each remedy."""

from __future__ import annotations

from importlib.util import find_spec

from mintdb.engines.errors import DatabaseNotOurs as DatabaseNotOurs
from mintdb.engines.errors import FixedNameOnSharedServer as FixedNameOnSharedServer
from mintdb.engines.errors import LockTimeout as LockTimeout
from mintdb.engines.errors import NameBusy as NameBusy
from mintdb.engines.errors import NameTooLong as NameTooLong
from mintdb.engines.errors import PortInUse as PortInUse
from mintdb.engines.errors import ServerGone as ServerGone
from mintdb.engines.errors import ServerInUse as ServerInUse
from mintdb.errors import ServerError, TemplateError


class BinariesNotFound(ServerError):
    """No programs of a MariaDB or MySQL server were found. Facts: looked."""

    text = """\
neither MariaDB's nor MySQL's server was found on this machine
  looked at  {looked}
  1. install it:  apt-get install mariadb-server   (mintdb uses the program only, never a service that runs)
  2. or name the folder that holds mariadbd or mysqld: MINTDB_BINARIES=/path/to/bin
  3. or name a server: --mintdb-url mysql://user:password@host/database"""


class DriverMissing(ServerError):
    """PyMySQL, through which mintdb talks to MariaDB and MySQL, cannot be imported. Facts: none."""

    text = """\
mintdb talks to MariaDB and MySQL through PyMySQL, which is not installed
  1. pip install 'mintdb[mysql]'"""


class ServerDidNotStart(ServerError):
    """The embedded server did not start. Facts: why, log, tail."""

    text = """\
the embedded server did not start: {why}
  the last lines of {log}:
{tail}
  1. if a line names an option: take it out of `server_settings`
  2. or name a server: --mintdb-url mysql://user:password@host/database"""


class ServerUnreachable(ServerError):
    """Nothing answers at the URL. Facts: url, reason."""

    text = """\
no MariaDB or MySQL server answers at {url}
  it said    {reason}
  1. start the server, or mend host and port in the URL
  2. or take the URL away: mintdb then runs a server of its own"""


class LoginRefused(ServerError):
    """The server refused the login. Facts: url, reason."""

    text = """\
the server refused the login of {url}
  it said    {reason}
  1. mend user and password in the URL
  2. or allow the login on the server:  create user …, grant …"""


class LoginNeedsCryptography(ServerError):
    """MySQL's usual login, over TCP without TLS, needs a package that is not installed. Facts: url."""

    text = """\
PyMySQL cannot log in to {url} without the package cryptography
  the login is one of caching_sha2_password, MySQL's default, and the server offers no TLS
  1. pip install 'pymysql[rsa]'
  2. or let the server offer TLS
  3. or take the URL away: mintdb then runs a server of its own"""


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


class PreparedInTheWay(ServerError):
    """What XA prepared holds locks in a database on somebody else's server. Facts: database, url, prepared, remedy."""

    is_final = True
    text = """\
{database} on {url} cannot be put back: something holds locks in it that outlives its session
  prepared   {prepared}
  mintdb rolls these back on a server of its own only: there they may be anybody's
  1. if it is what a test left:  {remedy}
  2. let the test that prepares a transaction end it:  xa commit …, or xa rollback …
  3. or take the URL away: mintdb then runs a server of its own"""


class CannotCopy(TemplateError):
    """An object of a database could not be made again in a clone. Facts: kind, name, reason."""

    text = """\
the {kind} {name!r} cannot be copied into a clone
  it said    {reason}
  1. mend its definition: it must be one that this account may create"""


def require_driver() -> None:
    """Raise DriverMissing where PyMySQL is not installed."""
    if find_spec("pymysql") is None:
        raise DriverMissing()


def require_short(name: str | None, *, limit: int) -> None:
    """Raise NameTooLong for a fixed name of more than `limit` characters."""
    if name and len(name) > limit:
        raise NameTooLong(name=name, length=f"{len(name)} characters", allowed=f"MariaDB and MySQL allow {limit}")
