"""What was learnt of a template's relations serves every later clone, and is never believed of another template."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import mintdb
from mintdb.contract import Way
from mintdb.engines.postgresql import surveys
from mintdb.engines.postgresql.maintenance import Maintenance
from mintdb.engines.postgresql.rewind import relations

SCHEMA = """
create table tree (id serial primary key, kind text);
create table nut (id serial primary key, kind text);
insert into tree (kind) values ('pear'), ('plum');
"""


@pytest.fixture
def mint(project: Path) -> Iterator[mintdb.Mint]:
    (project / "db.sql").write_text(SCHEMA)
    with mintdb.open(project, schema="sql:db.sql") as mint:
        yield mint


@pytest.fixture
def maintenance(mint: mintdb.Mint) -> Maintenance:
    found = mint.open().server._maintenance
    assert isinstance(found, Maintenance)
    return found


def put_back(mint: mintdb.Mint) -> tuple[Way, list[tuple[int, str]], int]:
    """How a test's changes were undone, and what the next one finds: rows, and the next number of a sequence."""
    with mint.lease() as lease, lease.connect(autocommit=True) as session:
        session.execute("delete from tree where kind = 'pear'; insert into nut (kind) values ('hazel'), ('beech')")
    with mint.lease() as next_lease, next_lease.connect(autocommit=True) as session:
        trees = session.execute("select id, kind from tree order by id").fetchall()
        (number,) = session.execute("insert into nut (kind) values ('oak') returning id").fetchone() or (0,)
    assert lease.restored is not None
    return lease.restored.way, trees, number


AS_IT_WAS = Way.REWIND, [(1, "pear"), (2, "plum")], 1


def test_only_the_first_clone_of_a_template_is_surveyed(
    mint: mintdb.Mint, maintenance: Maintenance, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert surveys.find(maintenance, mint.open().template.name)
    assert put_back(mint) == AS_IT_WAS
    monkeypatch.setattr(relations, "FILL", "select 1 / 0")
    with mintdb.open(project, schema="sql:db.sql") as later:
        assert put_back(later) == AS_IT_WAS


def test_a_survey_of_another_template_is_not_believed(
    mint: mintdb.Mint, maintenance: Maintenance, project: Path
) -> None:
    template = mint.open().template.name
    of_this = surveys.find(maintenance, template)
    (project / "db.sql").write_text(f"create table before (id int); {SCHEMA}")
    with mintdb.open(project, schema="sql:db.sql") as other:
        of_another = surveys.find(maintenance, other.open().template.name)
    (project / "db.sql").write_text(SCHEMA)
    surveys.keep(maintenance, template, of_another)
    with mintdb.open(project, schema="sql:db.sql") as later:
        assert put_back(later) == AS_IT_WAS
    assert surveys.find(maintenance, template) == of_this, "what did not fit is replaced"


def test_a_survey_goes_with_its_template(mint: mintdb.Mint, maintenance: Maintenance, project: Path) -> None:
    template = mint.open().template.name
    mint.open().server.drop_template(template)
    assert surveys.find(maintenance, template) == b""
