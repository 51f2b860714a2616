"""The environment variables by which a command of any language finds its database."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from mintdb.address import Address, UnknownUrlForm

# https://www.postgresql.org/docs/current/libpq-envars.html: libpq's parameter -> the variable with the same meaning
LIBPQ = {
    "hostaddr": "PGHOSTADDR",
    "passfile": "PGPASSFILE",
    "service": "PGSERVICE",
    "options": "PGOPTIONS",
    "application_name": "PGAPPNAME",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "client_encoding": "PGCLIENTENCODING",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
    "load_balance_hosts": "PGLOADBALANCEHOSTS",
    "require_auth": "PGREQUIREAUTH",
    "requirepeer": "PGREQUIREPEER",
    "channel_binding": "PGCHANNELBINDING",
    "sslmode": "PGSSLMODE",
    "sslnegotiation": "PGSSLNEGOTIATION",
    "sslcompression": "PGSSLCOMPRESSION",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslcertmode": "PGSSLCERTMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcrl": "PGSSLCRL",
    "sslcrldir": "PGSSLCRLDIR",
    "sslsni": "PGSSLSNI",
    "ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION",
    "ssl_max_protocol_version": "PGSSLMAXPROTOCOLVERSION",
    "min_protocol_version": "PGMINPROTOCOLVERSION",
    "max_protocol_version": "PGMAXPROTOCOLVERSION",
    "gssencmode": "PGGSSENCMODE",
    "krbsrvname": "PGKRBSRVNAME",
    "gsslib": "PGGSSLIB",
    "gssdelegation": "PGGSSDELEGATION",
}
LEASED = "MINTDB_LEASED"
PROXIES = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")  # https://curl.se/docs/manpage.html#ENVIRONMENT
# What goes before a URL: another server, or a session that behaves otherwise.
OVERRULING = (
    *("PGSERVICE", "PGSERVICEFILE", "PGOPTIONS", "PGHOSTADDR"),
    *("PGTZ", "PGDATESTYLE", "PGCLIENTENCODING", "PGGEQO"),
)
# What leads a client to another server, login or behaviour than the URL says.
MISLEADING = (*OVERRULING, "PGPASSFILE")
# What a client may well need for a server that a URL names, and must not ask of an embedded one, which has no TLS.
NEVER_FOR_EMBEDDED = ("PGSSL", "PGGSS", "PGREQUIRE", "PGCHANNEL", "PGTARGETSESSION", "PGLOADBALANCE")


def libpq_variables(address: Address) -> dict[str, str]:
    """What tells libpq, and all that follow its conventions, where a database is."""
    libpq = {
        "PGHOST": address.host,
        "PGPORT": str(address.port or ""),
        "PGUSER": address.user,
        "PGPASSWORD": address.password,
        "PGDATABASE": address.database,
        **{LIBPQ[option]: value for option, value in address.options.items() if option in LIBPQ},
    }
    return {variable: value for variable, value in libpq.items() if value}


def variables_for(address: Address, *, embedded: bool = False) -> dict[str, str]:
    """What tells a command where its database is, in every form that is commonly read.

    Of an `embedded` PostgreSQL it says that there is no TLS: Go's lib/pq would refuse to go without.
    """
    plain = {"PGSSLMODE": "disable"} if embedded and address.engine == "postgresql" else {}
    return {
        "DATABASE_URL": address.url,
        **_jdbc_variables(address),
        **_OF_ENGINE.get(address.engine, libpq_variables)(address),
        **plain,
    }


def _jdbc_variables(address: Address) -> dict[str, str]:
    with suppress(UnknownUrlForm):  # there is none of a socket, or of Snowflake's account
        return {"JDBC_DATABASE_URL": address.url_for("jdbc")}
    return {}


def _file_variables(address: Address) -> dict[str, str]:
    return {"DATABASE_PATH": address.url_for("path")}


def mysql_variables(address: Address) -> dict[str, str]:
    """What tells MariaDB's and MySQL's own programs, and what follows them, where a database is."""
    mysql = {
        "MYSQL_HOST": address.host,
        "MYSQL_PORT": str(address.port or ""),
        "MYSQL_TCP_PORT": str(address.port or ""),
        "MYSQL_USER": address.user,
        "MYSQL_PASSWORD": address.password,
        "MYSQL_PWD": address.password,
        "MYSQL_DATABASE": address.database,
    }
    return {variable: value for variable, value in mysql.items() if value}


def _account_variables(address: Address) -> dict[str, str]:
    return {f"SNOWFLAKE_{name.upper()}": str(value) for name, value in address.params.items()}


_OF_ENGINE = {"sqlite": _file_variables, "mysql": mysql_variables, "snowflake": _account_variables}


def leased_variable(urls: Mapping[str, str]) -> dict[str, str]:
    """What tells `mintdb.engine` in this process and those that it starts where the leased databases are, by name."""
    return {LEASED: json.dumps(dict(urls))}


def past_proxies(environ: Mapping[str, str], host: str) -> dict[str, str]:
    """What lets a command that has a proxy reach `host` without it: curl and Ruby would ask it for loopback, too."""
    if not any(environ.get(variable) for variable in PROXIES):
        return {}
    known = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    exempt = known if known == "*" else ",".join(filter(None, [known, host]))
    return {"no_proxy": exempt, "NO_PROXY": exempt}


def find_misleading(environ: Mapping[str, str], *, embedded: bool) -> list[str]:
    """The variables that lead libpq elsewhere although it is given a whole URL, of an embedded server or another."""
    prefixes = NEVER_FOR_EMBEDDED if embedded else ()
    return [variable for variable in environ if variable in OVERRULING or variable.startswith(tuple(prefixes))]


@contextmanager
def unmisled(*, embedded: bool) -> Iterator[None]:
    """Take those variables out of this process's environment while the block connects.

    PGSERVICE cannot be overruled in any other way: libpq reads an empty `service` as the name of one.
    """
    taken = {variable: os.environ.pop(variable) for variable in find_misleading(os.environ, embedded=embedded)}
    try:
        yield
    finally:
        os.environ.update(taken)


def without_misleading(environ: Mapping[str, str], *, embedded: bool) -> dict[str, str]:
    """The caller's environment without what would lead a client away from the database it is given."""
    unset = {*MISLEADING, "PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE"}
    return {
        variable: value
        for variable, value in environ.items()
        if variable not in unset and not (embedded and variable.startswith(NEVER_FOR_EMBEDDED))
    }
