"""What is left, and who may change it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy import select
from sqlalchemy.orm import Session

from shop import db
from shop.errors import Busy, OutOfStock, UnknownProduct
from shop.models import Movement, Product, Stock

COUNTING = 4711  # the advisory lock of those who count the stock


def left(sku: str) -> int:
    """How many are there. Raises UnknownProduct."""
    with db.begin() as session:
        return lock(session, [sku])[sku].on_hand


def lock(session: Session, skus: list[str]) -> dict[str, Stock]:
    """The stock of some products, locked until the transaction ends; always in one order, so that nobody deadlocks."""
    query = select(Stock).join(Stock.product).where(Product.sku.in_(skus), Product.for_sale).order_by(Product.sku)
    found = {stock.product.sku: stock for stock in session.scalars(query.with_for_update(of=Stock))}
    for sku in skus:
        if sku not in found:
            raise UnknownProduct(sku)
    return found


def take(session: Session, stock: Stock, quantity: int, reason: str) -> None:
    """Move `quantity` out; in, where it is negative. Raises OutOfStock."""
    if stock.on_hand < quantity:
        raise OutOfStock(stock.product.sku)
    stock.on_hand -= quantity
    session.add(Movement(product_id=stock.product_id, change=-quantity, reason=reason))


def restock(deliveries: Mapping[str, int]) -> None:
    """Put deliveries on the shelf: all of them, or none."""
    with db.begin() as session:
        shelf = lock(session, list(deliveries))
        for sku, quantity in deliveries.items():
            take(session, shelf[sku], -quantity, "delivery")


@contextmanager
def counting() -> Iterator[None]:
    """Keep all others from counting meanwhile. Raises Busy."""
    with db.connect(autocommit=True) as connection:
        row = connection.execute("select pg_try_advisory_lock(%s)", [COUNTING]).fetchone()
        if row != (True,):
            raise Busy("stock is being counted")
        try:
            yield
        finally:
            connection.execute("select pg_advisory_unlock(%s)", [COUNTING])


def count(found: Mapping[str, int]) -> dict[str, int]:
    """Write down what was found on the shelf; returns the differences. Raises Busy and UnknownProduct."""
    with counting(), db.begin() as session:
        shelf = lock(session, list(found))
        missing = {sku: shelf[sku].on_hand - number for sku, number in found.items()}
        for sku, number in missing.items():
            if number:
                take(session, shelf[sku], number, "count")
        return {sku: -number for sku, number in missing.items() if number}
