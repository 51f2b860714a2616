"""Who buys."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from shop import db
from shop.errors import UnknownCustomer
from shop.models import Customer, Mail


def register(email: str, name: str) -> int:
    """The customer's number; a name given again replaces the former one."""
    row = insert(Customer).values(email=email.lower(), name=name)
    upsert = row.on_conflict_do_update(index_elements=[Customer.email], set_={"name": row.excluded.name})
    with db.begin() as session:
        number = session.scalars(upsert.returning(Customer.id)).one()
        session.add(Mail(recipient=email.lower(), subject="Welcome"))
        return number


def find(session: Session, email: str) -> Customer:
    """Raises UnknownCustomer."""
    customer = session.scalar(select(Customer).where(Customer.email == email.lower()))
    if customer is None:
        raise UnknownCustomer(email)
    return customer
