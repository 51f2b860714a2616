"""A connection to an emulated account: fakesnow's, held to what the real connector does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import count
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from fakesnow.conn import FakeSnowflakeConnection
from fakesnow.dialect import parse
from snowflake.connector.connection import SnowflakeConnection
from snowflake.connector.cursor import DictCursor, SnowflakeCursor
from snowflake.connector.errors import DatabaseError, ProgrammingError

from mintdb import clock
from mintdb.contract import Session
from mintdb.engines.snowflake.cursor import EmulatedCursor
from mintdb.engines.snowflake.duck import Duck
from mintdb.engines.snowflake.refusals import not_emulated
from mintdb.facts import dataclass

if TYPE_CHECKING:
    from mintdb.engines.snowflake.account import EmulatedAccount

CLOSED = 250002  # ER_CONNECTION_IS_CLOSED
CLOSED_STATE = "08003"
BAD_VALUE = 251007  # ER_INVALID_VALUE
PARAMSTYLES = ("pyformat", "format", "qmark", "numeric")
REGION = "MINTDB_EMULATION"
INFORMATION = "INFORMATION_SCHEMA"  # for which fakesnow has views in a schema of another name

_numbers = count(1)


@dataclass(frozen=True)
class State:
    """What a session has set, to be put back when a test ends."""

    database: str | None
    schema: str | None
    database_set: bool
    schema_set: bool
    variables: Mapping[str, str]
    commits_itself: bool
    role: str | None
    warehouse: str | None


class EmulatedConnection(FakeSnowflakeConnection):
    """What `snowflake.connector.connect` returns. Statements of all connections of a process run one at a time."""

    database: str | None
    _schema: str | None
    _duck_conn: Duck
    # Snowpark asks for these two; it takes defaults, and tells nobody anything.
    _session_parameters: Mapping[str, object] = MappingProxyType({})
    _telemetry = None

    def __init__(
        self, account: EmulatedAccount, duck: Duck, arguments: Mapping[str, Any]
    ) -> None:  # Any: the application's
        """`duck` is a session of its own, until it is closed; `arguments` are those of connect."""
        self._is_closed: bool = True  # until there is something to close
        self.account_of = account
        self.number = next(_numbers)
        self.role: str | None = arguments.get("role")
        self.warehouse: str | None = arguments.get("warehouse")
        self.user: str = str(arguments.get("user") or "").upper()
        self.account: str = str(arguments.get("account") or account.name)
        self.host: str = str(arguments.get("host") or f"{self.account}.snowflakecomputing.com")
        self.port: int = int(arguments.get("port") or 443)
        self.application: str = str(arguments.get("application") or "PythonConnector")
        self.last_query: str | None = None
        self.last_sfqid: str | None = None
        self.last_used = clock.monotonic()
        self.began: float | None = None  # when its open transaction did
        self.has_written = False
        self.parameters: dict[str, str | None] = {}
        self._arguments = dict(arguments)
        paramstyle = arguments.get("paramstyle") or "pyformat"
        if paramstyle not in PARAMSTYLES:
            raise ProgrammingError(msg=f"Invalid paramstyle: {paramstyle!r}", errno=BAD_VALUE)
        database, schema = (str(arguments.get(name) or "").upper() for name in ("database", "schema"))
        is_there = schema != INFORMATION and duck.enter(database, schema)
        # fakesnow asks DuckDB's catalog what there is, which costs more than all the rest.
        super().__init__(
            duck,
            account.results,
            None if is_there else database or None,
            None if is_there else schema or None,
            create_database=account.creates_on_connect,
            create_schema=account.creates_on_connect,
            db_path=account.folder,
            paramstyle=paramstyle,
        )
        if is_there:
            self.database, self._schema = database, schema
            self.database_set = self.schema_set = True
        # Unsetting what was never set is no error.
        self.variables._unset = lambda name: self.variables._variables.pop(name, None)
        self.commits_itself = bool(arguments.get("autocommit", True))
        self._settled = self.state()

    @property  # type: ignore[misc]  # only asked, never set
    def __class__(self) -> Any:  # Any: isinstance() is to say what it says of the real one
        return SnowflakeConnection

    def __getattr__(self, name: str) -> Any:  # Any: never returns
        if not name.startswith("_") and hasattr(SnowflakeConnection, name):
            raise not_emulated(f"connection.{name}", "no test has needed it yet")
        raise AttributeError(f"'SnowflakeConnection' object has no attribute {name!r}")

    # What the real one has, and fakesnow's lacks or does otherwise

    def is_closed(self) -> bool:
        return bool(self._is_closed)

    @property
    def expired(self) -> bool:
        return self.is_closed()

    def is_valid(self) -> bool:
        """Whether it can be used, as far as the real one can tell."""
        return not self.is_closed()

    @property
    def session_id(self) -> int:
        return self.number

    @property
    def region(self) -> str:
        return REGION

    @property
    def paramstyle(self) -> str:
        return str(self._paramstyle)

    @property
    def is_pyformat(self) -> bool:
        return self._paramstyle in ("pyformat", "format")

    @property
    def messages(self) -> list[Any]:  # Any: as the DB-API has it
        return []

    def cursor(self, cursor_class: type = SnowflakeCursor) -> EmulatedCursor:
        """See the real one. Raises DatabaseError 250002 once it is closed."""
        self.check_open()
        as_dicts = issubclass(cursor_class, DictCursor)
        return EmulatedCursor(conn=self, duck_conn=self._duck_conn, use_dict_result=as_dicts)

    def check_open(self) -> None:
        """Raise what the real connection raises once it is closed."""
        if self.is_closed():
            raise DatabaseError(msg="Connection is closed", errno=CLOSED, sqlstate=CLOSED_STATE)

    def autocommit(self, mode: bool) -> None:
        """See the real one: an open transaction is committed."""
        self.check_open()
        if not isinstance(mode, bool):
            raise ProgrammingError(msg=f"Invalid parameter: {mode}", errno=BAD_VALUE)
        if self.in_transaction:
            self.commit()
        self.commits_itself = mode

    def execute_string(
        self,
        sql_text: str,
        remove_comments: bool = False,
        return_cursors: bool = True,
        cursor_class: type = SnowflakeCursor,
        **options: Any,  # Any: the real one passes them on to each execute
    ) -> Iterable[EmulatedCursor]:
        """Run the statements of a text one after the other."""
        self.check_open()
        cursors: list[Any] = []  # Any: cursors; an empty text, which has none, was left out
        for statement in parse(sql_text):
            text = statement.sql(dialect="snowflake") if statement is not None else ""
            if text:
                cursors.append(self.cursor(cursor_class).execute(text, **options))
        return cursors if return_cursors else []

    def close(self, retry: bool = True) -> None:
        """End the session; an open transaction is rolled back. Again is harmless."""
        if self._is_closed:
            return
        self._is_closed = True
        self.account_of.forget(self)
        with self.account_of.lock, suppress(Exception):  # it may be aborted, or its database gone
            self._roll_back()
            self.account_of.take_back(self._duck_conn)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if not self.commits_itself:
            self.commit() if kind is None else self.rollback()
        self.close()

    # What the account asks

    @property
    def duck(self) -> Duck:
        """The DuckDB session below it."""
        return self._duck_conn

    @property
    def in_transaction(self) -> bool:
        return self.began is not None

    def facts(self) -> Session:
        """The session as a server would show it."""
        now = clock.monotonic()
        return Session(
            backend_pid=self.number,
            state="idle in transaction" if self.in_transaction else "idle",
            query=self.last_query,
            application=self.application,
            seconds_in_state=now - self.last_used,
            seconds_in_transaction=None if self.began is None else now - self.began,
            client_port=None,
            has_written=self.has_written if self.in_transaction else None,
        )

    def state(self) -> State:
        """What it has set."""
        return State(
            self.database,
            self._schema,
            self.database_set,
            self.schema_set,
            dict(self.variables._variables),
            self.commits_itself,
            self.role,
            self.warehouse,
        )

    def welcome(self) -> None:
        """What it has set now is what it returns to."""
        self._settled = self.state()

    def settle(self) -> None:
        """Roll back what is open, drop temporary tables, and set again what was set when it was opened."""
        self._roll_back()
        if self._duck_conn.is_plain and self.state() == self._settled:
            self.last_sfqid = None
            self.parameters.clear()
            return
        self._duck_conn.drop_temporary()
        state = self._settled
        self.database, self._schema = state.database, state.schema
        self.database_set, self.schema_set = state.database_set, state.schema_set
        self.commits_itself, self.role, self.warehouse = state.commits_itself, state.role, state.warehouse
        self.variables._variables = dict(state.variables)
        self.last_sfqid = None
        self.parameters.clear()
        self.go_home()

    def go_home(self) -> None:
        """Make the current database and schema DuckDB's too, where they exist; else it has none."""
        if self.database and self.database_set:  # if it is not there at the mark, statements say so
            self._duck_conn.enter(self.database, self._schema if self.schema_set and self._schema else "main")
        else:
            self._duck_conn.let_go()

    def _roll_back(self) -> None:
        if self.in_transaction:
            self.began, self.has_written = None, False
            self.account_of.has_failed = True
            with suppress(Exception):  # DuckDB may have ended it already
                self._duck_conn.execute("rollback")

    def __del__(self) -> None:
        with suppress(Exception):  # the interpreter may be ending
            self.close()
