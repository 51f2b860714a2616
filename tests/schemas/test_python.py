"""A Python callable as a schema source, on a real server."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mintdb.address import Address
from mintdb.contract import SchemaSource
from mintdb.schemas.errors import ArgumentsError, CallFailedError, ModuleFailedError, ModuleMissingError, TooEarlyError

pytestmark = pytest.mark.usefixtures("forget_modules")

Write = Callable[[str, str | bytes], Path]
Source = Callable[[str], SchemaSource]
Fetch = Callable[[str], list[tuple[object, ...]]]
Digest = Callable[[str], bytes]

HEAD = """\
import os
import psycopg

def fill(url):
    with psycopg.connect(url) as connection:
        connection.execute("create table made (id int)")

"""
MADE = "select tablename from pg_tables where schemaname = 'public'"


@pytest.mark.parametrize(
    "definition",
    [
        "create = fill",
        "def create(url, *, verbose=False): fill(url)",
        "def create(url=None): fill(url)",
        "def create(*urls): fill(*urls)",
        "def create(): fill(os.environ['DATABASE_URL'])",
        "async def create(url): fill(url)",
        "class create:\n    def __init__(self, url): fill(url)",
        "from functools import partial\ncreate = partial(fill)",
    ],
)
def test_a_callable_fills_the_database_however_it_takes_the_url(
    database: Address, write: Write, source: Source, fetch: Fetch, definition: str
) -> None:
    write("tables.py", HEAD + definition)
    source("python:tables:create").build(database)
    assert fetch(MADE) == [("made",)]


def test_a_coroutine_runs_where_a_loop_runs_already(
    database: Address, write: Write, source: Source, fetch: Fetch
) -> None:
    write("tables.py", HEAD + "async def create(url): fill(url)")

    async def build() -> None:
        source("python:tables:create").build(database)

    asyncio.run(build())
    assert fetch(MADE) == [("made",)]


def test_a_method_of_an_object_in_a_package_is_found(
    database: Address, write: Write, source: Source, fetch: Fetch
) -> None:
    write("shop/__init__.py", "")
    write("shop/tables.py", HEAD + "class Schema:\n    create = staticmethod(fill)")
    source("python:shop.tables:Schema.create").build(database)
    assert fetch(MADE) == [("made",)]


def test_path_and_environment_are_as_before(
    database: Address, write: Write, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "before")
    write("tables.py", HEAD + "create = fill")
    path = list(sys.path)
    source("python:tables:create").build(database)
    assert (sys.path, os.environ["DATABASE_URL"]) == (path, "before")


def test_a_failure_shows_the_users_own_line(database: Address, write: Write, source: Source) -> None:
    write("tables.py", HEAD + "def create(url):\n    with psycopg.connect(url) as c:\n        c.execute('nonsense')")
    with pytest.raises(CallFailedError) as caught:
        source("python:tables:create").build(database)
    assert caught.value.where == "tables.py:10 in create\n    c.execute('nonsense')"
    assert caught.value.error.startswith("psycopg.errors.SyntaxError")


def test_a_module_that_exits_does_not_end_the_run(database: Address, write: Write, source: Source) -> None:
    write("tables.py", "import sys\nsys.exit(3)\n")
    with pytest.raises(ModuleFailedError) as caught:
        source("python:tables:create").build(database)
    assert (caught.value.error, caught.value.where) == ("SystemExit: 3", "tables.py:2 in <module>\n    sys.exit(3)")


def test_a_syntax_error_names_its_line(database: Address, write: Write, source: Source) -> None:
    write("tables.py", "a = 1\nb = (\n")
    with pytest.raises(ModuleFailedError) as caught:
        source("python:tables:create").build(database)
    assert caught.value.where == "tables.py:2\n    b = ("


def test_a_missing_module_is_told_from_one_that_misses_another(database: Address, write: Write, source: Source) -> None:
    write("tables.py", "import not_there\n")
    with pytest.raises(ModuleFailedError) as failed:
        source("python:tables:create").build(database)
    assert failed.value.where == "tables.py:1 in <module>\n    import not_there"
    with pytest.raises(ModuleMissingError) as missing:
        source("python:tables_of.shop:create").build(database)
    assert missing.value.module == "tables_of"


def test_a_callable_that_wants_more_is_not_called(database: Address, write: Write, source: Source) -> None:
    write("tables.py", "def create(url, schema): raise AssertionError\n")
    with pytest.raises(ArgumentsError) as caught:
        source("python:tables:create").build(database)
    assert caught.value.signature == "(url, schema)"


def test_the_fingerprint_follows_what_the_module_imports_and_nothing_else(write: Write, digest: Digest) -> None:
    write("shop/__init__.py", "")
    write("shop/schema.py", "from shop.parts import tables\nfrom . import seeds\nimport json\ndef create(url): ...\n")
    write("shop/parts/__init__.py", "")
    write("shop/parts/tables.py", "a = 1\n")
    write("shop/seeds.py", "def f():\n    from .deep import x\n")
    write("shop/deep.py", "x = 1\n")
    write("shop/views.py", "x = 1\n")
    write("shop/schema.sql", "select 1")
    seen = [digest("python:shop.schema:create")]
    write("shop/views.py", "x = 2\n")
    write("other.py", "x = 2\n")
    assert digest("python:shop.schema:create") == seen[0]
    for name in ("shop/schema.py", "shop/parts/tables.py", "shop/seeds.py", "shop/deep.py", "shop/schema.sql"):
        write(name, "# changed\nfrom shop.parts import tables\nfrom . import seeds, deep\n")
        seen.append(digest("python:shop.schema:create"))
    assert len(set(seen)) == 6


def test_the_fingerprint_imports_nothing(write: Write, digest: Digest) -> None:
    write("tables.py", "raise AssertionError\n")
    digest("python:tables:create")
    assert "tables" not in sys.modules


def test_a_missing_module_has_a_fingerprint_so_that_building_can_say_what_is_missing(digest: Digest) -> None:
    assert digest("python:nowhere.at.all:create")


def test_an_engine_that_was_made_at_import_is_told_that_it_leads_to_the_tests_database(
    database: Address, write: Write, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_DB", database.with_database("mint_shop_main").url_for("libpq"))
    write("tables.py", HEAD + "URL = os.environ['SHOP_DB']\n\ndef create(): fill(URL)")
    with pytest.raises(TooEarlyError, match='database "mint_shop_main" does not exist'):
        source("python:tables:create").build(database)
