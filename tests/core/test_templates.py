"""A template is built once for each fingerprint, by one process, and is sealed only after success."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import LiteralString

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintdb.core import templates
from mintdb.core.names import DatabaseName, Role, find_role, new_token
from mintdb.core.templates import fingerprint, get_template
from mintdb.engines.postgresql import databases, strategies, warm
from mintdb.engines.postgresql.maintenance import Maintenance
from mintdb.engines.postgresql.server import PostgresServer
from mintdb.schemas import get_layers
from mintdb.settings import DatabaseSettings
from tests.core.conftest import Join, Source


def named(maintenance: Maintenance, project: str) -> dict[str, Role]:
    """The databases of a project."""
    rows = maintenance.rows("select datname from pg_database")
    parsed = {name: find_role(name) for (name,) in rows}
    return {name: p.role for name, p in parsed.items() if p and p.project == project}


def test_it_is_built_once_and_found_ever_after(join: Join, maintenance: Maintenance, project: str) -> None:
    source = Source()
    first = get_template(join(), source, project=project)
    again = get_template(join(), source, project=project)
    assert (first.built, again.built, source.built) == (True, False, 1)
    assert first.name == again.name
    assert Role.TEMPLATE in named(maintenance, project).values()
    assert Role.BUILDING not in named(maintenance, project).values()


def test_a_clones_planner_knows_the_schemas_tables_and_reading_them_writes_nothing(
    server: PostgresServer, maintenance: Maintenance, project: str
) -> None:
    """A row's fate is noted on its page by who first reads it, unless that was done before."""
    tables = """
        create extension pageinspect;
        create table many (n int) partition by range (n);
        create table "Few" partition of many for values from (0) to (10);
        insert into many select 7 from generate_series(1, 100) -- {content}
    """
    unknown = """
        select count(*) from generate_series(0, pg_relation_size(%(table)s::regclass) / 8192 - 1) block,
            heap_page_items(get_raw_page(%(table)s::text, block::int)) where lp_flags = 1 and t_infomask & 768 = 0
    """  # HEAP_XMIN_COMMITTED | HEAP_XMIN_INVALID in src/include/access/htup_details.h
    template = get_template(server, Source(statement=tables), project=project)
    clone = server.clone(template.name, str(DatabaseName(Role.CLONE, project, owner=new_token(), worker="main")))
    with psycopg.connect(clone.address.url) as session:
        known = session.execute("select tablename, most_common_vals::text from pg_stats where attname = 'n' order by 1")
        assert known.fetchall() == [("Few", "{7}"), ("many", "{7}")]
        for table in ('"Few"', "pg_statistic"):
            assert session.execute(unknown, {"table": table}).fetchone() == (0,), table
    clone.drop()


def test_how_to_clone_is_measured_once_for_templates_of_about_one_size(
    server: PostgresServer, maintenance: Maintenance, project: str
) -> None:
    def strategy_of(content: str, rows: int) -> object:
        filled = f"create table t as select '{{content}}' || repeat('x', 1000) from generate_series(1, {rows})"
        template = get_template(server, Source(content, filled), project=project)
        return databases.read_notes(maintenance, template.name)["strategy"]

    measured = strategy_of("one", 1)
    assert measured in strategies.STRATEGIES
    maintenance.run("update databases set notes = notes || '{\"strategy\": \"known\"}' where notes ? 'size'")
    try:
        assert strategy_of("two", 2) == "known"
        assert strategy_of("big", 30_000) in strategies.STRATEGIES  # 30 MB and more, where the others have 8
    finally:
        maintenance.run("update databases set notes = notes - 'strategy' - 'size' where notes->>'strategy' = 'known'")


def test_what_a_keeper_asks_at_every_tick_does_not_grow_with_the_templates(
    server: PostgresServer, maintenance: Maintenance, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    ask = Maintenance.rows
    monkeypatch.setattr(Maintenance, "rows", lambda self, *what: asked.append(what[0]) or ask(self, *what))

    def asked_at_a_tick() -> list[str]:
        asked.clear()
        warm.stock(maintenance)
        return list(asked)

    get_template(server, Source("one"), project=project)
    asked_at_a_tick()  # what earlier tests have left to do is done
    before = asked_at_a_tick()
    for content in ("two", "three"):
        get_template(server, Source(content), project=project)
    assert asked_at_a_tick() == before


def test_nobody_can_connect_to_a_sealed_template(server: PostgresServer, project: str) -> None:
    name = get_template(server, Source(), project=project).name
    with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
        psycopg.connect(server._stay.address(name).url)


def test_nothing_is_sealed_and_nothing_is_left_after_a_failure(
    server: PostgresServer, maintenance: Maintenance, project: str
) -> None:
    broken = Source(statement="create table half (n int); select 1 / 0")
    for _ in range(2):
        with pytest.raises(psycopg.errors.DivisionByZero):
            get_template(server, broken, project=project)
    assert named(maintenance, project) == {}
    assert broken.built == 2
    assert get_template(server, Source(), project=project).built


def test_fresh_builds_anew_once_for_each_run(join: Join, project: str) -> None:
    source = Source()
    built = [get_template(join(), source, project=project, fresh=run).built for run in ("", "a", "a", "b", "")]
    assert built == [True, True, False, True, False]


def test_a_fresh_template_replaces_the_old_one_and_its_warm_clones(
    join: Join, maintenance: Maintenance, project: str
) -> None:
    source = Source()
    name = get_template(join(), source, project=project).name
    oid = maintenance.row("select oid from pg_database where datname = %s", name)
    assert get_template(join(), source, project=project, fresh="a").name == name
    assert maintenance.row("select oid from pg_database where datname = %s", name) != oid


def test_a_warm_clone_that_is_just_being_made_of_it_goes_with_an_old_template(
    server: PostgresServer, maintenance: Maintenance, project: str
) -> None:
    copying: LiteralString = "select 1 from pg_locks l join pg_database d on d.oid = l.objid where datname = %s"
    big = Source(statement="create table t as select repeat('x', 1000) from generate_series(1, 50000)")
    name = get_template(server, big, project=project).name
    with ThreadPoolExecutor() as pool:
        made = pool.submit(warm.make, server._maintenance, name)
        while not maintenance.rows(copying, name):
            assert not made.done()
        databases.drop_template(maintenance, name)
        assert not databases.exists(maintenance, made.result())


def test_the_fingerprint_changes_exactly_with_what_decides_the_content(server: PostgresServer) -> None:
    digests = {
        fingerprint(server, source)
        for source in (Source(), Source("two"), Source(statement="create table t (n int)"), Source("on", "e"))
    }
    assert len(digests) == 4
    assert fingerprint(server, Source(built=7)) == fingerprint(server, Source())


def test_the_fingerprint_covers_mintdbs_own_version(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint(server, Source())
    monkeypatch.setattr(templates, "__version__", "999")
    assert fingerprint(server, Source()) != before


@given(st.lists(st.binary(max_size=3), max_size=4), st.lists(st.binary(max_size=3), max_size=4))
def test_moving_a_byte_between_parts_changes_the_digest(one: list[bytes], two: list[bytes]) -> None:
    framed = [b"".join(templates._framed(parts)) for parts in (one, two)]
    assert (framed[0] == framed[1]) == (one == two)


SCRIPT = """
    import sys
    import mintdb

    with mintdb.open(schema="python:schema:create", project=sys.argv[1]) as mint:
        print(mint.open().template.built)
"""
SCHEMA = """
    import pathlib, os, psycopg

    def create(url):
        pathlib.Path(f"built-{os.getpid()}").touch()
        with psycopg.connect(url) as connection:
            connection.execute("create table t (n int)")
            connection.execute("select pg_sleep(0.3)")
"""
TIMEOUT = 300.0  # seconds; a process here takes one, and ten times as long on a busy machine


SEED = "insert into t values ('{content}')"


def test_a_changed_seed_builds_no_schema_anew(join: Join, maintenance: Maintenance, project: str) -> None:
    schema, seed, other = Source(), Source("two", SEED), Source("three", SEED)
    first = get_template(join(), schema, seed, project=project)
    second = get_template(join(), schema, other, project=project)
    assert (first.built, second.built, schema.built, seed.built, other.built) == (True, True, 1, 1, 1)
    assert content_of(join(), second.name) == ["one", "three"]
    assert not get_template(join(), schema, seed, project=project).built
    assert not get_template(join(), schema, project=project).built, "the schema alone is a template too"


def test_a_changed_schema_builds_its_seed_anew(join: Join, project: str) -> None:
    seed = Source("two", SEED)
    for schema in (Source("one"), Source("uno")):
        name = get_template(join(), schema, seed, project=project).name
        assert content_of(join(), name) == sorted([schema.content, "two"])
    assert seed.built == 2


def test_a_seed_that_fails_leaves_the_schema_sealed(join: Join, maintenance: Maintenance, project: str) -> None:
    schema = Source()
    with pytest.raises(psycopg.errors.UndefinedTable):
        get_template(join(), schema, Source("two", "insert into nowhere values (1)"), project=project)
    assert list(named(maintenance, project).values()) == [Role.TEMPLATE]
    assert not get_template(join(), schema, project=project).built


def test_fresh_builds_every_layer_anew(join: Join, project: str) -> None:
    layers = [Source(), Source("two", SEED)]
    for run in ("", "a", "a"):
        get_template(join(), *layers, project=project, fresh=run)
    assert [layer.built for layer in layers] == [2, 2]


def test_the_fingerprint_covers_layers_and_their_order_and_the_environment(server: PostgresServer) -> None:
    one, two = Source("one"), Source("two")
    digests = [fingerprint(server, *layers) for layers in ([one], [two], [one, two], [two, one], [one, one])]
    digests += [fingerprint(server, one, environment=name) for name in ("ci", "dev")]
    assert len(set(digests)) == 7


def test_the_fingerprint_covers_what_stands_around_a_schema(server: PostgresServer, tmp_path: Path) -> None:
    def found(of: object = server, **settings: object) -> str:
        return fingerprint(of, *get_layers(DatabaseSettings(**settings), root=tmp_path))

    for name in ("1.sql", "2.sql"):
        (tmp_path / name).write_text(f"select {name[0]};")
    version, *rest = server.identity
    newer = SimpleNamespace(engine=server.engine, identity=[b"999", *rest])
    elsewhere = SimpleNamespace(engine=server.engine, identity=[version, *rest, b"timezone=Asia/Tokyo"])
    other_engine = SimpleNamespace(engine="mysql", identity=server.identity)
    around = [
        found(schema="sql:1.sql"),
        found(schema="sql:2.sql"),
        found(schema="sql:1.sql", seed=["sql:2.sql"]),
        found(schema="sql:1.sql", seed=["sql:2.sql", "sql:2.sql"]),
        found(schema="sql:1.sql", extensions=["hstore"]),
        found(schema="sql:1.sql", extensions=["hstore", "citext"]),
        *(found(of, schema="sql:1.sql") for of in (newer, elsewhere, other_engine)),
    ]
    assert len(set(around)) == len(around)
    assert found(schema="sql:1.sql", extensions=["citext", "hstore"]) == around[5]
    for nothing in ({"export": {"URL": "libpq"}}, {"name": "shop"}, {"role": "clerk"}, {"search_path": "shop"}):
        assert found(schema="sql:1.sql", **nothing) == around[0], nothing


def content_of(server: PostgresServer, template: str) -> list[str]:
    """The rows of a template's table."""
    clone = server.clone(template, str(DatabaseName(Role.CLONE, "look", owner=new_token(), worker="main")))
    try:
        with clone.connect() as connection:
            return [row[0] for row in connection.execute("select content from t order by content")]
    finally:
        clone.drop()


def test_many_processes_at_once_build_one_template(server: PostgresServer, tmp_path: Path, project: str) -> None:
    (tmp_path / "script.py").write_text(textwrap.dedent(SCRIPT))
    (tmp_path / "schema.py").write_text(textwrap.dedent(SCHEMA))
    command = [sys.executable, "script.py", project]
    runs = [subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    said = sorted(run.communicate(timeout=TIMEOUT)[0].strip() for run in runs)
    assert said == ["False"] * 5 + ["True"]
    assert len([*tmp_path.glob("built-*")]) == 1


def test_a_template_whose_builder_dies_is_built_by_who_waits_for_it(
    server: PostgresServer, maintenance: Maintenance, tmp_path: Path, project: str
) -> None:
    (tmp_path / "script.py").write_text(textwrap.dedent(SCRIPT))
    (tmp_path / "schema.py").write_text(textwrap.dedent(SCHEMA).replace("pg_sleep(0.3)", "pg_sleep(600)"))
    command = [sys.executable, "script.py", project]
    first = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    while not [*tmp_path.glob("built-*")]:
        assert first.poll() is None
    (tmp_path / "schema.py").write_text(textwrap.dedent(SCHEMA))
    second = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    first.kill()
    first.wait()
    assert second.communicate(timeout=TIMEOUT)[0].strip() == "True"
    assert len([*tmp_path.glob("built-*")]) == 2
