"""One emulated account: DuckDB files in a folder of their own, the connections to them, and the way back to a mark.

Whether anything was written is read from the files themselves: each commit adds to a database's write-ahead log, and
nothing else touches them. A database that changed is detached, its file replaced by the mark's, and attached again
under the same name: the connections stay open.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import RLock
from typing import Any
from weakref import WeakValueDictionary

import duckdb
from fakesnow import info_schema
from fakesnow.transforms import show, stage

from mintdb import clock
from mintdb.contract import Restored, Session, Way
from mintdb.core.marks import MarkHeld
from mintdb.engines.snowflake.duck import Duck, Schemas
from mintdb.engines.snowflake.errors import ForkedAccount
from mintdb.engines.snowflake.files import AccountFiles, Mark, Numbers
from mintdb.engines.snowflake.sessions import EmulatedConnection

GLOBAL = "_fs_global"  # fakesnow's own database: VARCHAR lengths, comments, users, stages
# sqlglot still writes lambdas as DuckDB 1 had them; fakesnow sets the same.
# DuckDB downloads what it has no code for, an S3 client for instance, in the middle of a statement: here it does not.
NO_NETWORK = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
CONFIG = {"lambda_syntax": "ENABLE_SINGLE_ARROW", **NO_NETWORK}
# fakesnow keeps one folder for all stages of the process, and DuckDB's settings are the process's: one at a time.
STATEMENTS = RLock()

LENGTHS = """
    select ext_column_name, ext_character_maximum_length
      from _fs_global._fs_information_schema._fs_columns_ext, duckdb_columns() as there
     where (ext_table_catalog, ext_table_schema, ext_table_name) = (?, ?, ?)
       and (database_name, schema_name, table_name, column_name, data_type)
         = (ext_table_catalog, ext_table_schema, ext_table_name, ext_column_name, 'VARCHAR')"""


class EmulatedAccount:
    """A folder of DuckDB files, and who is connected to it. Any thread may work; one statement runs at a time."""

    def __init__(self, name: str, folder: Path, *, creates_on_connect: bool) -> None:
        """Open what is in `folder`; an empty one becomes an empty account."""
        self.name = name
        self.folder = folder
        self._files = AccountFiles(folder)
        self.creates_on_connect = creates_on_connect
        self.results: dict[str, tuple[Any, ...]] = {}  # Any: fakesnow's results by query id
        self.called: str | None = None  # the account that a test has named
        self.lock = STATEMENTS
        self._process = os.getpid()
        self._connections: WeakValueDictionary[int, EmulatedConnection] = WeakValueDictionary()
        self._resting: list[Duck] = []  # sessions of closed connections
        self._schemas = Schemas()
        self._open()
        self._marks = [self._take_mark("template")]
        self._stale = False  # a mark was dropped, and the account has not gone back yet
        self.has_failed = False  # whether a statement failed, or was rolled back, since the last mark

    # Connections

    def connect(self, arguments: Mapping[str, Any]) -> EmulatedConnection:  # Any: the application's
        """A connection for connect's arguments. Raises ForkedAccount in a child process."""
        self._check_process()
        with self.lock:
            connection = EmulatedConnection(self, self._resting.pop() if self._resting else self._session(), arguments)
            self._connections[connection.number] = connection
            return connection

    def take_back(self, duck: Duck) -> None:
        """A connection was closed; the next one goes on with its session, which takes longer to make than a test."""
        if duck.is_plain:
            self._resting.append(duck)
        else:
            duck.close()

    def forget(self, connection: EmulatedConnection) -> None:
        """A connection was closed."""
        self._connections.pop(connection.number, None)
        if not self._connections:
            self.called = None

    @contextmanager
    def statement(self, connection: EmulatedConnection) -> Iterator[None]:
        """One statement of one connection, alone."""
        self._check_process()
        with self.lock:
            before, stage.LOCAL_BUCKET_PATH = stage.LOCAL_BUCKET_PATH, str(self._files.bucket)
            connection.last_used = clock.monotonic()
            try:
                yield
            finally:
                stage.LOCAL_BUCKET_PATH = before  # an application's own fakesnow has stages elsewhere

    def connections(self) -> list[EmulatedConnection]:
        """Those that are open."""
        return [c for c in list(self._connections.values()) if not c.is_closed()]

    def sessions(self) -> Sequence[Session]:
        """The same, as facts."""
        return [connection.facts() for connection in self.connections()]

    def end(self, numbers: Collection[int]) -> list[Session]:
        """Close connections by number; returns what they were."""
        doomed = [connection for connection in self.connections() if connection.number in numbers]
        facts = [connection.facts() for connection in doomed]
        for connection in doomed:
            connection.close()
        return facts

    def welcome(self) -> None:
        """What connections have set now is what they return to."""
        for connection in self.connections():
            connection.welcome()

    # What a statement needs of it

    def drop_database(self, name: str, *, missing_ok: bool) -> None:
        """Drop a database and its file. Raises duckdb's error for one that is not there."""
        if missing_ok and name not in self._attached():
            return
        self._duck.execute(f'detach "{name}"')
        self._schemas.changes += 1
        self._files.remove(name)
        for connection in self.connections():
            if connection.database == name:
                connection.database, connection._schema = None, None
                connection.database_set = connection.schema_set = False
                connection.go_home()

    def check_lengths(
        self, duck: Any, table: tuple[str, str, str], error: Callable[[str], Exception]
    ) -> None:  # Any: a Duck
        """Raise `error(text)` if a table has a text that is longer than its column."""
        lengths = duck.execute(
            LENGTHS,
            list(table),
        ).fetchall()
        where = ".".join(f'"{part}"' for part in table)
        for column, length in lengths:
            found = duck.execute(
                f'select "{column}" from {where} where length("{column}"::varchar) > {int(length)} limit 1'  # noqa: S608  # quoted
            ).fetchone()
            if found:
                raise error(found[0])

    # Marks

    @property
    def marks(self) -> int:
        """How many there are above the template's."""
        return len(self._marks) - 1

    def wrote(self) -> bool:
        """Whether anything was committed since the newest mark."""
        mark = self._marks[-1]
        # A sequence keeps a number that was rolled back, and no file shows that.
        return self._stale or self._files.facts() != mark.facts or (self.has_failed and self._numbers() != mark.numbers)

    def push_mark(self) -> None:
        """Make the present state the newest mark."""
        with self.lock:
            self._marks.append(self._take_mark(f"mark-{len(self._marks)}"))
            self.welcome()

    def drop_mark(self, number: int) -> None:
        """See contract.Clone. A mark below another is part of the other's files, and so is held by it."""
        if number != len(self._marks) - 1:
            raise MarkHeld(number=number)
        shutil.rmtree(self._marks.pop().folder)
        self._stale = True

    def restore(self) -> Restored:
        """Put the newest mark back."""
        started = clock.monotonic()
        with self.lock:
            ended = [connection.facts() for connection in self.connections() if connection.in_transaction]
            for connection in self.connections():
                connection.settle()
            self.results.clear()
            if not self.wrote():
                return Restored(Way.UNTOUCHED, clock.monotonic() - started, ended=ended)
            tables = self._return_to(self._marks[-1])
            for connection in self.connections():
                connection.go_home()
            if self._resting:  # whoever connects next, perhaps only to read, is not to pay for this
                self._resting[-1].come_back()
        return Restored(Way.REWIND, clock.monotonic() - started, ended=ended, tables=tables)

    def copy_to(self, folder: Path) -> None:
        """Copy the present state to a new folder."""
        with self.lock:
            self._copy(self._attached(), folder)

    def close(self) -> list[Session]:
        """Close every connection and DuckDB; the files stay. Returns who was connected."""
        if os.getpid() != self._process:
            return []
        ended = self.end([connection.number for connection in self.connections()])
        with self.lock, suppress(duckdb.Error):
            for session in (*self._resting, self._duck):
                session.close()
            self._resting.clear()
        return ended

    # What lies below

    def _open(self) -> None:
        self._duck = duckdb.connect(database=":memory:", config=CONFIG)
        self._duck.execute("set global TimeZone = 'UTC'")
        self._duck.execute("set global python_enable_replacements = false")
        # What is committed goes to the log alone, and to go back is to remove the log.
        self._duck.execute("pragma disable_checkpoint_on_shutdown")
        found = self._files.databases(self._files.facts())
        self._attach({GLOBAL, *found})
        if GLOBAL not in found:
            self._duck.execute(info_schema.fs_global_creation_sql())
            self._duck.execute(show.fs_global_creation_sql())

    def _session(self) -> Duck:
        return Duck(self._duck.cursor(), self._schemas)

    def _attached(self) -> list[str]:
        found = self._duck.execute(
            "select database_name from duckdb_databases() where path is not null and not internal"
        )
        return [name for (name,) in found.fetchall()]

    def _attach(self, names: Iterable[str]) -> None:
        for name in sorted(names, reverse=True):  # "_fs_global" first: views of the others look into it
            self._duck.execute(f"""attach '{self._files.of(name)}' as "{name}" """)

    def _numbers(self) -> Numbers:
        found = self._duck.execute(
            "select database_name, schema_name, sequence_name, last_value from duckdb_sequences()"
        ).fetchall()
        return frozenset((str(d), str(s), str(n), None if last is None else int(last)) for d, s, n, last in found)

    def _take_mark(self, name: str) -> Mark:
        mark = Mark(self._files.mark_folder(name), self._attached())
        self._copy(mark.databases, mark.folder)
        mark.numbers = self._numbers()
        self._files.are_at(mark)
        self.has_failed = False
        return mark

    def _copy(self, names: Sequence[str], folder: Path) -> None:
        folder.mkdir(parents=True)
        for name in names:
            with suppress(duckdb.TransactionException):  # somebody's transaction is open: the log goes along
                self._duck.execute(f'checkpoint "{name}"')
        self._files.copy(names, folder)

    def _return_to(self, mark: Mark) -> list[str]:
        """Replace what differs from the mark; returns the names of the databases."""
        now = self._files.facts()
        moved = {database for database, *_ in self._numbers() ^ mark.numbers} if self.has_failed else set()
        # Unless a file came or went, it is the mark's databases that are attached.
        present = mark.databases if self._files.databases(now) == set(mark.databases) else self._attached()
        changed = {n for n in present if self._stale or n in moved or self._files.differs(n, mark, now)}
        wanted = {name for name in mark.databases if name in changed or name not in present}
        self._detach(changed)
        for name in changed - wanted:
            self._files.remove(name)
        for name in wanted:
            self._files.put_back(name, mark, whole=self._stale)
        self._attach(wanted)
        self._files.put_bucket_back(mark, now, whole=self._stale)
        self._stale = self.has_failed = False
        self._files.are_at(mark)
        return sorted((changed | wanted) - {GLOBAL})

    def _detach(self, names: Iterable[str]) -> None:
        for session in (*(connection.duck for connection in self.connections()), *self._resting):
            session.let_go()
        for name in names:
            self._duck.execute(f'detach "{name}"')

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            raise ForkedAccount()
