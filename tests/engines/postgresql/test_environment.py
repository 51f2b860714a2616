"""mintdb's own sessions take nothing from the caller's environment that leads them elsewhere."""

from __future__ import annotations

import os
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


def test_what_a_template_holds_does_not_depend_on_who_built_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"PGTZ": "timezone", "PGDATESTYLE": "datestyle", "PGCLIENTENCODING": "client_encoding", "PGGEQO": "geqo"}
    chosen = dict(zip(settings, ("Asia/Tokyo", "SQL, DMY", "LATIN1", "off"), strict=True))
    columns = ", ".join(f"current_setting('{name}') as {name}" for name in settings.values())
    (project / "db.sql").write_text(f"create table built as select timestamptz '2020-01-01 00:00' as at, {columns};")
    for variable, value in chosen.items():
        monkeypatch.setenv(variable, value)
    with mintdb.open(project, schema="sql:db.sql") as mint, mint.lease() as lease, lease.connect() as session:
        assert {variable: os.environ[variable] for variable in chosen} == chosen, "the caller's own stays"
        (at, *built), *_ = session.execute(f"select at at time zone 'UTC', {', '.join(settings.values())} from built")
        assert (str(at), built) == ("2020-01-01 00:00:00", ["UTC", "ISO, MDY", "UTF8", "on"])
