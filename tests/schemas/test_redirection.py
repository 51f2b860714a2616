"""Which variables name the template while it is built."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mintdb.address import Address
from mintdb.schemas.redirection import redirect
from mintdb.variables import leased_variable, libpq_variables, mysql_variables

CLONE = Address("postgresql", "mint_shop_gw0", "127.0.0.1", 5433, "mint", "secret")
TEMPLATE = CLONE.with_database("mint_shop_building")


@pytest.mark.parametrize("form", ["libpq", "postgresql+asyncpg", "postgresql+psycopg", "jdbc"])
def test_a_variable_that_names_this_server_is_changed_in_the_form_it_has(form: str) -> None:
    assert redirect({"SHOP_DB": CLONE.url_for(form)}, TEMPLATE)["SHOP_DB"] == TEMPLATE.url_for(form)


@pytest.mark.parametrize("form", ["path", "libpq", "sqlite+aiosqlite", "jdbc"])
def test_a_variable_that_names_a_file_is_changed_in_the_form_it_has(form: str) -> None:
    clone, template = (Address("sqlite", f"/tmp/50%25 #1/mint_shop_{run}_main.db") for run in ("0123456", "789abcd"))
    assert redirect({"SHOP_DB": clone.url_for(form)}, template)["SHOP_DB"] == template.url_for(form)


@pytest.mark.parametrize(
    "value",
    [
        "postgresql://mint:secret@db.example.com:5433/shop",
        "postgresql://mint:secret@127.0.0.1:5434/shop",
        "mysql://mint:secret@127.0.0.1:5433/shop",
        "redis://127.0.0.1:5433/0",
        "/usr/bin",
        "",
    ],
)
def test_other_variables_stay_as_they_are(value: str) -> None:
    assert redirect({"OTHER": value}, TEMPLATE) == {"DATABASE_URL": TEMPLATE.url_for("libpq")}


@pytest.mark.parametrize("form", ["database", "asyncpg://", "postgresql+pool://", "r2dbc:postgresql://"])
def test_a_name_alone_and_another_librarys_url_are_changed_where_they_are_the_runs_own(form: str) -> None:
    run = leased_variable({"default": CLONE.url})
    assert redirect({**run, "SHOP_DB": CLONE.url_for(form)}, TEMPLATE)["SHOP_DB"] == TEMPLATE.url_for(form)
    others = CLONE.with_database("shop"), replace(CLONE, port=5432, database=CLONE.database + "x")
    for other in others:
        assert redirect({**run, "SHOP_DB": other.url_for(form)}, TEMPLATE) == {"DATABASE_URL": TEMPLATE.url}


def test_a_word_that_is_a_hard_wired_databases_name_by_chance_is_not_changed() -> None:
    run = leased_variable({"default": CLONE.with_database("shop").url})
    changed = redirect({**run, "APP": "shop", "DB_NAME": "shop"}, TEMPLATE)
    assert changed == {"DATABASE_URL": TEMPLATE.url, "DB_NAME": TEMPLATE.database}


def test_what_libpq_reads_names_the_template_where_it_led_to_this_server() -> None:
    """Builders have all rights, whatever role tests have."""
    tests = {**libpq_variables(CLONE), "PGOPTIONS": "-c role=app"}
    assert redirect(tests, TEMPLATE) == {
        "DATABASE_URL": TEMPLATE.url_for("libpq"),
        "PGOPTIONS": "",
        **libpq_variables(TEMPLATE),
    }
    elsewhere = {**tests, "PGPORT": "5432"}
    assert redirect(elsewhere, TEMPLATE) == {"DATABASE_URL": TEMPLATE.url_for("libpq")}


def test_what_mariadbs_programs_read_names_the_template_too() -> None:
    clone = replace(CLONE, engine="mysql")
    template = clone.with_database("mint_shop_building")
    assert redirect(mysql_variables(clone), template)["MYSQL_DATABASE"] == "mint_shop_building"
