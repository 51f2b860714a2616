"""Roles, extensions and the URL's own database: what a server has, lacks, and never gets from us."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

import mintdb
from mintdb.address import Address
from mintdb.engines.postgresql import errors
from mintdb.engines.postgresql.connecting import connect
from mintdb.engines.postgresql.roles import entered
from mintdb.schemas.errors import ExtensionMissingError, StatementError

Ask = Callable[[str], list[str]]


def message_of(kind: type[mintdb.MintdbError], project: Path, **settings: object) -> str:
    """What opening a database says."""
    mint = mintdb.open(project, **settings)
    with pytest.raises(kind) as caught:
        mint.open()
    assert type(caught.value) is kind
    return str(caught.value)


def test_roles_of_one_checkout_never_reach_another(project: Path) -> None:
    others = []
    for name in ("one", "two"):
        checkout = project / name
        checkout.mkdir()
        with mintdb.open(checkout, role=f"role_of_{name}") as mint, mint.lease() as db, db.connect() as connection:
            others.append(
                connection.execute(
                    "select rolname from pg_roles where rolname !~ '^(pg_|mintdb$)' order by 1"
                ).fetchall()
            )
    assert others == [[("postgres",), ("role_of_one",)], [("postgres",), ("role_of_two",)]]


def test_on_somebody_elses_server_a_role_that_is_there_is_entered(project: Path, server: Address) -> None:
    (project / "schema.sql").write_text("create table t (n int); grant select on t to pg_monitor;")
    settings = {"url": server.url, "schema": "sql:schema.sql", "linger": 1}
    with mintdb.open(project, role="pg_monitor", **settings) as mint:
        for _ in range(2):
            with mint.lease() as db, db.connect() as connection:
                assert connection.execute("select current_user, count(*) from t").fetchone() == ("pg_monitor", 0)
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute("insert into t values (1)")


def test_a_login_that_may_neither_make_a_role_nor_act_as_one(project: Path, server: Address, ask: Ask) -> None:
    ask("create role maker login createdb password 'pw'")
    maker = Address("postgresql", "postgres", server.host, server.port, "maker", "pw")
    before = ask("select rolname from pg_roles order by 1")
    try:
        assert (
            message_of(errors.RoleMissing, project, url=maker.url, roles=["nobody"], linger=1)
            == f"""\
there is no role 'nobody' on {maker.redacted}
  roles belong to a whole server, and 'maker' may make none
  1. let mintdb make it, for as long as it is needed:  alter role "maker" createrole
  2. or make it, as a superuser there:  create role "nobody"
  3. or take the URL away: mintdb then makes the role on a server of its own"""
        )
        assert ask("select rolname from pg_roles order by 1") == before
        assert (
            message_of(errors.RoleNotGranted, project, url=maker.url, role="pg_monitor", linger=1)
            == f"""\
'maker' may not act as role 'pg_monitor' on {maker.redacted}
  1. as a superuser there:  grant "pg_monitor" to "maker"
  2. or take `role` out of the settings"""
        )
    finally:
        ask("drop role maker")


def test_role_and_search_path_stand_behind_the_urls_own_options() -> None:
    address = Address("postgresql", "shop", "h", 1, "me", options={"options": "-cwork_mem=1MB"})
    found = entered(address, role="a clerk", search_path='"my shop", public')
    assert found.params["options"] == r'-cwork_mem=1MB -crole=a\ clerk -csearch_path="my\ shop",\ public'
    assert entered(address, role=None, search_path=None).params == address.params
    plain = Address("postgresql", "shop", "h", 1, "me")
    assert entered(plain, role=None, search_path=None).url == plain.url


def test_an_extension_that_the_server_does_not_have(project: Path) -> None:
    said = message_of(ExtensionMissingError, project, extensions=["uuid-ossp"]).splitlines()
    assert said[0] == "the PostgreSQL 18 server has no extension 'uuid-ossp'"
    assert said[1].startswith("  it has     amcheck, ")
    assert said[2:] == [
        "  1. install PostgreSQL with it from your system's packages:"
        "  MINTDB_BINARIES=/usr/lib/postgresql/18/bin names it",
        "  2. or name a server that has it:  --mintdb-url postgresql://user:password@host/database",
    ]
    misspelt = message_of(ExtensionMissingError, project, extensions=["hstor"])
    assert misspelt.splitlines()[0] == "the PostgreSQL 18 server has no extension 'hstor'; did you mean 'hstore'?"


@pytest.mark.parametrize(
    "statement",
    ["create extension postgis", "create collation c (provider = icu, locale = 'de')", "select '<a/>'::xml"],
)
def test_a_statement_that_needs_what_was_not_built_in_has_a_way_out(project: Path, statement: str) -> None:
    (project / "schema.sql").write_text(f"{statement};\n")
    said = message_of(StatementError, project, schema="sql:schema.sql")
    assert "  install PostgreSQL with it from your system's packages, and name it:  MINTDB_BINARIES=" in said
    assert "  or name a server that has it:  --mintdb-url " in said


def test_a_url_whose_own_database_is_not_there(server: Address) -> None:
    url = server.with_database("nosuch")
    with pytest.raises(errors.DatabaseMissing) as caught:
        connect(url)
    assert (
        str(caught.value)
        == f"""\
the server answers, but it has no database 'nosuch' to connect to: {url.redacted}
  mintdb only connects to it, and makes databases of its own beside it
  1. name one that is there, most servers have `postgres`
  2. or take the URL away: mintdb then runs a server of its own"""
    )
