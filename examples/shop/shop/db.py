"""The one engine of the application, made when it is imported, and plain connections for what needs no ORM."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from typing import TypeVar

import psycopg
from sqlalchemy import create_engine, make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

DATABASE_URL = os.environ["DATABASE_URL"]
RETRIES = 50  # of eight that want the same row, seven wait and then have to begin again

engine = create_engine(make_url(DATABASE_URL).set(drivername="postgresql+psycopg"), pool_size=10, pool_pre_ping=True)
begin = sessionmaker(engine, expire_on_commit=False).begin
begin_serializable = sessionmaker(
    engine.execution_options(isolation_level="SERIALIZABLE"), expire_on_commit=False
).begin

Result = TypeVar("Result")


def connect(*, autocommit: bool = False) -> psycopg.Connection:
    """A connection of one's own; `with` commits and closes it."""
    return psycopg.connect(DATABASE_URL, autocommit=autocommit)


def retry(work: Callable[[Session], Result], *, attempts: int = RETRIES) -> Result:
    """Do `work` in a serializable transaction, and again where the server says that another one was in its way."""
    for attempt in range(attempts):
        try:
            with begin_serializable() as session:
                return work(session)
        except OperationalError as error:
            if not isinstance(error.orig, psycopg.errors.SerializationFailure | psycopg.errors.DeadlockDetected):
                raise
            if attempt + 1 == attempts:
                raise
        time.sleep(random.uniform(0, 0.002 * attempt))
    raise AssertionError("not reached")
