"""SQLAlchemy metadata as a schema source, on a real server."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mintdb.address import Address
from mintdb.contract import SchemaSource
from mintdb.schemas.errors import CallFailedError, CreateAllError, EmptyMetadataError, NotMetadataError

pytestmark = pytest.mark.usefixtures("forget_modules")

Write = Callable[[str, str | bytes], Path]
Source = Callable[[str], SchemaSource]
Fetch = Callable[[str], list[tuple[object, ...]]]
Digest = Callable[[str], bytes]

HEAD = """\
from sqlalchemy import *
from sqlalchemy import event
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

metadata = MetaData()
"""
MODELS = (
    HEAD
    + """
kind = Enum("a", "b", name="kind", metadata=metadata)
parent = Table("parent", metadata, Column("id", Integer, primary_key=True), Column("kind", kind), comment="people")
child = Table(
    "child",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("parent_id", ForeignKey("parent.id", ondelete="CASCADE"), index=True),
    Column("n", Integer, Sequence("numbers", start=7), server_default=text("5")),
    Column("name", String(20), unique=True, comment="short"),
    CheckConstraint("n > 0", name="positive"),
    schema="family",
)
event.listen(metadata, "after_create", DDL("create view people as select id from parent"))
"""
)


def nobody_else_is_there(fetch: Fetch, *, within: float = 30.0) -> bool:
    """Whether the asking connection is soon the only one; a backend ends a moment after its client has closed."""
    deadline = time.monotonic() + within
    while fetch("select count(*) from pg_stat_activity where datname = current_database()") != [(1,)]:
        if time.monotonic() > deadline:
            return False
    return True


@pytest.mark.parametrize("name", ["metadata", "Base", "Base.metadata", "Item"])
def test_metadata_is_created_however_it_is_named(
    database: Address, write: Write, source: Source, fetch: Fetch, name: str
) -> None:
    write(
        "models.py",
        HEAD
        + "class Base(DeclarativeBase): metadata = metadata\n"
        + "class Item(Base):\n    __tablename__ = 'item'\n    id: Mapped[int] = mapped_column(primary_key=True)\n",
    )
    source(f"metadata:models:{name}").build(database)
    assert fetch("select * from item") == []


def test_all_that_create_all_makes_is_made(database: Address, write: Write, source: Source, fetch: Fetch) -> None:
    write("models.py", MODELS)
    source("metadata:models:metadata").build(database)
    found = fetch("select relname from pg_class where relnamespace in ('public'::regnamespace, 'family'::regnamespace)")
    names = {name for (name,) in found}
    assert {"parent", "child", "people", "numbers", "ix_family_child_parent_id"} <= names
    assert nobody_else_is_there(fetch)


def test_a_schema_that_an_event_creates_is_left_to_it(
    database: Address, write: Write, source: Source, fetch: Fetch
) -> None:
    write("models.py", MODELS + "event.listen(metadata, 'before_create', DDL('create schema family'))\n")
    source("metadata:models:metadata").build(database)
    assert fetch("select * from family.child") == []


def test_a_type_that_two_tables_share_is_made_once(
    database: Address, write: Write, source: Source, fetch: Fetch
) -> None:
    table = "Table('{0}', metadata, Column('id', Integer, primary_key=True), Column('k', Enum('a', name='kind')))\n"
    write("models.py", HEAD + table.format("one") + table.format("two"))
    source("metadata:models:metadata").build(database)
    assert fetch("select one.k = two.k from one, two") == []


def test_what_the_server_refuses_is_shown_with_its_statement(database: Address, write: Write, source: Source) -> None:
    write("models.py", MODELS + "event.listen(child, 'after_create', DDL('create index on nowhere (x)'))\n")
    with pytest.raises(CreateAllError) as caught:
        source("metadata:models:metadata").build(database)
    assert (caught.value.code, caught.value.statement) == ("SQLSTATE 42P01", "  | create index on nowhere (x)")


def test_a_listener_that_fails_is_shown_with_its_line(database: Address, write: Write, source: Source) -> None:
    listener = "@event.listens_for(metadata, 'after_create')\ndef seed(target, connection, **more):\n    1 / 0\n"
    write("models.py", MODELS + listener)
    with pytest.raises(CallFailedError) as caught:
        source("metadata:models:metadata").build(database)
    assert caught.value.where.endswith("in seed\n    1 / 0")


def test_a_failed_create_all_leaves_nothing_and_nobody(
    database: Address, write: Write, source: Source, fetch: Fetch
) -> None:
    write("models.py", MODELS + "event.listen(metadata, 'after_create', DDL('nonsense'))\n")
    with pytest.raises(CreateAllError):
        source("metadata:models:metadata").build(database)
    assert fetch("select 1 from pg_tables where schemaname in ('public', 'family')") == []
    assert nobody_else_is_there(fetch)


def test_metadata_without_tables_and_other_objects_are_refused(write: Write, digest: Digest) -> None:
    write("models.py", HEAD + "other = 3\n")
    with pytest.raises(EmptyMetadataError):
        digest("metadata:models:metadata")
    with pytest.raises(NotMetadataError) as caught:
        digest("metadata:models:other")
    assert caught.value.kind == "int"


CHANGES = {
    "a column": ('"id", Integer, primary_key', '"key", Integer, primary_key'),
    "a type": ("String(20)", "String(21)"),
    "a schema": ('schema="family"', 'schema="tribe"'),
    "an enum": ('"a", "b"', '"a", "b", "c"'),
    "a sequence": ("start=7", "start=8"),
    "an index": ("index=True", "index=False"),
    "a table's comment": ('"people"', '"persons"'),
    "a column's comment": ('"short"', '"brief"'),
    "a default": ('text("5")', 'text("6")'),
    "a foreign key": ("CASCADE", "SET NULL"),
    "a check": ("n > 0", "n > 1"),
    "a constraint": ("unique=True", "unique=False"),
    "an event": ("select id from", "select id + 1 from"),
}


@pytest.fixture
def digest_of(write: Write, digest: Digest, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], bytes]:
    """The fingerprint of the metadata that some models make."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # a second version within a second would not be read

    def digest_of(models: str) -> bytes:
        write("models.py", models)
        sys.modules.pop("models", None)
        importlib.invalidate_caches()
        return digest("metadata:models:metadata")

    return digest_of


@pytest.mark.parametrize("change", CHANGES)
def test_the_fingerprint_changes_with(digest_of: Callable[[str], bytes], change: str) -> None:
    before, after = CHANGES[change]
    assert before in MODELS
    assert digest_of(MODELS) != digest_of(MODELS.replace(before, after))


def test_the_fingerprint_stays_where_the_result_stays(digest_of: Callable[[str], bytes]) -> None:
    assert digest_of(MODELS) == digest_of("# a comment\n" + MODELS + "\ndef view():\n    return 'changed'\n")


def fingerprint_elsewhere(root: Path) -> bytes:
    """The fingerprint as another process finds it."""
    code = (
        "import sys; from pathlib import Path; from mintdb.schemas import get_source;"
        "source = get_source('metadata:models:metadata', root=Path(sys.argv[1]));"
        "sys.stdout.buffer.write(b'|'.join(source.fingerprint()))"
    )
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    run = subprocess.run([sys.executable, "-c", code, root], capture_output=True, check=True, env=environment)
    return run.stdout


def test_the_fingerprint_is_the_same_in_every_process(write: Write, tmp_path: Path) -> None:
    columns = ", ".join(f"Column('c{i}', Integer, index=True)" for i in range(12))
    cycle = "Column('id', Integer, primary_key=True), Column('o', ForeignKey('{0}.id', name='to_{0}'))"
    models = f"Table('wide', metadata, {columns})\n" + "".join(
        f"Table('{a}', metadata, {cycle.format(b)})\n" for a, b in ("ab", "bc", "ca", "de", "ed")
    )
    write("models.py", HEAD + models)
    assert len({fingerprint_elsewhere(tmp_path) for _ in range(4)}) == 1


SEED = """
@event.listens_for(metadata, "after_create")
def seed(target, connection, **more):
    connection.execute(parent.insert().values(id=1, kind="a"))
    if connection.scalar(text("select count(*) from parent")) == 1:
        connection.execute(text("insert into parent values (2, 'b')"))
"""


def test_a_listener_that_asks_the_database_is_fingerprinted_by_its_source(
    database: Address, write: Write, source: Source, fetch: Fetch, digest_of: Callable[[str], bytes]
) -> None:
    first = digest_of(MODELS + SEED)
    source("metadata:models:metadata").build(database)
    assert fetch("select id from parent") == [(1,), (2,)]
    assert digest_of(MODELS + SEED.replace("(2, 'b')", "(3, 'b')")) != first
