"""A mint on SQLite files of this session's own, and what a file holds."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import mintdb
from mintdb.mint import Mint

OpenMint = Callable[..., Mint]
HEADER_OF_A_VISIT = (slice(18, 20), slice(24, 28), slice(40, 44), slice(92, 100))
"""What differs after a rewind: journal mode, and the counters by which others see that something was written."""


@pytest.fixture
def open_mint(server_home: Path, tmp_path: Path) -> Iterator[OpenMint]:
    """Opens mints on a schema; they are closed with the test."""
    opened: list[Mint] = []

    def open_it(schema: str = "", **settings: Any) -> Mint:  # Any: settings
        (tmp_path / "schema.sql").write_text(schema)
        source = {"schema": "sql:schema.sql"} if schema else {}
        opened.append(mintdb.open(tmp_path, engine="sqlite", **source, **settings))
        return opened[-1]

    yield open_it
    for mint in opened:
        mint.close()


def content(path: Path | str) -> dict[str, Any]:  # Any: rows
    """All that SQL can see of a file: schema, rows with their row ids, sequences, numbers."""
    with closing(sqlite3.Connection(str(path))) as connection:
        schema = connection.execute("select type, name, tbl_name, sql from sqlite_master order by 1, 2").fetchall()
        tables = connection.execute("select name, wr from pragma_table_list where schema = 'main'").fetchall()
        found: dict[str, Any] = {"schema": schema}
        for name, without_rowid in sorted(tables):
            columns = "*" if without_rowid else "rowid, *"
            found[name] = sorted(connection.execute(f'select {columns} from "{name}"'), key=repr)
        for number in ("user_version", "application_id", "page_size", "auto_vacuum", "encoding", "integrity_check"):
            found[number] = connection.execute(f"pragma {number}").fetchone()[0]
        found.pop("sqlite_schema", None)
        return found


def pages(path: Path | str) -> bytes:
    """The bytes of a file, without what says that somebody was there."""
    found = bytearray(Path(path).read_bytes())
    for part in HEADER_OF_A_VISIT:
        found[part] = bytes(part.stop - part.start)
    return bytes(found)
