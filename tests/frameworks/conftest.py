"""Suites of imagined users, run for real."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.frameworks.suites import Suite, new_suite


@pytest.fixture
def suite(tmp_path: Path, server_home: Path) -> Suite:
    """A project with settings and a schema, on a server of this test session."""
    return new_suite(tmp_path / "project")
