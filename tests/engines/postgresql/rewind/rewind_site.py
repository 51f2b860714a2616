"""Clones of small templates on a private server, kept as the rewind's caller keeps them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

import psycopg
from psycopg import sql
from rewind_server import PrivateServer

from mintdb.engines.postgresql.rewind import CannotRewind, PutBack, Rewinder

NUMBERS = itertools.count(1)


@dataclass
class Site:
    """A server, the databases made on it, and the sessions opened to them."""

    server: PrivateServer
    stack: ExitStack = field(default_factory=ExitStack)

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        return self.stack.enter_context(psycopg.connect(self.server.conninfo(database), autocommit=True))

    def admin(self, statement: sql.Composable | str) -> None:
        with psycopg.connect(self.server.conninfo(), autocommit=True) as session:
            session.execute(statement)

    def template(self, *statements: str) -> str:
        name = f"template_{next(NUMBERS)}"
        self.admin(f"create database {name} strategy file_copy")
        with psycopg.connect(self.server.conninfo(name), autocommit=True) as session:
            for statement in statements:
                session.execute(statement)
        return name

    def copy(self, template: str) -> str:
        name = f"clone_{next(NUMBERS)}"
        self.admin(f"create database {name} template {template} strategy file_copy")
        return name


@dataclass
class Clone:
    """A clone under a rewinder, as the rewind's caller keeps it: swapped where it cannot be rewound."""

    site: Site
    template: str
    with_reference: bool = True
    reasons: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.name = self.site.copy(self.template)
        self.pristine = self.site.copy(self.template)
        self.rewinder = Rewinder(self.site.connect(self.name), reference=self.reference)

    @property
    def reference(self) -> Callable[[], psycopg.Connection] | None:
        return (lambda: self.site.connect(self.pristine)) if self.with_reference else None

    def connect(self) -> psycopg.Connection:
        return self.site.connect(self.name)

    def run(self, *statements: str) -> None:
        with psycopg.connect(self.site.server.conninfo(self.name), autocommit=True) as session:
            for statement in statements:
                session.execute(statement)

    def rows(self, query: str) -> list[tuple]:
        with psycopg.connect(self.site.server.conninfo(self.name), autocommit=True) as session:
            return session.execute(query).fetchall()

    def put_back(self) -> PutBack | None:
        """Rewind, or swap; None says that it was a swap."""
        try:
            return self.rewinder.put_back()
        except CannotRewind as refusal:
            self.reasons.append(refusal.reason)
            self.swap()
            return None

    def swap(self) -> None:
        self.name = self.site.copy(self.template)
        self.rewinder.move_to(self.site.connect(self.name), reference=self.reference)
