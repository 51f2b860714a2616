"""The tables as classes; db/ defines them."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Identity
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    """Everything that is stored."""


class Customer(Base):
    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    email: Mapped[str]
    name: Mapped[str]
    orders: Mapped[list[Order]] = relationship(back_populates="customer", order_by="Order.id")


class Product(Base):
    __tablename__ = "products"
    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    sku: Mapped[str]
    name: Mapped[str]
    cents: Mapped[int]
    for_sale: Mapped[bool] = mapped_column(default=True)


class Stock(Base):
    __tablename__ = "stock"
    product_id: Mapped[int] = mapped_column(ForeignKey("products.id"), primary_key=True)
    on_hand: Mapped[int]
    product: Mapped[Product] = relationship(lazy="joined", innerjoin=True)


class Movement(Base):
    __tablename__ = "movements"
    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("products.id"))
    change: Mapped[int]
    reason: Mapped[str]


class Coupon(Base):
    __tablename__ = "coupons"
    code: Mapped[str] = mapped_column(primary_key=True)
    percent: Mapped[int]
    uses_left: Mapped[int]


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id"))
    coupon: Mapped[str | None] = mapped_column(ForeignKey("coupons.code"))
    state: Mapped[str] = mapped_column(default="placed")
    total: Mapped[int]
    invoice: Mapped[int | None]
    customer: Mapped[Customer] = relationship(back_populates="orders")
    lines: Mapped[list[Line]] = relationship(order_by="Line.number")
    payments: Mapped[list[Payment]] = relationship(order_by="Payment.id")


class Line(Base):
    __tablename__ = "lines"
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("products.id"))
    quantity: Mapped[int]
    cents: Mapped[int]


class Payment(Base):
    __tablename__ = "payments"
    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    cents: Mapped[int]
    card: Mapped[str]
    state: Mapped[str]
    refunds: Mapped[list[Refund]] = relationship(order_by="Refund.id")


class Refund(Base):
    __tablename__ = "refunds"
    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    payment_id: Mapped[int] = mapped_column(ForeignKey("payments.id"))
    cents: Mapped[int]
    reason: Mapped[str]


class Mail(Base):
    __tablename__ = "mails"
    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    recipient: Mapped[str]
    subject: Mapped[str]
    attempts: Mapped[int] = mapped_column(default=0)
