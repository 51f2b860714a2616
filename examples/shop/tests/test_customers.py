"""Registering, on a shop that opens with three customers."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import IntegrityError

from shop import customers, db, reports
from shop.errors import UnknownCustomer


def count() -> int:
    with db.connect() as connection:
        (number,) = connection.execute("select count(*) from customers").fetchone() or (0,)
        return int(number)


def test_the_shop_opens_with_three_customers() -> None:
    assert count() == 3


def test_the_first_new_customer_is_number_4() -> None:
    assert customers.register("alan@example.com", "Alan") == 4


def test_numbers_follow_each_other() -> None:
    names = ["Alan", "Barbara", "Donald"]
    assert [customers.register(f"{name}@example.com", name) for name in names] == [4, 5, 6]


def test_an_address_is_one_customer_however_it_is_written() -> None:
    assert customers.register("ADA@example.com", "Ada L.") == 1
    assert count() == 3


def test_a_name_can_be_changed() -> None:
    customers.register("ada@example.com", "Countess")
    with db.begin() as session:
        assert customers.find(session, "ada@example.com").name == "Countess"


def test_the_name_that_another_test_changed_is_the_old_one() -> None:
    with db.begin() as session:
        assert customers.find(session, "ada@example.com").name == "Ada"


@pytest.mark.parametrize("email", ["nobody@example.com", "", "ada"])
def test_who_never_registered_is_unknown(email: str) -> None:
    with pytest.raises(UnknownCustomer), db.begin() as session:
        customers.find(session, email)


@pytest.mark.parametrize("email", ["no-at-sign", "@", "a@"])
def test_an_address_that_cannot_be_one_is_refused_and_nothing_is_kept(email: str) -> None:
    with pytest.raises(IntegrityError):
        customers.register(email, "Nobody")
    assert count() == 3


def test_the_export_lists_everybody_in_order() -> None:
    customers.register("alan@example.com", "Alan")
    assert reports.export_customers() == (
        "id,email\n1,ada@example.com\n2,grace@example.com\n3,edsger@example.com\n4,alan@example.com\n"
    )
