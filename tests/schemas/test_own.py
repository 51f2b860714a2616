"""A schema source of the project's own, on a real server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mintdb.address import Address
from mintdb.contract import SchemaSource
from mintdb.schemas.errors import CallFailedError, NotASourceError

Write = Callable[[str, str | bytes], Path]
Source = Callable[[str], SchemaSource]
Fetch = Callable[[str], list[tuple[object, ...]]]
Digest = Callable[[str], bytes]

MIGRATIONS = """\
import os

import psycopg


class Migrations:
    def __init__(self, part=b"one"):
        self.part = part

    def fingerprint(self):
        yield self.part

    def build(self, database):
        assert os.environ["DATABASE_URL"] == database.url
        with psycopg.connect(database.url) as connection:
            connection.execute("create table t (id int)")


def make():
    return Migrations(b"two")


migrations = Migrations(b"three")
broken = Migrations("no bytes")


class Failing(Migrations):
    def build(self, database):
        raise ValueError("no such migration")
"""


@pytest.mark.parametrize("name", ["Migrations", "make", "migrations"])
def test_an_object_or_what_makes_one_fills_the_database(
    database: Address, write: Write, source: Source, fetch: Fetch, forget_modules: None, name: str
) -> None:
    write("mint_own.py", MIGRATIONS)
    source(f"source:mint_own:{name}").build(database)
    assert fetch("select count(*) from t") == [(0,)]


def test_the_fingerprint_is_the_objects_own(write: Write, digest: Digest, forget_modules: None) -> None:
    write("mint_own.py", MIGRATIONS)
    found = [digest(f"source:mint_own:{name}") for name in ("Migrations", "make", "migrations")]
    assert found == [b"one", b"two", b"three"]


def test_what_it_raises_is_shown_with_its_line(
    database: Address, write: Write, source: Source, forget_modules: None
) -> None:
    write("mint_own.py", MIGRATIONS)
    with pytest.raises(CallFailedError) as caught:
        source("source:mint_own:Failing").build(database)
    assert (
        str(caught.value)
        == """\
schema source 'source:mint_own:Failing' failed
  ValueError: no such migration
  mint_own.py:29 in build
    raise ValueError("no such migration")"""
    )


def test_what_does_not_fulfil_the_protocol_is_refused(write: Write, digest: Digest, forget_modules: None) -> None:
    write("mint_own.py", MIGRATIONS)
    with pytest.raises(NotASourceError) as caught:
        digest("source:mint_own:psycopg")
    assert (
        str(caught.value)
        == """\
schema source 'source:mint_own:psycopg' is none: module has no fingerprint and build
  1. give it  fingerprint(), an iterable of bytes,  and  build(database), which gets the empty database's address"""
    )
    with pytest.raises(NotASourceError, match="its fingerprint has str, not bytes"):
        digest("source:mint_own:broken")
