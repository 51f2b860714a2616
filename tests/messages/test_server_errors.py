"""What people read when runs are in each other's way on a server, word for word, each from the real failure.

What machines and servers do wrong is in tests/engines/postgresql/test_bad_input.py.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import mintdb
from mintdb.core.lease import LeaseEnded
from mintdb.engines.errors import NameTooLong
from mintdb.engines.postgresql.errors import FixedNameOnSharedServer, LockTimeout, NameBusy
from mintdb.mint import Mint
from mintdb.settings import load


@pytest.fixture
def orchard(tmp_path: Path, server_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mint]:
    """A run that has the database name `orchard`."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("MINTDB_PROJECT", "orchard")
    with mintdb.open(tmp_path, name="orchard") as mint:
        mint.open()
        yield mint


def test_a_name_that_another_run_has(orchard: Mint, tmp_path: Path) -> None:
    other = mintdb.open(tmp_path, name="orchard", name_timeout=0.2)
    with pytest.raises(NameBusy) as caught:
        other.open()
    assert (
        str(caught.value)
        == f"""\
database name 'orchard' is taken, held by mintdb run {orchard.owner} (process {os.getpid()})
  waited     0.2 s for it to end
  1. let the other run end, or end it
  2. or take `name` out of the settings: each run then has a name of its own"""
    )


@pytest.mark.parametrize(("name", "length"), [("n" * 64, 64), ("é" * 32, 64)])
def test_a_name_of_more_than_63_bytes_is_refused_before_anything_is_started(
    tmp_path: Path, name: str, length: int
) -> None:
    with pytest.raises(NameTooLong) as caught:
        mintdb.open(tmp_path, name=name).reserve()
    assert (
        str(caught.value)
        == f"""\
the database name {name!r} has {length} bytes; PostgreSQL allows 63
  1. give `name` a shorter one"""
    )


def test_a_lock_that_another_run_holds_too_long(orchard: Mint, tmp_path: Path) -> None:
    with mintdb.open(tmp_path) as other:
        theirs, ours = other.open().server, orchard.open().server
        with theirs.lock("template apples", timeout=1), pytest.raises(LockTimeout) as caught:
            ours.lock("template apples", timeout=0.1).__enter__()
        assert (
            str(caught.value)
            == f"""\
waited 0.1 s for template apples, held by mintdb run {other.owner} (process {os.getpid()})
  1. see what that process is doing
  2. or end it: its lock is free at once"""
        )


def test_a_fixed_name_for_several_workers_on_one_server(tmp_path: Path) -> None:
    given = {"url": "postgresql://me:secret@db/postgres", "name": "orchard"}
    with pytest.raises(FixedNameOnSharedServer) as caught:
        Mint(load(tmp_path, call=given, environ={}), worker="gw1").reserve()
    assert (
        str(caught.value)
        == """\
worker gw1 cannot have the fixed database name on postgresql://me:***@db:5432/postgres: all workers would share one database
  1. run without -n
  2. or take `name` out of the settings: each worker then has a database of its own
  3. or take `url` out: each worker then has an embedded server of its own"""  # noqa: E501  # one line of the message
    )


def test_a_lease_that_has_ended(orchard: Mint) -> None:
    lease = orchard.lease()
    lease.release()
    with pytest.raises(LeaseEnded) as caught:
        lease.url  # noqa: B018  # reading it is what fails
    assert (
        str(caught.value)
        == """\
the lease of orchard has ended, and the database may be another test's by now
  1. ask for the URL or the connection inside the test"""
    )


def test_no_message_shows_a_password(orchard: Mint, tmp_path: Path) -> None:
    """A URL that an error names is redacted, whatever the error is."""
    url = orchard.reserve().url.replace("/orchard", "/postgres")
    with pytest.raises(mintdb.MintdbError) as caught:
        mintdb.open(tmp_path, url=url, name="postgres").open()
    password = re.search(r":([^:@]+)@", url)
    assert password is not None
    assert password[1] not in str(caught.value)
