"""The page that says what the emulation does is what the emulation does."""

from __future__ import annotations

from pathlib import Path

from tests.engines.snowflake.coverage import PAGE, page


def test_the_table_of_statements_is_current(server_home: Path) -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "write it anew:  python -m tests.engines.snowflake.coverage"
