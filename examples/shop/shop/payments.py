"""Money in, and money back."""

from __future__ import annotations

from sqlalchemy import Sequence, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shop import db, orders
from shop.errors import CardDeclined, RefundRefused
from shop.models import Mail, Order, Payment, Refund

INVOICES = Sequence("invoice_numbers")
DECLINED = "4000000000000002"  # the card that always fails


def pay(order_id: int, card: str) -> int:
    """The invoice's number. A declined card leaves the order as it was, and is remembered."""
    try:
        with db.begin() as session:
            return _pay(session, orders.get(session, order_id, "placed"), card)
    except CardDeclined:
        _remember_declined(order_id, card)
        raise


def _pay(session: Session, order: Order, card: str) -> int:
    order.state = "paid"
    order.invoice = session.scalars(select(INVOICES.next_value())).one()
    session.add(Payment(order_id=order.id, cents=order.total, card=card[-4:], state="captured"))
    session.add(Mail(recipient=order.customer.email, subject=f"Invoice {order.invoice}"))
    session.flush()
    if card == DECLINED:  # the bank answers last, when everything is written
        raise CardDeclined(card[-4:])
    return order.invoice


def _remember_declined(order_id: int, card: str) -> None:
    with db.begin() as session:
        order = orders.get(session, order_id)
        session.add(Payment(order_id=order_id, cents=order.total, card=card[-4:], state="declined"))


def refund(order_id: int, cents: int | None = None, *, reason: str = "returned") -> None:
    """Pay back `cents`, or all that is left. Raises WrongState, and RefundRefused for more than was paid."""
    try:
        with db.begin() as session:
            _refund(session, orders.get(session, order_id, "paid", "shipped"), cents, reason)
    except IntegrityError as error:  # the database checks once more when the transaction commits
        raise RefundRefused(order_id) from error


def _refund(session: Session, order: Order, cents: int | None, reason: str) -> None:
    payment = next(payment for payment in order.payments if payment.state == "captured")
    left = payment.cents - sum(earlier.cents for earlier in payment.refunds)
    payment.refunds.append(Refund(cents=left if cents is None else cents, reason=reason))
    session.add(Mail(recipient=order.customer.email, subject=f"Refund for order {order.id}"))
    if cents is None or cents == left:
        order.state = "refunded"
        orders.put_back(session, order, "refunded")
