"""What the bookkeeper asks, and the supplier's price list: plain SQL, no ORM."""

from __future__ import annotations

from shop import db

BEST_SELLERS = """
select p.sku, sum(l.quantity)::int as sold
from lines l join orders o on o.id = l.order_id join products p on p.id = l.product_id
where o.state in ('paid', 'shipped')
group by p.sku order by sold desc, p.sku
"""
TURNOVER = """
select coalesce((select sum(cents) from payments where state = 'captured'), 0)
     - coalesce((select sum(cents) from refunds), 0)
"""
TAKE_OVER = """
insert into products (sku, name, cents) select sku, name, cents from price_list
on conflict (sku) do update set name = excluded.name, cents = excluded.cents
"""
FIRST_STOCK = """
insert into stock select id, 0 from products where id not in (select product_id from stock)
"""


def best_sellers() -> list[tuple[str, int]]:
    """What was sold and paid, most first."""
    with db.connect() as connection:
        return connection.execute(BEST_SELLERS).fetchall()


def turnover() -> int:
    """What came in, less what went back."""
    with db.connect() as connection:
        (cents,) = connection.execute(TURNOVER).fetchone() or (0,)
        return int(cents)


def history(order_id: int) -> list[str]:
    """The states that an order went through."""
    with db.connect() as connection, connection.cursor("history") as cursor:  # a cursor that lives in the server
        cursor.execute("select after from audit where order_id = %s order by id", [order_id])
        return [state for (state,) in cursor]


def export_customers() -> str:
    """All customers as CSV."""
    query = "copy (select id, email from customers order by id) to stdout (format csv, header)"
    with db.connect() as connection, connection.cursor() as cursor, cursor.copy(query) as copy:
        return b"".join(bytes(block) for block in copy).decode()


def import_prices(csv: str) -> int:
    """Take over a supplier's price list (sku,name,cents); returns how many products it changed or added."""
    with db.connect() as connection, connection.cursor() as cursor:
        cursor.execute("create temporary table price_list (sku text, name text, cents int) on commit drop")
        with cursor.copy("copy price_list from stdin (format csv, header)") as copy:
            copy.write(csv)
        changed = cursor.execute(TAKE_OVER).rowcount
        cursor.execute(FIRST_STOCK)
        return changed
