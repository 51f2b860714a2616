"""Which variables a command gets, and which of the caller's are kept from it: pure, so told apart without a server."""

from __future__ import annotations

import pytest

from mintdb.address import parse_url
from mintdb.variables import LIBPQ, MISLEADING, past_proxies, variables_for, without_misleading

EXTERNAL = "postgresql://me:s%40cret@db:5433/shop?sslmode=verify-full&sslrootcert=/ca.pem&sslcert=/c.pem&sslkey=/k.pem"


def test_tls_options_of_a_url_reach_libpq_by_its_variables() -> None:
    assert variables_for(parse_url(EXTERNAL)) == {
        "DATABASE_URL": "postgresql://me:s%40cret@db:5433/shop"
        "?sslmode=verify-full&sslrootcert=%2Fca.pem&sslcert=%2Fc.pem&sslkey=%2Fk.pem",
        "JDBC_DATABASE_URL": "jdbc:postgresql://db:5433/shop"
        "?user=me&password=s%40cret&sslmode=verify-full&sslrootcert=%2Fca.pem&sslcert=%2Fc.pem&sslkey=%2Fk.pem",
        "PGHOST": "db",
        "PGPORT": "5433",
        "PGUSER": "me",
        "PGPASSWORD": "s@cret",
        "PGDATABASE": "shop",
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": "/ca.pem",
        "PGSSLCERT": "/c.pem",
        "PGSSLKEY": "/k.pem",
    }


def test_an_embedded_server_is_said_to_have_no_tls() -> None:
    address = parse_url("postgresql://postgres:pw@127.0.0.1:5433/shop")
    embedded, external = variables_for(address, embedded=True), variables_for(address)
    assert {**embedded, "PGSSLMODE": None} == {**external, "PGSSLMODE": None}
    assert (embedded["PGSSLMODE"], external.get("PGSSLMODE")) == ("disable", None)


@pytest.mark.parametrize("url", ["postgresql://me@%2Fvar%2Frun/shop", "postgresql:///shop", "snowflake://me:pw@acme"])
def test_what_no_jdbc_driver_reaches_has_no_variable_for_one(url: str) -> None:
    assert "JDBC_DATABASE_URL" not in variables_for(parse_url(url))


@pytest.mark.parametrize(
    ("caller", "exempt"),
    [
        ({"no_proxy": "localhost"}, None),
        ({"http_proxy": "http://p"}, "127.0.0.1"),
        ({"ALL_PROXY": "http://p", "NO_PROXY": ".acme.com,localhost"}, ".acme.com,localhost,127.0.0.1"),
        ({"http_proxy": "http://p", "no_proxy": "*"}, "*"),
    ],
)
def test_a_proxy_is_not_asked_for_the_way_to_this_machine(caller: dict[str, str], exempt: str | None) -> None:
    expected = {} if exempt is None else {"no_proxy": exempt, "NO_PROXY": exempt}
    assert past_proxies(caller, "127.0.0.1") == expected


def test_an_option_of_the_url_stands_above_the_callers_variable() -> None:
    caller = without_misleading({"PGSSLMODE": "disable", "PGOPTIONS": "-c a.b=1"}, embedded=False)
    url = "postgresql://db/shop?sslmode=require&options=-c%20c.d%3D2"
    together = {**caller, **variables_for(parse_url(url))}
    assert (together["PGSSLMODE"], together["PGOPTIONS"]) == ("require", "-c c.d=2")


def test_certificates_of_the_caller_are_kept_for_a_server_that_a_url_names() -> None:
    caller = {"PGSSLROOTCERT": "/ca.pem", "PATH": "/bin", "PAGER": "cat"}
    assert without_misleading(caller, embedded=False) == caller


def test_certificates_of_the_caller_are_kept_from_an_embedded_server() -> None:
    caller = {"PGSSLROOTCERT": "/ca.pem", "PGREQUIREAUTH": "none", "PATH": "/bin", "PAGER": "cat"}
    assert without_misleading(caller, embedded=True) == {"PATH": "/bin", "PAGER": "cat"}


def test_what_leads_elsewhere_is_kept_from_every_server() -> None:
    caller = dict.fromkeys((*MISLEADING, "PGHOST", "PGDATABASE"), "elsewhere")
    assert without_misleading(caller, embedded=True) == without_misleading(caller, embedded=False) == {}


def test_every_variable_of_libpq_that_an_option_has_is_known_to_libpq() -> None:
    from psycopg import pq

    known = {option.keyword.decode(): option.envvar and option.envvar.decode() for option in pq.Conninfo.get_defaults()}
    assert {option: known[option] for option in LIBPQ if option in known} == {
        option: variable for option, variable in LIBPQ.items() if option in known
    }
    with_variable = {option for option, variable in known.items() if variable}
    assert with_variable - set(LIBPQ) == {"host", "port", "user", "password", "dbname"}
