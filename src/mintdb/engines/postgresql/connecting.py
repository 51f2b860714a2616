"""Sessions of mintdb's own on a PostgreSQL server: nobody's settings mislead them, and a refusal says what to do."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, LiteralString

from mintdb.address import Address, BadUrl
from mintdb.core import ours
from mintdb.engines.ports import HOST
from mintdb.engines.postgresql.errors import (
    DatabaseMissing,
    DriverMissing,
    LoginRefused,
    OwnLoginRefused,
    ServerUnreachable,
    TlsFailed,
)
from mintdb.errors import ServerError
from mintdb.variables import unmisled

if TYPE_CHECKING:
    import psycopg

OWN_ROLE = "mintdb"  # as whom mintdb logs in to a server of its own
OLDEST = 140000  # the first version whose DROP DATABASE … WITH (FORCE) and pg_stat views are all there, still supported
CONNECT_TIMEOUT = 10  # seconds, for each address that the host name has
APPLICATION = "mintdb"  # application_name of every session of ours begins with it

# Whatever the login, its database or the server has been told; one by one, for the first may be all there is time for.
UNDISTURBED: LiteralString = """
set statement_timeout = 0; set lock_timeout = 0; set idle_session_timeout = 0;
set idle_in_transaction_session_timeout = 0; set default_transaction_read_only = off;
set default_transaction_isolation = 'read committed'; set default_transaction_deferrable = off;
"""


def require_driver() -> None:
    """Raise DriverMissing where psycopg cannot be imported."""
    try:
        import psycopg  # noqa: F401  # whether it can be is the question
    except ImportError as error:
        raise DriverMissing(error=str(error).splitlines()[0]) from None


def connect(
    address: Address, *, application: str = APPLICATION, shown: Address | None = None, **options: object
) -> psycopg.Connection[Any]:
    """A session of ours, committing by itself, that a forked child will disown.

    Raises a ServerError, which names `shown` (default: `address`), the URL as the user knows it.
    """
    require_driver()
    import psycopg

    settings = {"connect_timeout": CONNECT_TIMEOUT, "application_name": application, **address.params, **options}
    try:
        with unmisled(embedded=address.host.startswith("/")):  # TLS and the like mean nothing to a socket
            connection = psycopg.connect(autocommit=True, **settings)  # type: ignore[arg-type]  # libpq's own parameters
    except psycopg.OperationalError as error:
        raise _explain(error, shown or address) from None
    except psycopg.ProgrammingError as error:  # an option that libpq does not know, of a newer one perhaps
        raise BadUrl(url=(shown or address).redacted, why=find_reason(str(error))) from None
    connection.prepare_threshold = 1
    ours.claim(connection)
    if connection.info.server_version >= OLDEST:
        connection.execute(UNDISTURBED)
    if is_own(address) and connection.info.parameter_status("is_superuser") == "off":
        connection.execute("set role none")  # before PostgreSQL 16 the login can give that up
    return connection


def may_be_back(address: Address) -> bool:
    """Whether waiting makes sense: an embedded server has its socket as long as it lives, and may start again."""
    if not is_own(address) or not address.host.startswith("/"):
        return True
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as knock:
        knock.connect(f"{address.host}/.s.PGSQL.{address.port}")
        return True
    return False


def _explain(error: psycopg.OperationalError, address: Address) -> ServerError:
    reason = find_reason(str(error)) or repr(error)
    if f'database "{address.database}" does not exist' in reason:
        return DatabaseMissing(url=shown(address), name=address.database)
    refused = ("authentication failed", "pg_hba.conf", "no password supplied", "role ")
    if any(word in reason for word in refused):
        if is_own(address):
            return OwnLoginRefused(port=address.port, reason=reason)
        return LoginRefused(url=shown(address), reason=reason)
    if any(word in reason for word in ("SSL", "certificate", "private key")):
        return TlsFailed(url=shown(address), reason=reason)
    return ServerUnreachable(url=shown(address), reason=reason)


def shown(address: Address) -> str:
    """The URL for messages, without what mintdb's own sessions begin with on an embedded server."""
    plain = replace(address, host=HOST, options=MappingProxyType({})) if is_own(address) else address
    return plain.redacted


def is_own(address: Address) -> bool:
    """Whether it leads to an embedded server: see own.own_address."""
    return address.user == OWN_ROLE and "-crole=" in address.options.get("options", "")


def find_reason(said: str) -> str:
    """The line of libpq's message that says why: what the server itself says, or else the first line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    for line in lines:
        if "FATAL:" in line:
            return line[line.index("FATAL:") :]
    return lines[0].removeprefix("connection failed: ") if lines else ""
