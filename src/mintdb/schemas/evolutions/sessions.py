"""What evolutions need of one connection, whatever the engine; an engine's own module fulfils it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Any, Protocol

from mintdb.address import Address
from mintdb.schemas.evolutions.errors import EngineWithoutEvolutions

MODULES = {"postgresql": "postgresql", "sqlite": "sqlite", "mysql": "mysql"}  # engine -> module
DDL = """
create table {table} (
    id int not null primary key,
    hash varchar(255) not null,
    applied_at timestamp not null,
    apply_script text,
    revert_script text,
    state varchar(255),
    last_problem text
)
"""


class Refused(Exception):
    """The database refused a statement."""

    def __init__(self, message: str, *, code: int, state: str, described: str) -> None:
        super().__init__(message)
        self.message = message  # as Play's log has it
        self.code = code  # the vendor's
        self.state = state  # SQLSTATE
        self.described = described  # with detail and hint

    @property
    def problem(self) -> str:
        """What Play writes into last_problem."""
        return f"{self.message} [ERROR:{self.code}, SQLSTATE:{self.state}]"


class Session(Protocol):
    """One connection; each statement commits by itself outside of `transaction`. All may raise Refused."""

    DDL: str  # the statement that makes {table}

    def fetch(self, statement: str, *values: object) -> list[tuple[Any, ...]]:  # Any: as the statement selects
        """Rows; a value stands for each %s."""

    def run(self, statement: str, *values: object) -> None:
        """A statement of ours."""

    def run_script(self, statement: str) -> None:
        """A statement of an evolution, in which % is a percent sign."""

    def transaction(self) -> AbstractContextManager[Any]:  # Any: it gives nothing
        """What is run in the block is committed together, or not at all."""

    def lock(self, *, timeout: float) -> None:
        """Wait until no other process works on this database's evolutions. Raises EvolutionsBusy."""

    def end_idle_transactions(self) -> Sequence[str]:
        """End the sessions whose forgotten transaction the downs would wait for; returns who they were."""

    def close(self) -> None:
        """Let go of the lock, and of the connection."""


def connect(address: Address) -> Session:
    """A session on a database. Raises EngineWithoutEvolutions and EvolutionsUnreachable."""
    if address.engine not in MODULES:
        raise EngineWithoutEvolutions(engine=address.engine, known=", ".join(MODULES))
    module = import_module(f"mintdb.schemas.evolutions.{MODULES[address.engine]}")
    session: Session = module.open_session(address)
    return session
