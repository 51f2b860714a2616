"""The shelf, the count and the supplier's price list."""

from __future__ import annotations

import pytest
from psycopg.errors import CheckViolation

from shop import db, orders, payments, reports, stock
from shop.errors import Busy, UnknownProduct


def movements() -> list[tuple[int, int, str]]:
    with db.connect() as connection:
        return connection.execute("select id, change, reason from movements order by id").fetchall()


@pytest.mark.parametrize(("sku", "number"), [("TEA", 100), ("POT", 100), ("CUP", 100), ("TIN", 100), ("RARE", 5)])
def test_the_shop_opens_with_a_full_shelf(sku: str, number: int) -> None:
    assert stock.left(sku) == number


def test_a_delivery_is_put_on_the_shelf_and_written_down() -> None:
    stock.restock({"TEA": 20, "RARE": 1})
    assert (stock.left("TEA"), stock.left("RARE")) == (120, 6)
    assert movements() == [(1, 20, "delivery"), (2, 1, "delivery")]


def test_a_delivery_with_an_unknown_product_is_not_taken_at_all() -> None:
    with pytest.raises(UnknownProduct):
        stock.restock({"TEA": 20, "COFFEE": 1})
    assert (stock.left("TEA"), movements()) == (100, [])


def test_a_count_writes_down_the_differences_only() -> None:
    assert stock.count({"TEA": 98, "POT": 100, "CUP": 103}) == {"TEA": -2, "CUP": 3}
    assert movements() == [(1, -2, "count"), (2, 3, "count")]


def test_a_count_that_finds_everything_writes_nothing() -> None:
    assert (stock.count({"TEA": 100, "RARE": 5}), movements()) == ({}, [])


def test_two_never_count_at_once() -> None:
    with stock.counting(), pytest.raises(Busy):
        stock.count({"TEA": 1})
    assert stock.left("TEA") == 100


def test_one_counts_after_the_other() -> None:
    stock.count({"TEA": 99})
    assert stock.count({"TEA": 99}) == {}


def test_prices_are_taken_over_and_new_products_are_numbered_on() -> None:
    assert reports.import_prices("sku,name,cents\nTEA,Tea,800\nSPOON,Spoon,150\n") == 2
    with db.connect() as connection:
        found = connection.execute("select id, sku, cents from products where sku in ('TEA', 'SPOON') order by sku")
        assert [(sku, cents) for _, sku, cents in found] == [("SPOON", 150), ("TEA", 800)]
        assert connection.execute("select count(*) from products").fetchone() == (6,)
    assert stock.left("SPOON") == 0


def test_a_price_list_with_a_mistake_changes_nothing() -> None:
    with pytest.raises(CheckViolation):
        reports.import_prices("sku,name,cents\nTEA,Tea,800\nPOT,Pot,0\n")
    with db.connect() as connection:
        assert connection.execute("select cents from products where sku = 'TEA'").fetchone() == (790,)


def test_the_best_sellers_are_those_that_were_paid() -> None:
    payments.pay(orders.place("ada@example.com", {"TEA": 2, "CUP": 6}), "4242")
    payments.pay(orders.place("grace@example.com", {"TEA": 4}), "4242")
    orders.place("grace@example.com", {"POT": 50})
    assert reports.best_sellers() == [("CUP", 6), ("TEA", 6)]


def test_a_shop_that_has_sold_nothing_has_no_best_sellers_and_no_turnover() -> None:
    assert (reports.best_sellers(), reports.turnover()) == ([], 0)
