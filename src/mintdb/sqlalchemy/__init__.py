"""SQLAlchemy engines and sessions for tests: they lead to the leased database, and end with their test.

The pytest fixtures `mintdb_engine`, `mintdb_session`, their asynchronous twins and `mintdb_join` are made of these; a
TestCase or a script uses them directly.
"""

from __future__ import annotations

from mintdb.sqlalchemy.engines import Engines, check_leads_to, create_async_engine, create_engine, engines_of, leads_to
from mintdb.sqlalchemy.errors import Refused
from mintdb.sqlalchemy.guard import Guard, guard_what_is_not_ours
from mintdb.sqlalchemy.sessions import TestSession, open_async_session, open_session
from mintdb.sqlalchemy.transaction import Transactions

__all__ = [
    "Engines",
    "Guard",
    "Refused",
    "TestSession",
    "Transactions",
    "check_leads_to",
    "create_async_engine",
    "create_engine",
    "engines_of",
    "guard_what_is_not_ours",
    "leads_to",
    "open_async_session",
    "open_session",
]
