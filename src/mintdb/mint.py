"""The facade: settings → server → template → lease. Frameworks and the command line ask it, and nothing below it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mintdb.address import Address
from mintdb.connections.ledger import ledger
from mintdb.connections.pools import pools
from mintdb.connections.settling import CloneAccounts
from mintdb.contract import Reservation, SchemaSource, Server, Session
from mintdb.core import ours
from mintdb.core.clones import ClonePool
from mintdb.core.lease import Lease
from mintdb.core.names import DatabaseName, Role, new_token, slug
from mintdb.core.templates import Template, get_template
from mintdb.engines import get_engine
from mintdb.schemas import get_source
from mintdb.settings import DEFAULT, EMPTY, DatabaseSettings, Settings, load

MAIN = "main"  # the worker name of a process that is not one of several


class Mint:
    """What one process needs to lease databases: a stay on a server for each configured database, from first use on."""

    def __init__(
        self,
        settings: Settings,
        *,
        worker: str = MAIN,
        fresh: str = "",
        announce: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Nothing is read, started or connected to yet.

        `worker` tells apart the processes of one run; `fresh`, if not empty, is the run whose templates count as new;
        `announce` is told of what takes long.
        """
        self.settings = settings
        self.worker = worker
        self.owner = new_token()
        self._fresh = fresh
        self._announce = announce
        self._opened: dict[str, OpenDatabase] = {}
        self._reserved: dict[str, Reservation] = {}

    def reserve(self, alias: str = DEFAULT) -> Address:
        """Where the home clone of a database will answer. Nothing is started. Raises SettingsError, ServerError."""
        return self._reservation(alias).address(self._home_name(alias))

    def exports(self) -> dict[str, str]:
        """The environment variables that the settings ask for, with their URLs."""
        return {
            variable: self.reserve(database.alias).url_for(form)
            for database in self.settings.databases.values()
            for variable, form in database.export.items()
        }

    def open(self, alias: str = DEFAULT) -> OpenDatabase:
        """Make a database ready: server, template and home clone. Again is free. Raises MintdbError."""
        if alias not in self._opened:
            database = self.settings.get_database(alias)
            ours.on_claim(ledger.disown)
            server = self._reservation(alias).open(owner=self.owner, linger=self.settings.linger, let_go=pools.let_go)
            try:
                self._opened[alias] = OpenDatabase(self, database, server, self._home_name(alias))
            except BaseException:
                server.close()
                raise
        return self._opened[alias]

    def lease(self, alias: str = DEFAULT, *, isolation: str | None = None, test: str | None = None) -> Lease:
        """Lease a database in mint condition, for `test` if a report should name one. Raises MintdbError."""
        return self.open(alias).pool.lease(isolation or self.settings.isolation, test=test)

    def close(self) -> Sequence[Session]:
        """Drop this process's clones and leave the servers; returns the sessions of other processes that it ended."""
        left: list[Session] = []
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

    def _reservation(self, alias: str) -> Reservation:
        if alias not in self._reserved:
            database = self.settings.get_database(alias)
            # A fixed name exists once on a server: each worker then needs a server of its own.
            slot = self.worker if database.name and self.worker != MAIN else ""
            self._reserved[alias] = get_engine(database.engine).reserve(database, self.settings, slot=slot)
        return self._reserved[alias]

    def _home_name(self, alias: str) -> str:
        return self.settings.get_database(alias).name or self._clone_name(alias, 1)

    def _clone_name(self, alias: str, number: int) -> str:
        suffix = ("" if alias == DEFAULT else slug(alias)) + ("" if number == 1 else str(number))
        worker = slug(self.worker) + suffix
        return str(DatabaseName(Role.CLONE, slug(self.settings.project), owner=self.owner, worker=worker))


class OpenDatabase:
    """One configured database, ready to be leased."""

    def __init__(self, mint: Mint, database: DatabaseSettings, server: Server, home: str) -> None:
        self.server = server
        self.source: SchemaSource = get_source(database.schema, root=mint.settings.root)
        self.template: Template = get_template(
            server, self.source, project=mint.settings.project, fresh=mint._fresh, announce=mint._announce
        )
        if database.name:
            server.hold_name(database.name, timeout=mint.settings.name_timeout)
        self.pool = ClonePool(
            server,
            self.template.name,
            lambda number: home if number == 1 else mint._clone_name(database.alias, number),
            settle=mint.settings.settle,
            accounts_for=lambda clone: CloneAccounts(clone.address.database, clone.address.port),
        )


def open(  # mintdb.open() reads as it should
    start: str | os.PathLike[str] | None = None, *, fresh: bool = False, **settings: Any
) -> Mint:
    """A mint for the project at `start` (default: the current folder).

    Keyword arguments are settings, of the run or of the default database, and go before all others:
    `mintdb.open(schema="sql:db/", url="postgresql://…")`. Raises SettingsError.
    """
    given: Mapping[str, object] = settings or EMPTY
    return Mint(load(Path(start) if start else None, call=given), fresh=new_token() if fresh else "")
