"""An order, from placing it to the parcel."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from shop import customers, db, stock
from shop.errors import CouponRefused, WrongState
from shop.models import Coupon, Line, Mail, Order, Product


def place(email: str, basket: Mapping[str, int], *, coupon: str | None = None) -> int:
    """The new order's number. All of it is in stock and taken from there, or nothing happened at all."""
    return db.retry(lambda session: _place(session, email, basket, coupon))


def _place(session: Session, email: str, basket: Mapping[str, int], coupon: str | None) -> int:
    if not basket:
        raise WrongState("an order needs a line")
    customer = customers.find(session, email)
    order = Order(customer=customer, coupon=coupon, total=0)
    session.add(order)
    shelf = stock.lock(session, list(basket))
    for number, (sku, quantity) in enumerate(basket.items(), start=1):
        stock.take(session, shelf[sku], quantity, "order")
        order.lines.append(_line(number, shelf[sku].product, quantity))
    full = sum(line.cents * line.quantity for line in order.lines)
    order.total = full - full * _redeem(session, coupon) // 100
    session.flush()
    session.add(Mail(recipient=customer.email, subject=f"Order {order.id} received"))
    return order.id


def _line(number: int, product: Product, quantity: int) -> Line:
    return Line(number=number, product_id=product.id, quantity=quantity, cents=product.cents)


def _redeem(session: Session, code: str | None) -> int:
    """The percentage that a coupon takes off; one use of it is gone. Raises CouponRefused."""
    if code is None:
        return 0
    coupon = session.get(Coupon, code)
    if coupon is None or not coupon.uses_left:
        raise CouponRefused(code)
    coupon.uses_left -= 1
    return coupon.percent


def get(session: Session, order_id: int, *states: str) -> Order:
    """The order, locked. Raises WrongState unless it is in one of `states`."""
    order = session.scalar(select(Order).where(Order.id == order_id).with_for_update())
    if order is None or (states and order.state not in states):
        raise WrongState(f"order {order_id} is {order.state if order else 'unknown'}")
    return order


def cancel(order_id: int) -> None:
    """Put everything back on the shelf. Raises WrongState once it is paid."""
    with db.begin() as session:
        order = get(session, order_id, "placed")
        order.state = "cancelled"
        put_back(session, order, "cancelled")
        session.add(Mail(recipient=order.customer.email, subject=f"Order {order_id} cancelled"))


def put_back(session: Session, order: Order, reason: str) -> None:
    """Return an order's goods to the shelf."""
    for line in order.lines:
        shelf = session.get_one(stock.Stock, line.product_id, with_for_update={"of": stock.Stock})
        stock.take(session, shelf, -line.quantity, reason)


def ship(order_id: int) -> None:
    """Hand it to the carrier. Raises WrongState unless it is paid."""
    with db.begin() as session:
        order = get(session, order_id, "paid")
        order.state = "shipped"
        session.add(Mail(recipient=order.customer.email, subject=f"Order {order_id} shipped"))


def state(order_id: int) -> str:
    """Where an order stands. Raises WrongState where there is none."""
    with db.begin() as session:
        return get(session, order_id).state
