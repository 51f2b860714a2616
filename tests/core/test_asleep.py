"""The plugin wakes for whoever speaks of mintdb, and for nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from mintdb.pytest_plugin.asleep import claim_worker, is_wanted


def test_a_machine_that_only_says_where_the_cache_is_wakes_nothing(tmp_path: Path) -> None:
    assert not is_wanted(tmp_path, {}, {"MINTDB_CACHE_DIR": "/var/cache/shared", "HOME": "/root"})


@pytest.mark.parametrize(
    ("options", "environ"),
    [({"mintdb_leaks": "error"}, {}), ({}, {"MINTDB_SCHEMA": "sql:db/"}), ({}, {"mintdb_url": "x"})],
)
def test_an_option_or_a_variable_wakes_it(tmp_path: Path, options: dict[str, str], environ: dict[str, str]) -> None:
    assert is_wanted(tmp_path, options, environ)


@pytest.mark.parametrize("file", ["mintdb.toml", "pyproject.toml"])
def test_a_settings_file_above_wakes_it(tmp_path: Path, file: str) -> None:
    (tmp_path / file).write_text("[tool.mintdb]\n")
    (tmp_path / "tests").mkdir()
    assert is_wanted(tmp_path / "tests", {}, {})


def test_a_project_that_never_heard_of_it_stays_asleep(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.other]\n")
    assert not is_wanted(tmp_path, {"mintdb_leaks": None, "mintdb_fresh": False}, {"HOME": "/root"})


def test_a_worker_keeps_its_name_and_a_pytest_that_its_test_starts_has_none() -> None:
    environ = {"PYTEST_XDIST_WORKER": "gw1", "PYTEST_XDIST_TESTRUNUID": "a1"}
    assert claim_worker(environ) == "gw1"
    assert claim_worker(environ) is None  # as an inner run sees what it inherits
    assert claim_worker({**environ, "PYTEST_XDIST_TESTRUNUID": "b2"}) == "gw1"  # the inner run's own worker
    assert claim_worker({}) is None
