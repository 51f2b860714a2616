"""A session of mintdb's own on a server: statements in one packet, and errors that say whose server it was."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import pymysql
from pymysql.connections import Connection
from pymysql.constants import CLIENT, CR, ER
from pymysql.cursors import Cursor

from mintdb.address import Address
from mintdb.core import ours
from mintdb.engines.mysql.dialect import SETTINGS, dialect_of
from mintdb.engines.mysql.errors import LoginNeedsCryptography, LoginRefused, ServerGone, ServerUnreachable

T = TypeVar("T")
CONNECT_TIMEOUT = 10  # seconds
DEADLOCKS = 5  # tries; one more was always enough
TLS: Mapping[str, Any] = {"ssl_disabled": False, "ssl": {"verify_mode": "none"}}  # Any: as pymysql.connect takes them
TLS_REQUIRED = 3159  # ER_SECURE_TRANSPORT_REQUIRED
REFUSED = {ER.ACCESS_DENIED_ERROR, ER.DBACCESS_DENIED_ERROR, 1698, 2059}  # …, …NO_PASSWORD, no such login plugin
GONE = {
    CR.CR_SERVER_GONE_ERROR,
    CR.CR_SERVER_LOST,
    0,
    ER.SERVER_SHUTDOWN,
    1927,
    4031,
}  # …, ER_CONNECTION_KILLED, idle too long
OWN = "concat('mintdb:session ', connection_id())"  # the lock by which others know a session for mintdb's


class Lenient(Connection):
    """PyMySQL's connection, but one that may be closed again, as those of other drivers may."""

    def close(self) -> None:
        if self.open:
            super().close()


class _Own(Lenient):
    def fileno(self) -> int:
        """See core.ours.HasDescriptor."""
        return int(self._sock.fileno())  # type: ignore[attr-defined]  # missing in the stubs


class Session:
    """A connection that commits by itself, that no account is kept of, and that a forked child disowns."""

    def __init__(self, address: Address, *, shown: Address | None = None) -> None:
        """Connect to no database. Raises a ServerError that names `shown`, the URL as the user has it."""
        self.address = address
        self._shown = (shown or address).redacted
        self.open()

    def open(self) -> None:
        """Connect, or after `close` again; `prepare` has to follow. Raises a ServerError."""
        try:
            self._connection = _connect(self.address)
        except pymysql.MySQLError as error:
            kind = LoginRefused if code_of(error) in REFUSED else ServerUnreachable
            raise kind(url=self._shown, reason=reason_of(error)) from None
        except _Unencrypted:
            raise LoginNeedsCryptography(url=self._shown) from None
        ours.claim(self._connection)
        self.dialect = dialect_of(str(self._connection.get_server_info()))  # type: ignore[no-untyped-call]  # as below
        self.id = int(self._connection.thread_id())  # type: ignore[no-untyped-call]  # untyped in the stubs
        self.try_run(f"do get_lock({OWN}, 0)")

    def is_open(self) -> bool:
        """Whether it was neither closed nor lost."""
        return bool(self._connection.open)

    def rows(self, statement: str, *values: object) -> list[Any]:  # Any: rows are as the statement selects
        """All rows of a query. Raises ServerGone where the server ended the session.

        A statement that met another's locks in MySQL's own tables of definitions is tried again: it stands alone.
        """
        for more in reversed(range(DEADLOCKS)):
            try:
                with self._connection.cursor() as cursor:
                    cursor.execute(statement, values or None)
                    return list(cursor.fetchall())
            except pymysql.MySQLError as error:
                if not (more and code_of(error) == ER.LOCK_DEADLOCK):
                    raise self._explained(error) from None
        raise AssertionError("the last try has returned, or raised")

    def row(self, statement: str, *values: object) -> Any:  # Any: see rows
        """The first row of a query that has one."""
        return self.rows(statement, *values)[0]

    def run(self, statement: str, *values: object) -> None:
        """Run one statement."""
        self.rows(statement, *values)

    def run_all(self, statements: Iterable[str]) -> list[list[Any]]:  # Any: see rows
        """Run statements in one packet, in their order up to the first that fails; the rows of each."""
        return self._each(statements, lambda cursor: list(cursor.fetchall()))

    def count_all(self, statements: Iterable[str]) -> list[int]:
        """The same; how many rows each changed."""
        return self._each(statements, lambda cursor: cursor.rowcount)

    def _each(self, statements: Iterable[str], take: Callable[[Cursor], T]) -> list[T]:
        packet = ";\n".join(statements)
        if not packet:
            return []
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(packet)
                found = [take(cursor)]
                while cursor.nextset():
                    found.append(take(cursor))
                return found
        except pymysql.MySQLError as error:
            raise self._explained(error) from None

    def prepare(self) -> None:
        """Settings under which rows and definitions are put as they are, as far as this server has them."""
        self._connection.query(f"set session {SETTINGS}")
        for each in self.dialect.settings:
            self.try_run(f"set session {each}")

    def try_run(self, statement: str) -> bool:
        """Run what this server, or this account, may not know or be allowed; whether it did."""
        try:
            self.run(statement)
        except pymysql.MySQLError:
            return False
        return True

    def close(self) -> None:
        """End the session; its locks are free. Again is harmless."""
        self._connection.close()

    def _explained(self, error: pymysql.MySQLError) -> Exception:
        if code_of(error) in GONE or not self._connection.open:
            return ServerGone(url=self._shown, reason=reason_of(error))
        return error


def own_sessions(session: Session) -> list[int]:
    """The sessions of mintdb's, of any process, that are on the server of this one."""
    found = session.rows(
        "select id from information_schema.processlist where is_used_lock(concat('mintdb:session ', id)) = id"
    )
    return [int(each) for (each,) in found]


def code_of(error: BaseException) -> int:
    """The server's error number; 0 if it has none."""
    return int(error.args[0]) if error.args and isinstance(error.args[0], int) else 0


def reason_of(error: BaseException) -> str:
    """What the server or the driver says, in one line."""
    said = str(error.args[1]) if len(error.args) > 1 else str(error)
    return " ".join(said.split()) or type(error).__name__


def name(*parts: str) -> str:
    """A quoted name: `shop`.`order`."""
    return ".".join("`" + part.replace("`", "``") + "`" for part in parts)


def names(parts: Sequence[str]) -> str:
    """Quoted names in a list."""
    return ", ".join(map(name, parts))


def literal(text: str) -> str:
    """A quoted text, for statements that take no parameters. Backslashes escape unless the session says otherwise."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def introduce(address: Address) -> None:
    """Log in once by TLS: MySQL then knows the password, and who comes later needs neither TLS nor cryptography.

    A server that offers no TLS, as MariaDB's before 11.4, needs nothing of the kind.
    """
    with contextlib.suppress(pymysql.MySQLError):
        Connection(**{**_keywords(address), **TLS}).close()


class _Unencrypted(Exception):
    """A password cannot be sent: the server offers no TLS, and `cryptography` is not installed."""


def _connect(address: Address) -> _Own:
    """Without TLS, unless the URL names certificates or the login asks for it: TLS alone costs PyMySQL 39 ms."""
    given = _keywords(address)
    try:
        return _Own(**given)
    except (RuntimeError, pymysql.OperationalError) as error:
        if not _may_want_tls(error):
            raise
        refusal = error
    try:
        return _Own(**{**given, **TLS})
    except RuntimeError:  # PyMySQL 1 goes on without TLS where it finds none
        raise _Unencrypted from None
    except pymysql.OperationalError as error:
        if code_of(error) != CR.CR_SSL_CONNECTION_ERROR:
            raise
        raise (_Unencrypted() if isinstance(refusal, RuntimeError) else refusal) from None


def _may_want_tls(error: Exception) -> bool:
    """A password that may not go in the clear is a RuntimeError of PyMySQL's; an account may be for TLS only."""
    return isinstance(error, RuntimeError) or code_of(error) in (TLS_REQUIRED, ER.ACCESS_DENIED_ERROR)


def _keywords(address: Address) -> dict[str, Any]:  # Any: as pymysql.connect takes them
    place = {"unix_socket": address.host} if address.host.startswith("/") else {"host": address.host or "127.0.0.1"}
    return {
        **place,
        "port": address.port,
        "user": address.user,
        "password": address.password,
        "charset": "utf8mb4",
        "autocommit": True,
        "connect_timeout": CONNECT_TIMEOUT,
        "client_flag": CLIENT.MULTI_STATEMENTS,
        **_tls(address),
    }


def _tls(address: Address) -> dict[str, Any]:  # Any: see _keywords
    """Certificates where the URL names some."""
    given = {key: value for key, value in address.options.items() if key in ("ssl_ca", "ssl_cert", "ssl_key")}
    return dict(given) if given else {"ssl_disabled": True}
