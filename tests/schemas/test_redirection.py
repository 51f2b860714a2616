"""Which variables name the template while it is built."""

from __future__ import annotations

import pytest

from mintdb.address import Address
from mintdb.schemas.redirection import redirect

CLONE = Address("postgresql", "mint_shop_gw0", "127.0.0.1", 5433, "mint", "secret")
TEMPLATE = CLONE.with_database("mint_shop_building")


@pytest.mark.parametrize("form", ["libpq", "postgresql+asyncpg", "postgresql+psycopg", "jdbc"])
def test_a_variable_that_names_this_server_is_changed_in_the_form_it_has(form: str) -> None:
    assert redirect({"SHOP_DB": CLONE.url_for(form)}, TEMPLATE)["SHOP_DB"] == TEMPLATE.url_for(form)


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
