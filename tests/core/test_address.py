"""Where a database answers, in every URL form: what goes in comes out, and no password is shown."""

from __future__ import annotations

import sys
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import psycopg
import pymysql
import pytest
import sqlalchemy
from hypothesis import given
from hypothesis import strategies as st

from mintdb.address import Address, BadUrl, UnknownUrlForm, parse_url, redact

words = st.text(st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs", "Cc"]), min_size=1)
hosts = st.sampled_from(["localhost", "127.0.0.1", "::1", "fe80::1", "/var/run/a folder", "db.example.com"])
options = st.dictionaries(st.sampled_from(["sslmode", "sslrootcert", "application_name"]), words, max_size=3)
addresses = st.builds(
    Address,
    engine=st.just("postgresql"),
    database=words,
    host=hosts,
    port=st.integers(1, 65535),
    user=words,
    password=words,
    options=options,
)


def plain(address: Address) -> tuple[object, ...]:
    a = address
    return a.engine, a.database, a.host, a.port, a.user, a.password, dict(a.options)


@given(addresses)
def test_a_url_is_read_back_as_it_was_written(address: Address) -> None:
    assert plain(parse_url(address.url)) == plain(address)
    assert plain(parse_url(address.url_for("postgresql+psycopg"))) == plain(address)


@given(addresses)
def test_libpq_itself_reads_what_we_mean(address: Address) -> None:
    read = psycopg.conninfo.conninfo_to_dict(address.url)
    expected = {k: str(v) for k, v in address.params.items()}
    assert read == expected


def test_a_socket_folder_may_stand_quoted_where_the_host_does() -> None:
    url = "postgresql://me:pw@%2Fvar%2FRun/shop"
    assert parse_url(url).host == psycopg.conninfo.conninfo_to_dict(url)["host"] == "/var/Run"


@given(addresses)
def test_sqlalchemy_reads_what_we_mean(address: Address) -> None:
    url = sqlalchemy.make_url(address.url_for("postgresql+psycopg2"))
    assert (url.username, url.password, url.database) == (address.user, address.password, address.database)
    if not address.host.startswith("/"):
        assert (url.host, url.port) == (address.host, address.port)


@given(addresses)
def test_jdbc_gets_login_and_options_as_parameters(address: Address) -> None:
    if address.host.startswith("/"):
        with pytest.raises(UnknownUrlForm, match="reached by TCP"):
            address.url_for("jdbc")
        return
    parts = urlsplit(address.url_for("jdbc").removeprefix("jdbc:"))
    query = {k: v[0] for k, v in parse_qs(parts.query, keep_blank_values=True).items()}
    options = {("ApplicationName" if k == "application_name" else k): v for k, v in address.options.items()}
    assert query == {"user": address.user, "password": address.password, **options}


def test_what_only_libpq_understands_is_kept_from_other_drivers() -> None:
    address = parse_url("postgresql://me:pw@h:1/a?connect_timeout=7&keepalives=1")
    assert address.url_for("postgresql+asyncpg") == "postgresql+asyncpg://me:pw@h:1/a"
    assert address.url_for("jdbc") == "jdbc:postgresql://h:1/a?user=me&password=pw&connectTimeout=7&keepalives=1"
    secure = parse_url("postgresql://me:pw@h:1/a?connect_timeout=7&sslmode=require")
    assert secure.url_for("postgresql+asyncpg") == "postgresql+asyncpg://me:pw@h:1/a?ssl=require"


secrets = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=12, max_size=30)


@given(secrets, hosts, st.sampled_from(["libpq", "jdbc", "postgresql+psycopg"]))
def test_no_password_is_ever_shown(password: str, host: str, form: str) -> None:
    address = Address("postgresql", "shop", host, 5432, "me", password)
    shown = redact(address.url_for("libpq" if host.startswith("/") else form))  # JDBC has no socket folders
    assert "***" in shown
    assert password not in shown
    assert psycopg.conninfo.conninfo_to_dict(address.url)["password"] == password
    assert password not in repr(address)
    assert password not in address.redacted


def test_mariadbs_jdbc_driver_has_a_form_of_its_own() -> None:
    address = parse_url("mysql://me:pw@h:1/a")
    assert address.url_for("jdbc") == "jdbc:mysql://h:1/a?user=me&password=pw"
    assert address.url_for("jdbc:mariadb") == "jdbc:mariadb://h:1/a?user=me&password=pw"
    with pytest.raises(UnknownUrlForm):
        parse_url("postgresql://me:pw@h:1/a").url_for("jdbc:mariadb")


def test_an_application_that_is_configured_in_parts_gets_each_of_them() -> None:
    address = Address("postgresql", "shop", "localhost", 5432, "me", "p@w")
    parts = {form: address.url_for(form) for form in ("host", "port", "user", "password", "database")}
    assert parts == {"host": "localhost", "port": "5432", "user": "me", "password": "p@w", "database": "shop"}
    assert replace(address, engine="mysql").url_for("port") == "5432"
    with pytest.raises(UnknownUrlForm, match="a role or a search_path is in the whole URL only"):
        replace(address, options={"options": "-c role=app"}).url_for("user")
    for other in (Address("sqlite", "/shop.db"), Address("snowflake", "acme")):
        with pytest.raises(UnknownUrlForm):
            other.url_for("host")


@pytest.mark.parametrize("scheme", ["postgres", "asyncpg", "postgis", "postgresql+pool", "r2dbc:postgresql"])
def test_another_librarys_scheme_is_taken_as_it_stands(scheme: str) -> None:
    address = Address("postgresql", "shop", "localhost", 5432, "me", "p@w")
    assert address.url_for(f"{scheme}://") == f"{scheme}://me:p%40w@localhost:5432/shop"
    assert Address("sqlite", "/tmp/a b.db").url_for(f"{scheme}://") == f"{scheme}:////tmp/a b.db"
    assert "p%40w" not in redact(address.url_for(f"{scheme}://"))


def test_forms_of_another_engine_are_refused() -> None:
    address = Address("postgresql", "shop", "localhost", 5432, "me", "pw")
    for form in ("mysql+pymysql", "path", "sqlite", "postgresql+"):
        with pytest.raises(UnknownUrlForm):
            address.url_for(form)


@pytest.mark.parametrize("url", ["", "shop", "http://x/y", "postgresql://h:x/y", "postgresql://a:b@h1:1,h2:2/y"])
def test_what_is_no_url_of_one_server_is_refused(url: str) -> None:
    with pytest.raises(BadUrl) as caught:
        parse_url(url)
    assert ":b@" not in str(caught.value)


def test_another_database_on_the_same_server() -> None:
    address = parse_url("postgres://me:pw@h:1/a?sslmode=require")
    assert address.with_database("b").url == "postgresql://me:pw@h:1/b?sslmode=require"


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("path", "/dev/shm/a b/shop.db"),
        ("libpq", "sqlite:////dev/shm/a b/shop.db"),
        ("sqlalchemy", "sqlite:////dev/shm/a b/shop.db"),
        ("sqlite+aiosqlite", "sqlite+aiosqlite:////dev/shm/a b/shop.db"),
        ("jdbc", "jdbc:sqlite:/dev/shm/a b/shop.db"),
    ],
)
def test_a_sqlite_file_has_the_forms_that_its_users_read(form: str, expected: str) -> None:
    address = Address("sqlite", "/dev/shm/a b/shop.db")
    assert address.url_for(form) == expected
    assert form == "path" or parse_url(expected) == address
    assert sqlalchemy.make_url(address.url).database == address.database


@pytest.mark.parametrize("form", ["libpq", "sqlalchemy", "sqlite+aiosqlite", "jdbc"])
def test_a_sqlite_file_is_found_by_its_url_whatever_characters_its_path_has(form: str) -> None:
    address = Address("sqlite", "/tmp/p ü %41?x#y + a&b/50%.db")
    url = address.url_for(form)
    assert parse_url(url) == address
    assert form == "jdbc" or sqlalchemy.make_url(url).database == address.database


def test_a_sqlalchemy_that_takes_a_path_as_it_stands_gets_it_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", {"sqlalchemy": "2.0.43"}.__getitem__)
    assert Address("sqlite", "/a%41.db").url_for("sqlalchemy") == "sqlite:////a%41.db"
    assert Address("sqlite", "/a%41.db").url_for("libpq") == "sqlite:////a%2541.db"


def test_a_sqlite_file_has_no_form_of_another_engine() -> None:
    with pytest.raises(UnknownUrlForm, match="path, sqlalchemy, jdbc"):
        Address("sqlite", "/x.db").url_for("postgresql+psycopg")


def test_sqlalchemys_own_choice_for_mysql_is_named_only_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    address = parse_url("mysql://me:pw@h:1/a")
    monkeypatch.setitem(sys.modules, "MySQLdb", None)
    assert address.url_for("sqlalchemy") == "mysql+pymysql://me:pw@h:1/a"
    assert address.url == "mysql://me:pw@h:1/a"
    monkeypatch.setitem(sys.modules, "MySQLdb", pymysql)  # as pymysql.install_as_MySQLdb() does
    assert address.url_for("sqlalchemy") == "mysql://me:pw@h:1/a"
