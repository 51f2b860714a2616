"""Where one database answers, and the forms in which that is handed out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field, replace
from types import MappingProxyType
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from mintdb import drivers
from mintdb.errors import SettingsError
from mintdb.facts import dataclass

NO_OPTIONS: Mapping[str, str] = MappingProxyType({})
SCHEMES = {
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "mysql": "mysql",
    "mariadb": "mysql",
    "sqlite": "sqlite",
    "snowflake": "snowflake",
}
DEFAULT_PORTS = {"postgresql": 5432, "mysql": 3306}
# What libpq alone understands of a connection: asyncpg would hand it on to the server, which knows no such setting.
LIBPQ_ONLY = {
    *("connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"),
    *("tcp_user_timeout", "channel_binding", "gssencmode", "load_balance_hosts", "sslsni", "sslcompression"),
}
PARTS = ("host", "port", "user", "password", "database")  # of a URL, each a form of its own
IN_A_PATH = str.maketrans({"%": "%25", "?": "%3F", "#": "%23"})  # what means something else in a URL
MARIADB_JDBC = "jdbc:mariadb"  # its driver takes no jdbc:mysql: from version 3 on, and MySQL's no other
JDBC_NAMES = {"connect_timeout": "connectTimeout", "application_name": "ApplicationName"}


class BadUrl(SettingsError):
    """A database URL that cannot be understood. Facts: url (redacted), why."""

    text = """\
cannot use the database URL {url}
  {why}
  1. write it as  postgresql://user:password@host:port/database?sslmode=require"""


class UnknownUrlForm(SettingsError):
    """`url_for` was asked for a form that this database does not have. Facts: form, why, known."""

    text = """\
there is no URL of the form {form!r} here: {why}
  1. use one of {known}"""


@dataclass(frozen=True)
class Address:
    """One database of one server; `options` are libpq's URL parameters (TLS and such) and survive into every form."""

    engine: str
    database: str
    host: str = ""
    port: int = 0
    user: str = ""
    password: str = field(default="", repr=False)
    options: Mapping[str, str] = field(default_factory=lambda: NO_OPTIONS)

    def with_database(self, database: str) -> Address:
        """The same server and login, another database."""
        return replace(self, database=database)

    @property
    def url(self) -> str:
        """The `libpq` form."""
        return self.url_for("libpq")

    def url_for(self, form: str) -> str:
        """The URL in one form: `libpq`, `jdbc`, `sqlalchemy`, `path` (SQLite), or any SQLAlchemy `dialect+driver`.

        For MariaDB's own JDBC driver there is `jdbc:mariadb`. A scheme with its `://` is taken as it stands, and
        `host`, `port`, `user`, `password` and `database` give that part of a server's URL alone.

        Raises UnknownUrlForm for a dialect that is not this engine's, for a driver that nobody knows, and where a
        driver cannot be told this address's TLS options by URL, or a part nothing of its role or search_path.
        """
        if form in PARTS and self.engine in DEFAULT_PORTS:
            return self._part(form)
        if form.endswith("://") and self.engine != "snowflake":
            return self._under(form)
        self._refuse_unknown_driver(form)
        if form == "sqlalchemy" and drivers.needs_name(self.engine):
            form = drivers.OF_OURS
        if self.engine == "sqlite":
            return self._url_of_file(form)
        if self.engine == "snowflake":
            return self._url_of_account(form)
        if form in ("libpq", "sqlalchemy", self.engine):
            return self._render(
                self.engine, _options_for(self.engine, self) if self.engine == "mysql" else self.options
            )
        if form == "jdbc" or (form == MARIADB_JDBC and self.engine == "mysql"):
            return self._jdbc(form.partition(":")[2] or self.engine)
        dialect, _, driver = form.partition("+")
        if SCHEMES.get(dialect) != self.engine or not driver:
            known = f"libpq, sqlalchemy, jdbc, {self.engine}+DRIVER, SCHEME://, {', '.join(PARTS)}"
            raise UnknownUrlForm(form=form, why=f"the database is {self.engine}", known=known)
        return self._render(form, _options_for(driver, self))

    def _part(self, form: str) -> str:
        if "options" in self.options:
            why = "a role or a search_path is in the whole URL only"
            raise UnknownUrlForm(form=form, why=why, known="libpq, sqlalchemy, or a scheme with its ://")
        return str(getattr(self, form))

    def _under(self, prefix: str) -> str:
        """The URL with another library's scheme: `asyncpg://`, `postgis://`, `sqlite+pool://`."""
        if self.engine == "sqlite":
            return f"{prefix}/{quoted_path(self.database)}"
        return self._render(prefix.removesuffix("://"), self.common_options())

    @property
    def params(self) -> dict[str, str | int]:
        """Keyword arguments for the driver's `connect`: psycopg's and psycopg2's, sqlite3's, snowflake.connector's."""
        if self.engine == "sqlite":
            return {"database": self.database}
        if self.engine == "snowflake":
            return {"account": self.database, "user": self.user, "password": self.password, **self.options}
        known: dict[str, str | int] = {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "password": self.password,
        }
        given = {k: v for k, v in known.items() if v}
        if self.engine == "mysql":
            return {**given, "database": self.database, **self.options}
        return {**given, "dbname": self.database, **self.options}

    @property
    def redacted(self) -> str:
        """The `libpq` form with the password hidden, for messages."""
        return redact(self.url)

    def _refuse_unknown_driver(self, form: str) -> None:
        dialect, _, driver = form.partition("+")
        if not driver or SCHEMES.get(dialect) != self.engine or drivers.is_known(self.engine, dialect, driver):
            return
        near = drivers.find_like(self.engine, driver)
        why = f"SQLAlchemy has no driver {driver!r}" + (f"; did you mean {near!r}?" if near else "")
        known = ", ".join(f"{dialect}+{name}" for name in drivers.DRIVERS[self.engine])
        raise UnknownUrlForm(form=form, why=why, known=known)

    def _url_of_file(self, form: str) -> str:
        """JDBC takes a path as it stands, and so does SQLAlchemy before 2.1."""
        if form == "path":
            return self.database
        if form == "jdbc":
            return f"jdbc:sqlite:{self.database}"
        dialect, plus, driver = form.partition("+")
        if form not in ("libpq", "sqlalchemy", "sqlite") and not (dialect == "sqlite" and driver):
            known = "path, sqlalchemy, jdbc, sqlite+DRIVER"
            raise UnknownUrlForm(form=form, why=f"the database is {self.engine}", known=known)
        path = quoted_path(self.database)
        if path != self.database and form != "libpq" and not drivers.sqlalchemy_decodes_paths():
            path = self.database
        return f"sqlite{plus}{driver}:///{path}"

    def _url_of_account(self, form: str) -> str:
        """Snowflake's URLs lead to an account; the current database and schema are options of the address."""
        if form not in ("libpq", "sqlalchemy", "snowflake"):
            raise UnknownUrlForm(form=form, why=f"the database is {self.engine}", known="sqlalchemy, snowflake")
        path = "".join(f"/{quote(part, safe='')}" for part in self.options.values())
        login = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}@" if self.user else ""
        return f"snowflake://{login}{self.database}{path}"

    def _render(self, scheme: str, options: Mapping[str, str]) -> str:
        login = quote(self.user, safe="")
        if self.password:
            login += ":" + quote(self.password, safe="")
        host, query = self.host, dict(options)
        if host.startswith("/"):  # a socket folder cannot stand in a URL's host part
            host, query = "", {"host": host, "port": str(self.port), **query}
        elif ":" in host:
            host = f"[{host}]"
        netloc = f"{login}@" if login else ""
        netloc += host + (f":{self.port}" if host and self.port else "")
        tail = "?" + urlencode(query, quote_via=quote) if query else ""
        return f"{scheme}://{netloc}/{quote(self.database, safe='')}{tail}"

    def common_options(self) -> Mapping[str, str]:
        """Without what only PyMySQL understands: it alone asks for TLS unasked."""
        return {k: v for k, v in self.options.items() if k != "ssl_disabled"}

    def _jdbc(self, scheme: str) -> str:
        if not self.host or self.host.startswith("/"):
            why = "JDBC's drivers need a host that is reached by TCP"
            raise UnknownUrlForm(form="jdbc", why=why, known=f"libpq, sqlalchemy, {self.engine}+DRIVER")
        host = f"[{self.host}]" if ":" in self.host else self.host
        options = {JDBC_NAMES.get(name, name): value for name, value in self.common_options().items()}
        given = {"user": self.user, "password": self.password, **options}
        query = urlencode({k: v for k, v in given.items() if v}, quote_via=quote)
        return f"jdbc:{scheme}://{host}:{self.port}/{quote(self.database, safe='')}?{query}"


def _options_for(driver: str, address: Address) -> Mapping[str, str]:
    """The address's options as SQLAlchemy must pass them to `driver`."""
    options = address.options
    if address.engine == "mysql":
        return options if driver == "pymysql" else address.common_options()
    if not options or driver in ("psycopg", "psycopg_async", "psycopg2", "psycopg2cffi"):
        return options
    if driver == "asyncpg":
        return _options_for_asyncpg({name: value for name, value in options.items() if name not in LIBPQ_ONLY}, address)
    raise UnknownUrlForm(
        form=f"{address.engine}+{driver}",
        why=f"{driver} cannot be given {', '.join(sorted(options))} in a URL",
        known=f"libpq, {address.engine}+psycopg, {address.engine}+psycopg2, {address.engine}+asyncpg",
    )


def _options_for_asyncpg(options: Mapping[str, str], address: Address) -> Mapping[str, str]:
    """SQLAlchemy passes each as a keyword; asyncpg has none for certificates, but reads them from a DSN."""
    if set(options) <= {"sslmode"}:
        return {"ssl": options["sslmode"]} if options else options
    return {"dsn": replace(address, options=options).url}


def quoted_path(path: str) -> str:
    """A file's path as a URL has it."""
    return path.translate(IN_A_PATH)


def parse_url(url: str) -> Address:
    """Read a libpq, SQLAlchemy or JDBC-like URL. Raises BadUrl, with the password hidden."""
    try:
        parts = urlsplit(url.removeprefix("jdbc:"))
    except ValueError as error:
        raise BadUrl(url=redact(url), why=str(error)) from None
    engine = find_engine(url)
    if engine is None:
        raise BadUrl(url=redact(url), why=f"it does not begin with {', '.join(f'{name}:' for name in SCHEMES)}")
    if engine == "sqlite":
        return Address(engine, _file_of(url))
    if "," in parts.netloc:
        raise BadUrl(url=redact(url), why="it names several hosts; mintdb needs one server")
    options = dict(parse_qsl(parts.query))
    if "service" in options:  # what its file says goes before PGDATABASE: its own database, not a clone
        raise BadUrl(
            url=redact(url), why=f"it names the service {options['service']!r}; mintdb needs what that stands for"
        )
    try:
        port = parts.port or int(options.pop("port", 0))
    except ValueError as error:
        raise BadUrl(url=redact(url), why=str(error)) from None
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    host = unquote(parts.hostname or "") or options.pop("host", "")
    return Address(
        engine=engine,
        database=unquote(parts.path.removeprefix("/")) or options.pop("dbname", ""),
        host=host,
        port=port or DEFAULT_PORTS.get(engine, 0),
        user=user or options.pop("user", ""),
        password=password or options.pop("password", ""),
        options=MappingProxyType(options),
    )


def _file_of(url: str) -> str:
    """The path that a SQLite URL leads to: three slashes and a quoted path, or JDBC's bare one."""
    rest = url.removeprefix("jdbc:").partition(":")[2]
    return unquote(rest.removeprefix("///")) if rest.startswith("//") else rest


def find_engine(url: str) -> str | None:
    """The engine that a URL's scheme names; None if it names none that is known here."""
    scheme = re.match(r"(?:jdbc:)?([a-z0-9]+)(?:\+[a-z0-9_]+)?:", url)
    return SCHEMES.get(scheme[1]) if scheme else None


def find_server(url: str) -> tuple[str, int] | None:
    """Host and port of a URL's server; None where it is no URL, or names none."""
    try:
        address = parse_url(url)
    except BadUrl:
        return None
    return (address.host.lower(), address.port) if address.host else None


def redact(url: str) -> str:
    """The URL, or libpq's `key=value` words, with every password replaced by `***`."""
    hidden = re.sub(r"(://[^:/@?\s]*):[^@\s]*@", r"\1:***@", url)
    return re.sub(r"((?:^|[?&\s])(?:ssl)?password\s*=\s*)('(?:[^'\\]|\\.)*'|[^&\s]*)", r"\1***", hidden)
