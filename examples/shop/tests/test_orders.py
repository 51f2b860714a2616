"""Orders: every test places the shop's first one."""

from __future__ import annotations

import pytest

from shop import db, orders, reports, stock
from shop.errors import CouponRefused, OutOfStock, ShopError, UnknownCustomer, UnknownProduct, WrongState
from shop.models import Coupon, Order

ADA = "ada@example.com"


def total(order_id: int) -> int:
    with db.begin() as session:
        return session.get_one(Order, order_id).total


def uses_left(code: str) -> int:
    with db.begin() as session:
        return session.get_one(Coupon, code).uses_left


def test_the_first_order_is_number_1() -> None:
    assert orders.place(ADA, {"TEA": 1}) == 1


def test_orders_are_numbered_without_gaps_as_long_as_none_fails() -> None:
    assert [orders.place(ADA, {"TEA": 1}) for _ in range(5)] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("basket", "cents"),
    [({"TEA": 1}, 790), ({"TEA": 2, "CUP": 4}, 3980), ({"RARE": 5}, 44500), ({"POT": 1, "TIN": 1, "CUP": 1}, 4200)],
)
def test_the_total_is_the_sum_of_the_lines(basket: dict[str, int], cents: int) -> None:
    assert total(orders.place(ADA, basket)) == cents


def test_what_is_ordered_leaves_the_shelf() -> None:
    orders.place(ADA, {"TEA": 3, "CUP": 1})
    assert (stock.left("TEA"), stock.left("CUP"), stock.left("POT")) == (97, 99, 100)


def test_the_last_one_can_be_sold() -> None:
    orders.place(ADA, {"RARE": 5})
    assert stock.left("RARE") == 0


def test_an_order_that_cannot_be_filled_takes_nothing() -> None:
    with pytest.raises(OutOfStock):
        orders.place(ADA, {"TEA": 1, "RARE": 6})
    assert (stock.left("TEA"), stock.left("RARE")) == (100, 5)


def test_an_order_that_failed_leaves_no_trace_but_a_gap_in_the_numbers() -> None:
    with pytest.raises(OutOfStock):
        orders.place(ADA, {"CUP": 1, "TEA": 101})
    order_id = orders.place(ADA, {"TEA": 1})
    assert reports.history(order_id) == ["placed"]
    with db.connect() as connection:
        assert connection.execute("select count(*) from orders").fetchone() == (1,)


@pytest.mark.parametrize(
    ("email", "basket", "error"),
    [
        ("nobody@example.com", {"TEA": 1}, UnknownCustomer),
        (ADA, {"COFFEE": 1}, UnknownProduct),
        (ADA, {"TEA": 1, "COFFEE": 1}, UnknownProduct),
        (ADA, {}, WrongState),
        (ADA, {"TEA": 101}, OutOfStock),
    ],
)
def test_an_impossible_order_is_refused_and_none_exists(
    email: str, basket: dict[str, int], error: type[ShopError]
) -> None:
    with pytest.raises(error):
        orders.place(email, basket)
    with db.connect() as connection:
        assert connection.execute("select count(*) from orders").fetchone() == (0,)


def test_a_product_that_is_no_longer_for_sale_is_unknown() -> None:
    with db.connect() as connection:
        connection.execute("update products set for_sale = false where sku = 'POT'")
    with pytest.raises(UnknownProduct):
        orders.place(ADA, {"POT": 1})


def test_the_product_that_another_test_withdrew_is_for_sale() -> None:
    orders.place(ADA, {"POT": 1})
    assert stock.left("POT") == 99


def test_a_price_that_changes_later_does_not_change_an_order() -> None:
    order_id = orders.place(ADA, {"TEA": 1})
    reports.import_prices("sku,name,cents\nTEA,Green tea,9900\n")
    assert total(order_id) == 790


@pytest.mark.parametrize(("code", "cents"), [("SPRING", 711), ("ONCE", 395), (None, 790)])
def test_a_coupon_takes_off_its_percentage(code: str | None, cents: int) -> None:
    assert total(orders.place(ADA, {"TEA": 1}, coupon=code)) == cents


def test_a_coupon_is_used_up_after_its_uses() -> None:
    for _ in range(3):
        orders.place(ADA, {"TEA": 1}, coupon="SPRING")
    with pytest.raises(CouponRefused):
        orders.place(ADA, {"TEA": 1}, coupon="SPRING")
    assert stock.left("TEA") == 97


def test_an_order_that_failed_gives_its_coupon_back() -> None:
    with pytest.raises(OutOfStock):
        orders.place(ADA, {"RARE": 6}, coupon="ONCE")
    assert uses_left("ONCE") == 1


def test_cancelling_puts_everything_back() -> None:
    orders.place(ADA, {"TEA": 3, "RARE": 5})
    orders.cancel(1)
    assert (stock.left("TEA"), stock.left("RARE"), orders.state(1)) == (100, 5, "cancelled")


def test_cancelling_twice_puts_it_back_once() -> None:
    orders.place(ADA, {"TEA": 3})
    orders.cancel(1)
    with pytest.raises(WrongState):
        orders.cancel(1)
    assert stock.left("TEA") == 100


@pytest.mark.parametrize("act", [orders.cancel, orders.ship, orders.state])
def test_an_order_that_nobody_placed_is_unknown(act: object) -> None:
    assert callable(act)
    with pytest.raises(WrongState, match="order 1 is unknown"):
        act(1)


def test_only_a_paid_order_is_shipped() -> None:
    orders.place(ADA, {"TEA": 1})
    with pytest.raises(WrongState, match="order 1 is placed"):
        orders.ship(1)
