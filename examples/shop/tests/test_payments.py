"""Payments, invoices and refunds."""

from __future__ import annotations

import pytest

from shop import db, orders, payments, reports, stock
from shop.errors import CardDeclined, RefundRefused, WrongState

CARD = "4242424242424242"


def buy(basket: dict[str, int] | None = None) -> int:
    """An order of the second customer's, paid; its number."""
    order_id = orders.place("grace@example.com", basket or {"POT": 1})
    payments.pay(order_id, CARD)
    return order_id


def states() -> list[str]:
    with db.connect() as connection:
        return [state for (state,) in connection.execute("select state from payments order by id")]


def test_the_first_invoice_is_1001() -> None:
    assert payments.pay(orders.place("ada@example.com", {"TEA": 1}), CARD) == 1001


def test_invoices_follow_each_other() -> None:
    assert [payments.pay(orders.place("ada@example.com", {"TEA": 1}), CARD) for _ in range(3)] == [1001, 1002, 1003]


def test_a_paid_order_has_its_history() -> None:
    order_id = buy()
    orders.ship(order_id)
    assert (order_id, reports.history(order_id)) == (1, ["placed", "paid", "shipped"])


def test_nobody_pays_twice() -> None:
    order_id = buy()
    with pytest.raises(WrongState):
        payments.pay(order_id, CARD)
    assert (states(), reports.turnover()) == (["captured"], 2450)


def test_a_paid_order_cannot_be_cancelled() -> None:
    with pytest.raises(WrongState, match="order 1 is paid"):
        orders.cancel(buy())


def test_a_declined_card_leaves_the_order_as_it_was_but_is_remembered() -> None:
    order_id = orders.place("ada@example.com", {"TEA": 1})
    with pytest.raises(CardDeclined):
        payments.pay(order_id, payments.DECLINED)
    assert (orders.state(order_id), states(), reports.turnover()) == ("placed", ["declined"], 0)


def test_an_invoice_that_was_never_sent_leaves_a_gap() -> None:
    order_id = orders.place("ada@example.com", {"TEA": 1})
    with pytest.raises(CardDeclined):
        payments.pay(order_id, payments.DECLINED)
    assert payments.pay(order_id, CARD) == 1002


def test_the_gap_that_another_test_left_is_not_there() -> None:
    assert payments.pay(orders.place("ada@example.com", {"TEA": 1}), CARD) == 1001


def test_a_whole_refund_brings_the_goods_back() -> None:
    payments.refund(buy({"RARE": 5}))
    assert (reports.turnover(), stock.left("RARE"), orders.state(1)) == (0, 5, "refunded")


@pytest.mark.parametrize("cents", [1, 600, 2449])
def test_a_part_can_be_refunded(cents: int) -> None:
    payments.refund(buy(), cents, reason="scratched")
    assert (reports.turnover(), orders.state(1)) == (2450 - cents, "paid")


def test_parts_add_up_to_the_whole() -> None:
    order_id = buy()
    payments.refund(order_id, 1000)
    payments.refund(order_id)
    assert (reports.turnover(), orders.state(order_id)) == (0, "refunded")


@pytest.mark.parametrize("parts", [[2451], [2000, 451], [1, 1, 2449], [0], [-5]])
def test_more_than_was_paid_or_nothing_is_never_refunded(parts: list[int]) -> None:
    order_id = buy()
    for cents in parts[:-1]:
        payments.refund(order_id, cents)
    with pytest.raises(RefundRefused):
        payments.refund(order_id, parts[-1])
    assert reports.turnover() == 2450 - sum(parts[:-1])


def test_an_order_that_is_not_paid_is_not_refunded() -> None:
    orders.place("ada@example.com", {"TEA": 1})
    with pytest.raises(WrongState, match="order 1 is placed"):
        payments.refund(1)
