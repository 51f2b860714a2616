"""What an engine and a schema source promise: read this and you know the architecture.

A *server* holds databases. A *template* is a database that a *schema source* filled once and that was then sealed. A
*clone* is copied from a template and leased to one test at a time; afterwards it is rewound to its newest *mark*, or
swapped for a fresh clone of the same name where a rewind cannot be exact. See GLOSSARY.md for the words.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from mintdb.address import Address
from mintdb.facts import dataclass

if TYPE_CHECKING:
    from mintdb.settings import DatabaseSettings, Settings


BY_MINTDB = "/* mintdb */"  # begins what mintdb asks on an application's own connection: nobody's last query


class Way(StrEnum):
    """How a clone was put back."""

    UNTOUCHED = "untouched"  # nothing had been written
    REWIND = "rewind"
    SWAP = "swap"
    DROP = "drop"  # isolation = "clone": it is gone
    KEPT = "kept"  # isolation = "none": nothing is put back
    ROLLED_BACK = "rolled back"  # its holder rolled back all it did, and nobody else was at work: looked at later


@dataclass(frozen=True)
class Session:
    """One connection as the server sees it; what the server does not tell is None, never guessed."""

    backend_pid: int  # 0: there is no server
    state: str | None
    query: str | None
    application: str | None
    seconds_in_state: float | None
    seconds_in_transaction: float | None
    client_port: int | None
    has_written: bool | None = None  # whether its transaction holds a transaction id
    process: int | None = None
    command_line: str | None = None
    waits_for: str | None = None  # a lock, and on what: "a ShareLock on relation account"
    blocked_by: Sequence[int] = ()  # the backends that hold it, or wait in front of it
    holds: Sequence[str] = ()  # what stays with a session between transactions: "advisory lock 7", "temporary tables"
    opened: str | None = None  # the application's line, where the ledger knows it

    @property
    def is_busy(self) -> bool:
        """Whether it runs something or holds a transaction."""
        return self.state not in (None, "idle")

    @property
    def only_reads(self) -> bool:
        """Whether it holds a transaction open that has written nothing: it hinders nobody."""
        return self.state == "idle in transaction" and self.has_written is False


@dataclass(frozen=True)
class Told:
    """What is said of connections that one line left in the same way. What has the same key differs in little else."""

    title: str  # of what it stands below, with others of its test
    text: str = ""  # lines, indented
    key: str = ""  # empty: like nothing else
    number: int = 0  # of connections


@dataclass(frozen=True)
class Connections:
    """What became of the connections to one clone while it was leased."""

    opened: int = 0
    peak: int = 0  # most of them open at once
    findings: Sequence[Mapping[str, Any]] = ()  # what somebody has to mend, as plain data  # Any: JSON
    told: Sequence[Told] = ()  # the same in words
    report: str = ""  # … as one text, of a length that a person reads
    notes: Sequence[str] = ()  # what nobody has to mend, and is said once in a run


@dataclass(frozen=True)
class Restored:
    """What one put-back did, and what it found."""

    way: Way
    seconds: float
    reason: str | None = None  # why it had to be a swap
    ended: Sequence[Session] = ()  # sessions that mintdb had to end
    cut_off: Sequence[Session] = ()  # sessions that nobody could end, and that go on with what was swapped away
    tables: Sequence[str] = ()  # tables and sequences that were put back
    connections: Connections = field(default_factory=Connections)
    outside: Sequence[str] = ()  # what was changed outside any database, and stays: "roles"
    horizon_held_by: int | None = None  # backend whose old snapshot keeps dead rows in the tables
    lost: Sequence[str] = ()  # what a wider fixture had, and a swap could not keep: "replication slot 'orders'"

    @property
    def report(self) -> str:
        """What there is to say of connections that were left open."""
        return self.connections.report


@dataclass(frozen=True)
class Present:
    """Who is connected to a clone once nobody is in the middle of something any more, or the wait for that is over."""

    backends: Mapping[int, float]  # pid -> when it last began or ended something, in seconds by the server's clock
    in_the_way: Sequence[Session] = ()  # what still runs or holds a transaction
    prepared: Sequence[str] = ()  # transactions that waited for their second phase, and were rolled back
    arrivals: int | None = None  # how many sessions the database has had so far; None: the server does not tell
    spent: float = 0.0  # seconds that putting back ahead took


@dataclass(frozen=True)
class TemplateFacts:
    """One sealed template."""

    name: str
    project: str
    size: int  # bytes
    used_at: datetime  # with its time zone


class SchemaSource(Protocol):
    """Where a template's tables come from."""

    @property
    def description(self) -> str:
        """The setting as the user wrote it, for messages: `sql:db/`."""

    def fingerprint(self) -> Iterable[bytes]:
        """Everything that decides what `build` makes, in a stable order; nothing else."""

    def build(self, database: Address) -> None:
        """Fill the empty `database`. Raises SchemaError, naming file, line and statement where they are known."""


class Clone(Protocol):
    """One database copied from a template. It has one name and one address for life, whatever is swapped beneath it."""

    @property
    def address(self) -> Address: ...

    def connect(self, **options: Any) -> Any:  # Any: of the engine's usual driver, with that driver's options
        """A new connection, as an application opens one."""

    def settle(self, *, seconds: float, ahead: bool = False) -> Present:
        """Wait up to `seconds` for sessions that are in the middle of something. Nobody is ended.

        With `ahead`, a `restore` follows at once, and what is simple may be put back already, where nobody is at work.
        """

    def restore(self) -> Restored:
        """Put it back to its newest mark, ending what is in the way. Never raises for a leak."""

    def end(self, backends: Collection[int]) -> None:
        """End sessions of this database by backend pid, and wait until they are gone.

        0 stands for a connection of this process that has no backend, and could not be closed: the next `restore` sees
        to it that it writes where nobody reads.
        """

    def welcome(self) -> None:
        """Who is connected now belongs to something wider than a test, and may hold a transaction that only reads."""

    def push_mark(self) -> None:
        """Make the present state the one that `restore` returns to, until `drop_mark`."""

    @property
    def marks(self) -> int:
        """How many marks there are above the template's."""

    def drop_mark(self, number: int) -> None:
        """Forget mark `number` (1 is the first above the template's): what was written for it is gone after the next
        `restore`, what marks above it hold stays. Raises MarkHeld where a mark above stands on it.
        """

    def wrote(self) -> bool:
        """Whether anything was written since the newest mark was taken or returned to."""

    def step_aside(self) -> None:
        """Close mintdb's own session on it, so that a child process may take it over; `restore` opens it again."""

    def keep(self) -> Address:
        """Set the database aside under another name, to stay until somebody drops it; this one starts from the mark."""

    def sessions(self) -> Sequence[Session]:
        """Who is connected now, mintdb's own sessions left out."""

    def drop(self) -> Sequence[Session]:
        """Drop the database, whoever is connected; returns the sessions that this ended."""


class Server(Protocol):
    """A server on which mintdb may create databases, and this process's stay on it."""

    @property
    def engine(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def own_url(self) -> str:
        """As mintdb itself reaches the server; a child process may use it."""

    @property
    def identity(self) -> Iterable[bytes]:
        """What of the server decides a template's content: major version, locale, time zone, settings."""

    @property
    def connections_allowed(self) -> int | None:
        """How many connections tests may have at once before the server refuses some; None: more than they need."""

    @property
    def own_connections(self) -> int:
        """How many connections to the server mintdb itself keeps, in each process; `connections_allowed` is without."""

    def lock(self, name: str, *, timeout: float) -> AbstractContextManager[None]:
        """Hold `name` among all processes that use this server. The lock of a process that died is free."""

    def has_template(self, name: str, *, run: str = "") -> bool:
        """Whether a *sealed* template of that name is there; with `run`, whether that run has built it."""

    def build_template(self, name: str, build: Callable[[Address], None], *, run: str = "", base: str = "") -> None:
        """Fill a new database under a temporary name, then seal and rename it; nothing is left behind if it fails.

        It is empty at first, or what the sealed template `base` is. `build` is given mintdb's own login.
        """

    def hold_name(self, name: str, *, timeout: float) -> None:
        """Make a fixed database name this process's own, for as long as it stays.

        What a dead run left under it is dropped. Raises NameBusy after `timeout` seconds behind a live run, and
        DatabaseNotOurs if mintdb did not make what has the name.
        """

    def drop_template(self, name: str) -> None:
        """Drop a template if it is there; nobody can be connected to it."""

    def clone(self, template: str, name: str) -> Clone:
        """Copy `template` to a new database `name`, and hold it as this process's own until it is dropped or dead."""

    @property
    def can_be_adopted(self) -> bool:
        """Whether another process can `adopt` what this one has made."""

    def adopt(self, name: str) -> Clone:
        """Take over a database that this process's starter has made and will drop; its present state is the mark."""

    def reap(self) -> Sequence[str]:
        """Drop what owners that are provably dead have left; returns the names."""

    def close(self) -> None:
        """End this process's stay. What it still owns becomes an orphan, for the keeper or the next run to reap."""


class Reservation(Protocol):
    """Where a server's databases answer, or will answer: enough to export a URL. Nothing has been started for it."""

    def address(self, database: str) -> Address:
        """As tests and applications reach a database: as the settings' `role`, if they name one."""

    def open(self, *, owner: str, linger: float, let_go: Callable[[str], object]) -> Server:
        """Join the server, starting it if it is ours and does not run. Raises ServerError.

        `owner` names this run; its databases are safe from everybody as long as this process lives. `let_go` asks the
        pools of this process to drop their idle connections to a database. An embedded server that nobody has used for
        `linger` seconds stops.
        """


class DatabaseEngine(Protocol):
    """One kind of database: the module `mintdb.engines.NAME` is one."""

    @property
    def NAME_LIMIT(self) -> int:  # a constant of the module
        """The longest database name, in bytes."""

    def reserve(self, database: DatabaseSettings, settings: Settings, *, slot: str) -> Reservation:
        """Find out where the databases will be, without starting anything. Raises SettingsError and ServerError.

        Runs with different `slot`s never share an embedded server; an external one refuses a slot.
        """

    def reserve_running(self, url: str, *, own_url: str) -> Reservation:
        """A server that runs already: `url` as tests reach it, `own_url` as mintdb does."""

    def dump(self, database: Address) -> Sequence[str]:
        """What a database holds, as lines of text that are the same for databases that are alike."""


class Observer(Protocol):
    """A look at one server for a person who asks: whoever looks uses nothing, and keeps nobody from stopping it."""

    @property
    def port(self) -> int: ...

    def sessions(self) -> Mapping[str, Sequence[Session]]:
        """Who is connected to each database that mintdb made, mintdb itself left out; nobody: not in it."""

    def end(self, database: str, backend: int) -> None:
        """End one of those sessions, and wait until it is gone."""

    def reap(self) -> Sequence[str]:
        """See Server.reap."""

    def templates(self) -> Sequence[TemplateFacts]:
        """Every sealed template, the last used first."""

    def drop_template(self, name: str) -> None:
        """Drop one of those, and the clones that wait for a run."""

    def close(self) -> None: ...


class Observing(Protocol):
    """The module `observing` of an engine that has servers."""

    def find_running(self) -> Sequence[Address]:
        """This user's embedded servers, as mintdb itself reaches them."""

    def observe(self, address: Address) -> Observer | None:
        """Look at a server; None where mintdb has never made anything: it gets nothing by being looked at.

        Raises a ServerError.
        """


class Visit(Protocol):
    """A short stay in a database of others, as whom the application itself connects."""

    def sessions(self) -> Sequence[Session]:
        """Who else is connected to the database."""

    def end(self, backends: Collection[int]) -> None:
        """Have the server end sessions of that role."""

    def close(self) -> None: ...


Visiting = Callable[[Mapping[str, str]], Visit | None]
"""Connect by an application's login, libpq's parameters; None where that cannot be done now."""
