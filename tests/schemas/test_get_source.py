"""Finding a schema source by the setting's first word."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mintdb.address import Address
from mintdb.contract import SchemaSource
from mintdb.schemas import MODULES, get_source
from mintdb.schemas.errors import UnknownSourceError


@pytest.mark.parametrize("setting", ["", "none", " none "])
def test_no_schema_is_an_empty_database(
    database: Address, fetch: Callable[[str], list[tuple[object, ...]]], setting: str
) -> None:
    source = get_source(setting, root=Path())
    source.build(database)
    assert (list(source.fingerprint()), source.description) == ([], "")
    assert fetch("select tablename from pg_tables where schemaname = 'public'") == []


ARGUMENTS = {"python": "tables:create", "metadata": "models:Base", "source": "tables:migrations"}


@pytest.mark.parametrize("kind", MODULES)
def test_every_kind_is_found_and_keeps_its_setting_as_it_was_written(kind: str, tmp_path: Path) -> None:
    setting = f"{kind}:{ARGUMENTS.get(kind, 'some/path')}"
    source: SchemaSource = get_source(setting, root=tmp_path)
    assert source.description == setting


@pytest.mark.parametrize(
    ("setting", "nearest"), [("sq:db", "sql:"), ("metdata:a:b", "metadata:"), ("pyton:a:b", "python:"), ("non", "none")]
)
def test_an_unknown_kind_is_refused_with_the_nearest(setting: str, nearest: str, tmp_path: Path) -> None:
    with pytest.raises(UnknownSourceError) as caught:
        get_source(setting, root=tmp_path)
    assert caught.value.nearest == nearest


def test_a_source_imports_nothing_that_it_does_not_need(tmp_path: Path) -> None:
    (tmp_path / "1.sql").write_text("select 1")
    code = (
        "import sys; from pathlib import Path; from mintdb.schemas import get_source;"
        "root = Path(sys.argv[1]); get_source('none', root=root); early = set(sys.modules);"
        "list(get_source('sql:.', root=root).fingerprint());"
        "print('psycopg' in early, 'sqlalchemy' in sys.modules, 'alembic' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert run.stdout == "False False False\n"
