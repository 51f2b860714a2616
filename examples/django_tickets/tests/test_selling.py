"""Many buyers at once, each with a connection of its own that really commits."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from tickets.models import Show, SoldOut, Ticket


def buy(number):
    try:
        return Show.objects.get(title="Hamlet").sell(f"buyer {number}").pk
    except SoldOut:
        return None
    finally:
        connection.close()


@pytest.mark.parametrize("attempt", range(3))
def test_two_seats_are_sold_twice_however_many_come(transactional_db, attempt):
    with ThreadPoolExecutor(8) as pool:
        sold = [ticket for ticket in pool.map(buy, range(8)) if ticket]
    assert sorted(sold) == [1, 2]


def test_the_page_says_so(client, db):
    hamlet = Show.objects.get(title="Hamlet")
    for buyer in ("Ann", "Bob"):
        assert client.post("/", {"show": hamlet.pk, "buyer": buyer}).status_code == 302
    assert b"Hamlet is sold out" in client.post("/", {"show": hamlet.pk, "buyer": "Cid"}).content
    assert Ticket.objects.count() == 2
