"""Every driver here is the real one; no connection of Snowflake's reaches a network."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import pytest

import mintdb.snowflake

HAS_SNOWFLAKE = find_spec("snowflake") is not None and find_spec("snowflake.connector") is not None
if not HAS_SNOWFLAKE:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(autouse=True)
def door() -> Iterator[None]:
    mintdb.snowflake.shut()
    yield
    mintdb.snowflake.reopen()
