"""The facade: settings → server → template → lease. Frameworks and the command line ask it, and nothing below it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path, PurePath
from threading import RLock
from types import TracebackType
from typing import Any, Self
from weakref import WeakSet

from mintdb.address import Address
from mintdb.connections import files
from mintdb.connections.budget import Budget, budget_of, limited
from mintdb.connections.green import refuse_eventlet
from mintdb.connections.ledger import ledger
from mintdb.connections.pools import pools
from mintdb.connections.settling import CloneAccounts
from mintdb.contract import Reservation, Server, Session, Visit
from mintdb.core import ours
from mintdb.core.clones import ClonePool
from mintdb.core.lease import Lease
from mintdb.core.names import DatabaseName, Role, distinct, find_role, new_token, slug
from mintdb.core.templates import Template, get_template
from mintdb.engines import find_visiting, get_engine
from mintdb.facts import dataclass
from mintdb.handover import Handover
from mintdb.schemas import get_layers
from mintdb.settings import ALL_LIBPQ, ALL_MYSQL, DEFAULT, EMPTY, DatabaseSettings, Settings, load
from mintdb.variables import libpq_variables, mysql_variables

AS_IT_IS = (
    "{alias}: no right to create databases: {url} is used as it is, its tables have to be there, and tests run in"
    " transactions that are rolled back"
)
MAIN = "main"  # the worker name of a process that is not one of several


class Mint:
    """What one process needs to lease databases: a stay on a server for each configured database, from first use on."""

    def __init__(
        self,
        settings: Settings,
        *,
        worker: str = MAIN,
        fresh: str = "",
        handover: Handover | None = None,
        announce: Callable[[str], None] = lambda line: None,
        processes: int = 1,
    ) -> None:
        """Nothing is read, started or connected to yet.

        `worker` tells apart the processes of one run; `fresh`, if not empty, is the run whose templates count as new;
        `handover` is of databases that this process's starter has made: they are leased instead of clones of our own;
        `announce` is told of what takes long; `processes` of one run share what the server allows.
        """
        self.settings = settings
        self.worker = worker
        self.processes = processes
        self.owner = new_token()
        self.fresh = fresh
        self.announce = announce
        self._handover = handover
        self._process = os.getpid()
        self._opening = RLock()
        self._opened: dict[str, OpenDatabase] = {}
        self._reserved: dict[str, Reservation] = {}
        self._limits = ExitStack()
        pools.keep_idle = settings.keep_idle
        _living.add(self)

    def reserve(self, alias: str = DEFAULT) -> Address:
        """Where the home clone of a database will answer. Nothing is started. Raises SettingsError, ServerError."""
        return self._reservation(alias).address(self._home_name(alias))

    def exports(self) -> dict[str, str]:
        """The environment variables that the settings ask for, with their URLs."""
        exports: dict[str, str] = {}
        for database in self.settings.databases.values():
            address = self.reserve(database.alias)
            for variable, form in database.export.items():
                all_of = {ALL_LIBPQ: libpq_variables, ALL_MYSQL: mysql_variables}.get(variable)
                exports |= all_of(address) if all_of else {variable: address.url_for(form)}
        return exports

    def urls(self) -> dict[str, str]:
        """Where each configured database answers, by its name."""
        return {alias: self.reserve(alias).url for alias in self.settings.databases or [DEFAULT]}

    def lead_memory(self) -> None:
        """From now on the in-memory SQLite databases of the application are the configured one, if there is one."""
        aliases = sorted(self.settings.databases, key=lambda alias: alias != DEFAULT)
        of_sqlite = [alias for alias in aliases if self.settings.get_database(alias).engine == "sqlite"]
        for alias in of_sqlite[:1]:
            files.lead_memory_to(self.reserve(alias).database, application=self._application)

    def hand_over(self, alias: str = DEFAULT) -> Handover:
        """What a child process needs to lease this process's home clones; this one only drops them in the end.

        `alias` is the main one of them. What another process cannot take over is left out.
        """
        beside = [other for other, opened in self._opened.items() if other != alias and opened.server.can_be_adopted]
        return replace(self._handed_over(alias), beside=[self._handed_over(other) for other in beside])

    def _handed_over(self, alias: str) -> Handover:
        opened, address = self.open(alias), self.reserve(alias)
        opened.pool.home.step_aside()
        mirrors = [mirror for mirror, database in self.settings.databases.items() if database.mirror == alias]
        return Handover(
            alias,
            address.database,
            opened.template.name,
            address.url,
            opened.server.own_url,
            self.settings.get_database(alias).given(),
            str(self.settings.root_of(self.settings.get_database(alias))),
            self.settings.project,
            {mirror: self.reserve(mirror).url for mirror in mirrors},
            self._application,
        )

    @property
    def _application(self) -> str | None:
        """The distribution that is tested, where somebody has said its name."""
        return self.settings.project if self.settings.is_named else None

    def open(self, alias: str = DEFAULT) -> OpenDatabase:
        """Make a database ready: server, template and home clone. Again is free. Raises MintdbError."""
        alias = self.settings.home_of(alias)
        with self._opening:  # several threads may ask for their first lease at once
            if alias not in self._opened:
                self._opened[alias] = self._open(alias)
                self._limit(self._opened[alias])
            return self._opened[alias]

    def is_open(self, alias: str = DEFAULT) -> bool:
        """Whether a database has been made ready."""
        return self.settings.home_of(alias) in self._opened

    def has_made(self, database: str) -> bool:
        """Whether a database of this name is one of this process's clones, whichever mint of it has made it."""
        parsed = find_role(PurePath(database).stem)  # a name, or the path of a file
        return any(mint._has_made(database, parsed.owner if parsed else None) for mint in list(_living))

    def _has_made(self, database: str, owner: str | None) -> bool:
        return owner == self.owner or database in {self.reserve(alias).database for alias in self._reserved}

    def uses_as_it_is(self, alias: str = DEFAULT) -> bool:
        """Whether a database is somebody else's, where nothing is created and nothing put back."""
        return bool(getattr(self._reservation(alias), "as_it_is", False))  # most kinds of reservation never are

    def lease(self, alias: str = DEFAULT, *, isolation: str | None = None, test: str | None = None) -> Lease:
        """Lease a database in mint condition, for `test` if a report should name one. Raises MintdbError."""
        login = self.reserve(alias) if alias != self.settings.home_of(alias) else None
        return self.open(alias).pool.lease(isolation or self.settings.isolation, test=test, login=login)

    def close(self) -> Sequence[Session]:
        """Drop this process's clones and leave the servers; returns the sessions of other processes that it ended."""
        left: list[Session] = []
        if os.getpid() != self._process:  # a forked child, whose parent goes on
            self._opened.clear()
        for opened in self._opened.values():
            try:
                left += opened.pool.drop()
            finally:
                opened.server.close()
        self._opened.clear()
        return left

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, alias: str) -> OpenDatabase:
        refuse_eventlet()
        ours.on_claim(ledger.disown)
        server = self._reservation(alias).open(owner=self.owner, linger=self.settings.linger, let_go=pools.let_go)
        try:
            if handover := self._find_handover(alias):
                return OpenDatabase(server, Template(handover.template, built=False), self._pool_of(alias, server))
            return self._build(alias, server)
        except BaseException:
            server.close()
            raise

    def _limit(self, opened: OpenDatabase) -> None:
        """Hold openers to a budget, so that one waits or is told who holds what, and no server refuses a random one."""
        limit = self.settings.max_connections or budget_of(opened.server, self.processes)
        if limit is not None:
            name = opened.pool.home.address.database
            budget = Budget(limit, self.settings.connection_timeout, counts=lambda database: name in database)
            self._limits.enter_context(limited(budget))

    def _build(self, alias: str, server: Server) -> OpenDatabase:
        database: DatabaseSettings = self.settings.get_database(alias)
        if self.uses_as_it_is(alias):
            self.announce(AS_IT_IS.format(alias=alias, url=self.reserve(alias).redacted))
            return OpenDatabase(server, Template(AS_IT_IS, built=False), self._pool_of(alias, server, AS_IT_IS))
        template = get_template(
            server,
            *get_layers(database, root=self.settings.root_of(database)),
            project=self.settings.project,
            environment=self.settings.env,
            fresh=self.fresh,
            announce=self.announce,
        )
        if database.name:
            server.hold_name(database.name, timeout=self.settings.name_timeout)
        return OpenDatabase(server, template, self._pool_of(alias, server, template.name))

    def _pool_of(self, alias: str, server: Server, template: str | None = None) -> ClonePool:
        """The clones of a database; without a template, around the one that was handed over."""
        handover = self._find_handover(alias)
        return ClonePool(
            server,
            template or (handover.template if handover else ""),
            lambda number: self._home_name(alias) if number == 1 else self._clone_name(alias, number),
            settle=self.settings.settle,
            accounts_for=lambda clone: CloneAccounts(clone.address.database, clone.address.port),
            adopt=template is None,
        )

    def _reservation(self, alias: str) -> Reservation:
        if alias not in self._reserved:
            self._reserved[alias] = self._reserve(alias)
        return self._reserved[alias]

    def _reserve(self, alias: str) -> Reservation:
        self.settings.refuse_protected(alias)
        database = self.settings.get_database(alias)
        engine = get_engine(database.engine)
        if (handover := self._find_handover(alias)) and (url := handover.find_url(alias)):
            return engine.reserve_running(url, own_url=handover.own_url)
        # A fixed name exists once on a server: each worker then needs a server of its own.
        slot = self.worker if database.name and self.worker != MAIN else ""
        return engine.reserve(database, self.settings, slot=slot)

    def _find_handover(self, alias: str) -> Handover | None:
        return self._handover.find(alias) if self._handover else None

    def _home_name(self, alias: str) -> str:
        if handover := self._find_handover(alias):
            return handover.name
        return self.settings.get_database(alias).name or self._clone_name(self.settings.home_of(alias), 1)

    def _clone_name(self, alias: str, number: int) -> str:
        suffix = ("" if alias == DEFAULT else distinct(alias)) + ("" if number == 1 else f"_{number}")
        worker = slug(self.worker) + suffix
        return str(DatabaseName(Role.CLONE, slug(self.settings.project), owner=self.owner, worker=worker))


_living: WeakSet[Mint] = WeakSet()
"""A run's own, and Django's for each of its test databases."""


@dataclass(frozen=True)
class OpenDatabase:
    """One configured database, ready to be leased."""

    server: Server
    template: Template
    pool: ClonePool


def visit(login: Mapping[str, str]) -> Visit | None:
    """A short stay in a database that mintdb did not make, by its application's own login; None if that cannot be."""
    ours.on_claim(ledger.disown)
    return find_visiting("postgresql")(login)  # the only one whose drivers tell a login


def open(start: str | os.PathLike[str] | None = None, *, fresh: bool = False, **settings: Any) -> Mint:
    """A mint for the project at `start` (default: the current folder).

    Keyword arguments are settings, of the run or of the default database, and go before all others:
    `mintdb.open(schema="sql:db/", url="postgresql://…")`. Raises SettingsError.
    """
    given: Mapping[str, object] = settings or EMPTY
    return Mint(load(Path(start) if start else None, call=given), fresh=new_token() if fresh else "")
