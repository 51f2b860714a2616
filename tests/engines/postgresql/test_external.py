"""Servers that a URL names, as old as Debian's and as new as the wheel's: by superusers and by others, over TLS too."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psycopg
import psycopg2
import pytest
import sqlalchemy
from external_server import PROGRAMS, ExternalServer, external_server
from sqlalchemy.ext.asyncio import create_async_engine
from tests.frameworks.suites import QUIET
from tests.waiting import wait_for

import mintdb
from mintdb.contract import Way
from mintdb.core.names import slug
from mintdb.engines.postgresql import databases
from mintdb.engines.postgresql.errors import RoleOfOthers, TlsFailed
from mintdb.engines.postgresql.maintenance import Maintenance

SCHEMA = """
create table account (id serial primary key, owner text not null);
create table currency (code text primary key);
insert into currency values ('EUR'), ('USD');
"""
PYPROJECT = """
[tool.mintdb.databases.default]
schema = "sql:schema.sql"
export = "DATABASE_URL"
[tool.pytest.ini_options]
filterwarnings = ["error"]
"""


@pytest.fixture(scope="module", params=[v for v, programs in PROGRAMS.items() if (programs / "postgres").exists()])
def theirs(request: pytest.FixtureRequest) -> Iterator[ExternalServer]:
    """A server with a database `precious`, two roles that may create databases, and one that may not."""
    with external_server(request.param) as server:
        server.ask("create database precious")
        server.ask("create table jewel (id int primary key); insert into jewel values (1)", "precious")
        for role in ("maker", "other_maker"):
            server.ask(f"create role {role} login createdb password 'p@ss:/w?rd %&#é'")
        yield server


@pytest.fixture
def schema(project: Path) -> Path:
    """The project, with a schema and settings but no URL."""
    (project / "schema.sql").write_text(SCHEMA)
    (project / "pyproject.toml").write_text(PYPROJECT)
    return project


def open_mint(project: Path, url: str, **settings: float) -> mintdb.Mint:
    return mintdb.open(project, url=url, **settings)


def use(mint: mintdb.Mint, statement: str) -> tuple[Way, str | None]:
    """Check that a lease starts from the template, do something to it, and tell how it was put back."""
    with mint.lease() as lease, psycopg.connect(lease.url) as connection:
        assert connection.execute("select count(*) from account").fetchone() == (0,)
        assert connection.execute("select array_agg(code order by code) from currency").fetchone()[0] == [
            "EUR",
            "USD",
        ]
        assert connection.execute("insert into account (owner) values ('x') returning id").fetchone() == (1,)
        connection.execute(statement)
    assert lease.restored is not None
    return lease.restored.way, lease.restored.reason


WORK = [
    ("select 1", Way.REWIND),
    ("delete from currency", Way.REWIND),
    ("truncate currency", Way.REWIND),
    ("alter table account add column extra int", Way.SWAP),
    ("drop table currency", Way.SWAP),
    ("select 1", Way.REWIND),
]


def test_a_superuser_gets_rewinds_where_they_are_exact(schema: Path, theirs: ExternalServer) -> None:
    with open_mint(schema, theirs.address().url) as mint:
        for statement, way in WORK:
            assert use(mint, statement)[0] == way, statement


def test_a_role_that_may_only_create_databases_gets_swaps_and_the_reason(schema: Path, theirs: ExternalServer) -> None:
    with open_mint(schema, theirs.address("maker").url) as mint:
        found = {use(mint, statement) for statement, _ in WORK}
    assert {way for way, _ in found} == {Way.SWAP}
    (reason,) = {reason for _, reason in found}
    assert reason is not None
    assert "superuser" in reason


def test_the_urls_own_database_is_only_connected_to(schema: Path, theirs: ExternalServer) -> None:
    def look() -> list[object]:
        return [
            theirs.ask("select oid, datacl from pg_database where datname = 'precious'"),
            theirs.ask("select oid, relname, relfilenode, xmin::text from pg_class order by oid", "precious"),
            theirs.ask("select nspname from pg_namespace union select extname from pg_extension", "precious"),
            theirs.ask("table jewel", "precious"),
        ]

    before = look()
    with open_mint(schema, theirs.address(database="precious").url) as mint:
        for statement, _ in WORK:
            use(mint, statement)
        with mint.lease(isolation="clone"):
            pass
    assert look() == before


def made(theirs: ExternalServer) -> list[str]:
    """Databases of mintdb's, templates left out."""
    rows = theirs.ask("select datname from pg_database where datname ~ '^mint_' and datname !~ '_template$'")
    return [name for (name,) in rows]


def keepers(theirs: ExternalServer) -> list[int]:
    rows = theirs.ask("select pid from pg_stat_activity where application_name ~ '^mintdb run keeper'")
    return [pid for (pid,) in rows]


@pytest.mark.parametrize("role", ["postgres", "maker"])
def test_a_run_leaves_templates_only_and_its_keeper_ends(schema: Path, theirs: ExternalServer, role: str) -> None:
    wait_for(lambda: not keepers(theirs), "an end of the keepers before")
    with open_mint(schema, theirs.address(role).url) as mint:
        for _ in range(3):
            use(mint, "alter table account add column extra int")
        wait_for(lambda: len(keepers(theirs)) == 1, "the one keeper")
        wait_for(lambda: any(name.endswith("_warm") for name in made(theirs)), "a warm clone")
        wait_for(lambda: not any(name.endswith("_trash") for name in made(theirs)), "an end of what was swapped away")
    wait_for(lambda: not keepers(theirs), "the keeper's end")
    assert made(theirs) == []


@pytest.mark.parametrize("role", ["postgres", "maker"])
def test_what_a_killed_run_leaves_is_cleared_up(schema: Path, theirs: ExternalServer, role: str) -> None:
    (schema / "test_a.py").write_text(
        "import time, pathlib\n\ndef test(mintdb):\n    pathlib.Path('here').touch()\n    time.sleep(600)\n"
    )
    command = [sys.executable, "-m", "pytest", *QUIET, f"--mintdb-url={theirs.address(role).url}"]
    run = subprocess.Popen(command, cwd=schema, stdout=subprocess.DEVNULL)
    wait_for((schema / "here").exists, "the test")
    assert any("_main" in name for name in made(theirs))
    run.kill()
    run.wait()
    wait_for(lambda: not made(theirs), "an end of the killed run's databases")


def test_a_keeper_that_was_killed_is_replaced(schema: Path, theirs: ExternalServer) -> None:
    wait_for(lambda: not keepers(theirs), "an end of the keepers before, of other roles too")
    with open_mint(schema, theirs.address().url, linger=20) as mint:  # the next keeper is still there to be counted
        use(mint, "select 1")
        wait_for(lambda: len(keepers(theirs)) == 1, "the keeper")
        theirs.ask(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name ~ '^mintdb run keeper'"
        )
        wait_for(lambda: not keepers(theirs), "the keeper's end")
        use(mint, "drop table currency")
    assert len(keepers(theirs)) == 1
    wait_for(lambda: not made(theirs), "an end of what was swapped away")


def test_two_roles_at_once_on_one_server(schema: Path, theirs: ExternalServer) -> None:
    with (
        open_mint(schema, theirs.address("maker").url) as one,
        open_mint(schema, theirs.address("other_maker").url) as two,
        open_mint(schema, theirs.address().url) as three,
    ):
        for _ in range(2):
            for mint in (one, two, three):
                use(mint, "delete from currency")


def test_a_role_without_createdb_is_refused(schema: Path, theirs: ExternalServer) -> None:
    theirs.ask("drop role if exists nobody_much; create role nobody_much login password 'p@ss:/w?rd %&#é'")
    with pytest.raises(mintdb.MintdbError, match="may not create databases"):
        open_mint(schema, theirs.address("nobody_much").url).open()


# how it is reached


def is_encrypted(connection: object) -> bool:
    cursor = connection.cursor()
    cursor.execute("select ssl from pg_stat_ssl where pid = pg_backend_pid()")
    return cursor.fetchone()[0]


async def is_encrypted_by_asyncpg(url: str) -> bool:
    import asyncpg

    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval("select ssl from pg_stat_ssl where pid = pg_backend_pid()")
    finally:
        await connection.close()


async def is_encrypted_by_async_engine(url: str) -> bool:
    engine = create_async_engine(url)
    try:
        async with engine.connect() as connection:
            result = await connection.execute(
                sqlalchemy.text("select ssl from pg_stat_ssl where pid = pg_backend_pid()")
            )
            return result.scalar_one()
    finally:
        await engine.dispose()


def is_encrypted_by_engine(url: str) -> bool:
    engine = sqlalchemy.create_engine(url)
    try:
        with engine.connect() as connection:
            return connection.scalar(sqlalchemy.text("select ssl from pg_stat_ssl where pid = pg_backend_pid()"))
    finally:
        engine.dispose()


def check_every_form(lease: mintdb.Lease, *, encrypted: bool) -> None:
    for driver in (psycopg, psycopg2):
        for connection in (driver.connect(lease.url), driver.connect(**lease.params)):
            assert is_encrypted(connection) == encrypted
            connection.close()
    assert asyncio.run(is_encrypted_by_asyncpg(lease.url)) == encrypted
    for dialect in ("postgresql+psycopg", "postgresql+psycopg2"):
        assert is_encrypted_by_engine(lease.url_for(dialect)) == encrypted
    for dialect in ("postgresql+psycopg", "postgresql+asyncpg"):
        assert asyncio.run(is_encrypted_by_async_engine(lease.url_for(dialect))) == encrypted


def need_tls(server: ExternalServer) -> None:
    if not server.tls:
        pytest.skip("the wheel's server is built without TLS")


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
def test_a_certificate_survives_into_every_form_and_connects(schema: Path, theirs: ExternalServer, mode: str) -> None:
    need_tls(theirs)
    options = {"sslmode": mode, "sslrootcert": str(theirs.certificate)}
    url = replace(theirs.address(host="localhost"), options=options).url
    with open_mint(schema, url) as mint, mint.lease() as lease:
        check_every_form(lease, encrypted=True)
        jdbc = lease.url_for("jdbc")
        assert f"sslmode={mode}" in jdbc
        assert "sslrootcert=" in jdbc


def test_a_wrong_certificate_is_refused_before_anything_is_made(schema: Path, theirs: ExternalServer) -> None:
    need_tls(theirs)
    wrong = schema / "wrong.crt"
    subprocess.run(
        ["openssl", "req", "-new", "-x509", "-nodes", "-subj", "/CN=x", "-keyout", "/dev/null", "-out", wrong],
        check=True,
        capture_output=True,
    )
    url = replace(theirs.address(), options={"sslmode": "verify-ca", "sslrootcert": str(wrong)}).url
    with pytest.raises(TlsFailed, match="certificate verify failed"):
        open_mint(schema, url).open()


def test_without_encryption_in_every_form(schema: Path, theirs: ExternalServer) -> None:
    url = replace(theirs.address(), options={"sslmode": "disable"}).url
    with open_mint(schema, url) as mint, mint.lease() as lease:
        check_every_form(lease, encrypted=False)


def test_a_socket_folder_in_every_form(schema: Path, theirs: ExternalServer) -> None:
    with open_mint(schema, theirs.address(host=str(theirs.folder)).url) as mint, mint.lease() as lease:
        check_every_form(lease, encrypted=False)


def test_an_ipv6_address_in_every_form(schema: Path, theirs: ExternalServer) -> None:
    try:
        socket.create_connection(("::1", theirs.port)).close()
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    url = replace(theirs.address(host="::1"), options={"sslmode": "require" if theirs.tls else "disable"}).url
    with open_mint(schema, url) as mint, mint.lease() as lease:
        check_every_form(lease, encrypted=theirs.tls)


# suites

SUITE = """
import os
import psycopg
import pytest

def run(sql):
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        cursor = connection.execute(sql)
        return cursor.fetchall() if cursor.description else None

@pytest.fixture(scope="module")
def seeded():
    run("insert into account (owner) values ('the seed')")

@pytest.mark.parametrize("n", range(6))
def test_marks_hold(seeded, n):
    assert run("select owner from account") == [("the seed",)]
    run("insert into account (owner) values ('x'); delete from currency")
    if n == 2:
        run("drop table currency")
"""
AFTER = """
from test_a import run

def test_the_seed_is_gone():
    assert run("select owner from account") == []
"""


def run_suite(folder: Path, url: str, *arguments: str) -> str:
    (folder / "test_a.py").write_text(SUITE)
    (folder / "test_b.py").write_text(AFTER)
    command = [sys.executable, "-m", "pytest", *QUIET, f"--mintdb-url={url}", *arguments]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert "7 passed" in ran.stdout, ran.stdout + ran.stderr
    return ran.stdout


@pytest.mark.parametrize(("role", "arguments"), [("postgres", ["-n", "2", "--dist", "loadfile"]), ("maker", [])])
def test_a_suite_with_a_wide_fixture(schema: Path, theirs: ExternalServer, role: str, arguments: list[str]) -> None:
    output = run_suite(schema, theirs.address(role).url, *arguments)
    if role == "maker":
        assert output.count("superuser") == 1, output


ROLES = "select rolname from pg_roles where rolname in ('app', 'owner', 'theirs', 'passer-by') order by 1"


def test_roles_are_made_where_they_are_missing_and_go_when_nothing_needs_them(
    project: Path, theirs: ExternalServer
) -> None:
    login = "role_maker"
    theirs.ask(f"create role {login} login createdb createrole password 'p@ss:/w?rd %&#é'")
    theirs.ask(f"create role theirs; grant theirs to {login}")
    (project / "schema.sql").write_text(
        "grant create on schema public to owner; create table t (n int); alter table t owner to owner;"
        "grant select on t to app, theirs;"
    )
    url = theirs.address(login).url
    settings = {"url": url, "schema": "sql:schema.sql", "role": "app", "roles": ["owner", "theirs"], "linger": 1}
    with mintdb.open(project, project=login, **settings) as mint:
        for _ in range(2):
            with mint.lease() as db, db.connect() as connection:
                assert connection.execute("select current_user, count(*) from t").fetchone() == ("app", 0)
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute("insert into t values (1)")
        with pytest.raises(RoleOfOthers) as caught:
            mintdb.open(project, url=url, schema="sql:schema.sql", project="other", roles=["theirs", "app"]).open()
        assert (
            str(caught.value)
            == f"""\
the schema needs role 'owner', which is on {theirs.address(login).redacted} only while another project's tests need it
  1. name it in the settings, and it is made for yours too:  roles = ["owner"]"""
        )
    assert clear_up(theirs, login) == {"app", "owner", "theirs"}  # the template names them
    with closing(Maintenance(theirs.address(login), owner="looker")) as looker:
        for made in databases.list_made(looker):
            if slug(login) in made.name:  # other tests' templates are other roles'
                databases.drop(looker, made.name)
    assert clear_up(theirs, login) == {"theirs"}
    theirs.ask("drop role theirs")  # the next test counts roles, too


def clear_up(theirs: ExternalServer, login: str) -> set[str]:
    """Clear up once no run holds a role any more; the roles that are there afterwards."""
    held = "select count(*) from pg_stat_activity where application_name ~ '^mintdb run [^k]'"
    wait_for(lambda: theirs.ask(held) == [(0,)], "an end of the runs")
    with closing(Maintenance(theirs.address(login), owner="looker")) as looker:
        databases.reap(looker)
    return {name for (name,) in theirs.ask(ROLES)}


def test_a_role_that_nothing_mentions_stays_while_a_run_holds_it(project: Path, theirs: ExternalServer) -> None:
    with mintdb.open(project, url=theirs.address().url, role="passer-by", linger=1) as mint:
        mint.open().server.reap()
        with mint.lease() as db, db.connect() as connection:
            assert connection.execute("select current_user").fetchone() == ("passer-by",)
    assert clear_up(theirs, "postgres") == set()
