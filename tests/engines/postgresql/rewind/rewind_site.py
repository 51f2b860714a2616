"""Clones of small templates on a private server, kept as the rewind's caller keeps them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import psycopg
from benchmarks.private_server import PrivateServer

from mintdb.engines.postgresql.rewind import CannotRewind, MarkTaken, PutBack, Rewinder

NUMBERS = itertools.count(1)


@dataclass
class Site:
    """A server, and the databases made on it."""

    server: PrivateServer

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(self.server.conninfo(database), autocommit=True, application_name="mintdb")

    def admin(self, statement: str) -> None:
        with self.connect() as session:
            session.execute(statement)

    def template(self, *statements: str) -> str:
        name = f"template_{next(NUMBERS)}"
        self.admin(f"create database {name} strategy file_copy")
        with self.connect(name) as session:
            for statement in statements:
                session.execute(statement)
        return name

    def copy(self, template: str, strategy: str = "file_copy") -> str:
        name = f"mint_clone_{next(NUMBERS)}"  # as mintdb names them: others are told
        self.admin(f"create database {name} template {template} strategy {strategy}")
        return name


@dataclass
class Clone:
    """A clone under a rewinder, as the rewind's caller keeps it: swapped where it cannot be rewound."""

    site: Site
    template: str
    with_reference: bool = True
    reasons: list[str] = field(default_factory=list)
    stack: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        self.floors = [self.template]  # one per mark: a template, or "" for a mark of rows
        self.name = self.site.copy(self.template)
        self.pristine = self._pristine()
        self.rewinder = Rewinder(self.site.connect(self.name), reference=self.reference)

    @property
    def reference(self) -> Callable[[], psycopg.Connection] | None:
        return (lambda: self.site.connect(self.pristine)) if self.with_reference else None

    def _pristine(self) -> str:
        return self.site.copy(self._floor) if self.with_reference else ""

    @property
    def _floor(self) -> str:
        return next(name for name in reversed(self.floors) if name)

    def connect(self) -> psycopg.Connection:
        """A session that lives until the clone is swapped or closed."""
        return self.stack.enter_context(self.site.connect(self.name))

    @contextmanager
    def session(self) -> Iterator[psycopg.Connection]:
        with self.site.connect(self.name) as session:
            yield session

    def run(self, *statements: str) -> None:
        with self.session() as session:
            for statement in statements:
                session.execute(statement)

    def rows(self, query: str) -> list[tuple]:
        with self.session() as session:
            return session.execute(query).fetchall()

    def put_back(self) -> PutBack | None:
        """Rewind, or swap; None says that it was a swap."""
        try:
            return self.rewinder.put_back()
        except CannotRewind as refusal:
            self.reasons.append(refusal.reason)
            self.swap()
            return None

    def swap(self, strategy: str = "file_copy") -> tuple[str, ...]:
        """Tells what has changed outside."""
        self._leave()
        self._drop(self.name)
        self.name = self.site.copy(self._floor, strategy)
        return self._arrive()

    def push_mark(self) -> MarkTaken:
        taken = self.rewinder.push_mark()
        if taken.ddl:
            self._leave()
            self.floors.append(self.site.copy(self.name))
            self._renew_pristine()
            self._arrive()
        else:
            self.floors.append("")
        return taken

    def pop_mark(self) -> None:
        self.rewinder.drop_mark(len(self.floors) - 1)
        gone = self.floors.pop()
        if gone:
            self._drop(gone)
            self._renew_pristine()

    def _leave(self) -> None:
        self.stack.close()
        self.rewinder.leave()

    def _renew_pristine(self) -> None:
        self._drop(self.pristine)
        self.pristine = self._pristine()

    def _arrive(self) -> tuple[str, ...]:
        return self.rewinder.move_to(self.site.connect(self.name), reference=self.reference)

    def _drop(self, *databases: str) -> None:
        for database in filter(None, databases):
            self.site.admin(f"drop database {database} with (force)")

    def close(self) -> None:
        self._leave()
        self.rewinder.close()
        self._drop(self.name, self.pristine, *self.floors[1:])
