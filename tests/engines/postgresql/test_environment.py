"""mintdb's own sessions take nothing from the caller's environment that leads them elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

import mintdb


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PGHOSTADDR", "192.0.2.1"),  # TEST-NET-1: nothing answers there
        ("PGOPTIONS", "-c default_transaction_read_only=on"),
        ("PGOPTIONS", "-c no_such_setting=1"),
        ("PGSSLMODE", "require"),  # the embedded server has no TLS
        ("PGPORT", "1"),
        ("PGUSER", "nosuch"),
        ("PGDATABASE", "nosuch"),
        ("LANG", "no_SUCH.utf8"),
    ],
)
def test_the_callers_environment_does_not_reach_mintdbs_own_sessions(
    project: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with mintdb.open(project) as mint:
        opened = mint.open()
        monkeypatch.delenv(variable)
        assert opened.pool.home.sessions() == []
